/* What goes into the next datagram of a session that stands. */
#include "client/lane_state.h"

struct lane_pick { /* the next records to be sent */
    enum { PICK_NOTHING, PICK_DATA, PICK_FRAGMENT } kind;
    bool is_new;
    uint64_t sequence;
};

/* ---------------------------------------------------------------------------------- fragments */

static struct lane_assembly *lane_assembly_of(const struct lane *lane, const struct lane_slot *slot)
{
    return &lane->assemblies[slot->assembly];
}

void lane_release_assembly(struct lane *lane, struct lane_slot *slot)
{
    if (slot->assembly == LANE_NO_ASSEMBLY) { return; }
    lane_assembly_of(lane, slot)->sequence = 0;
    slot->assembly = LANE_NO_ASSEMBLY;
    lane->assemblies_free++;
}

/* The last one is kept for the record that the appliance waits for: without it nothing moves. */
static bool lane_has_assembly_for(const struct lane *lane, uint64_t sequence)
{
    return lane->assemblies_free > 1 ||
           (lane->assemblies_free == 1 && sequence == lane->received_next);
}

static void assembly_set_due(struct lane_assembly *assembly, uint32_t first, uint32_t count)
{
    for (uint32_t chunk = first; chunk < first + count; chunk++) {
        const uint64_t bit = UINT64_C(1) << (chunk % 64);
        if ((assembly->due[chunk / 64] & bit) == 0) { assembly->due_count++; }
        assembly->due[chunk / 64] |= bit;
    }
}

static bool assembly_is_due(const struct lane_assembly *assembly, uint32_t chunk)
{
    return (assembly->due[chunk / 64] >> (chunk % 64) & 1) != 0;
}

static void assembly_clear_due(struct lane_assembly *assembly, uint32_t first, uint32_t count)
{
    for (uint32_t chunk = first; chunk < first + count; chunk++) {
        assert_hot(assembly_is_due(assembly, chunk));
        assembly->due[chunk / 64] &= ~(UINT64_C(1) << (chunk % 64));
    }
    assembly->due_count -= count;
}

static uint32_t assembly_first_due(const struct lane_assembly *assembly)
{
    assert(assembly->due_count > 0);
    uint32_t word = 0;
    while (assembly->due[word] == 0) { word++; }
    return word * 64 + (uint32_t)__builtin_ctzll(assembly->due[word]);
}

static struct lane_assembly *lane_acquire_assembly(struct lane *lane, uint64_t sequence)
{
    struct lane_slot *const slot = lane_slot_of(lane, sequence);
    if (slot->assembly != LANE_NO_ASSEMBLY) { return lane_assembly_of(lane, slot); }
    assert(lane->assemblies_free > 0);

    uint16_t index = 0;
    while (lane->assemblies[index].sequence != 0) { index++; }
    struct lane_assembly *const assembly = &lane->assemblies[index];
    memset(assembly, 0, sizeof *assembly);
    assembly->sequence = sequence;
    assembly->chunk_count =
        (slot->record_bytes + NATIVE_FRAGMENT_CHUNK_BYTES - 1) / NATIVE_FRAGMENT_CHUNK_BYTES;
    assembly_set_due(assembly, 0, assembly->chunk_count);
    slot->assembly = index;
    lane->assemblies_free--;
    return assembly;
}

/* ---------------------------------------------------------------------------------------- due */

void lane_make_due(struct lane *lane, uint64_t sequence)
{
    *lane_state_of(lane, sequence) = LANE_RECORD_DUE;
    lane->due_count++;
    lane->due_from = lane_least(lane->due_from, sequence);
}

void lane_make_chunks_due(struct lane *lane, const struct lane_packet *packet)
{
    if (packet->first < lane->received_next) { return; }
    struct lane_slot *const slot = lane_slot_of(lane, packet->first);
    if (slot->assembly == LANE_NO_ASSEMBLY) { return; } /* received out of order, as one piece */
    assembly_set_due(lane_assembly_of(lane, slot), packet->first_chunk, packet->count);
    if (*lane_state_of(lane, packet->first) == LANE_RECORD_SENT) {
        lane_make_due(lane, packet->first);
    }
    lane->hole_end = lane_most(lane->hole_end, packet->first + 1);
}

/* The lowest DUE record; there is one. */
static uint64_t lane_first_due(const struct lane *lane)
{
    uint64_t sequence = lane_most(lane->due_from, lane->received_next);
    for (;;) {
        const uint64_t index = sequence & lane->mask;
        const uint64_t count = lane_least(lane->new_next - sequence, lane->mask + 1 - index);
        assert(count > 0);
        const uint8_t *const at = memchr(lane->states + index, LANE_RECORD_DUE, count);
        if (at != NULL) { return sequence + (uint64_t)(at - (lane->states + index)); }
        sequence += count;
    }
}

/* ------------------------------------------------------------------------------ what goes next */

static bool lane_needs_fragments(const struct lane_slot *slot, uint32_t datagram_bytes)
{
    return slot->assembly != LANE_NO_ASSEMBLY ||
           lane_cost_of(slot) > datagram_bytes - LANE_DATA_AROUND_BYTES;
}

/* The appliance collects fragments of the next record only: behind a hole they would be thrown
 * away. Without one they are sent ahead, and arrive in their turn. */
static bool lane_may_fragment(const struct lane *lane, uint64_t sequence)
{
    const bool wanted = sequence == lane->received_next || lane->received_next >= lane->hole_end;
    if (!wanted) { return false; }
    const bool has_one = lane_slot_of(lane, sequence)->assembly != LANE_NO_ASSEMBLY;
    return has_one || lane_has_assembly_for(lane, sequence);
}

static bool lane_has_credit(const struct lane *lane, uint64_t used_bytes, uint64_t cost_bytes)
{
    const uint64_t credit_bytes = lane->session.credit_bytes;
    if (used_bytes == 0) { return credit_bytes > 0; }
    return used_bytes <= credit_bytes && cost_bytes <= credit_bytes - used_bytes;
}

bool lane_waits_for_credit(const struct lane *lane)
{
    if (lane->new_next >= lane->next_sequence) { return false; }
    const uint64_t cost_bytes = lane_cost_of(lane_slot_of(lane, lane->new_next));
    return !lane_has_credit(lane, lane->used_bytes, cost_bytes);
}

static struct lane_pick pick_of(const struct lane *lane, uint64_t sequence, bool is_new)
{
    struct lane_pick out = {.is_new = is_new, .sequence = sequence};
    const struct lane_slot *const slot = lane_slot_of(lane, sequence);
    if (!lane_needs_fragments(slot, lane->path.bytes)) {
        out.kind = PICK_DATA;
    } else if (lane_may_fragment(lane, sequence)) {
        out.kind = PICK_FRAGMENT;
    }
    return out;
}

/* Oldest first: what has to go again, then what is new. Lingering and congestion are not asked. */
static struct lane_pick lane_pick(const struct lane *lane)
{
    const struct lane_pick nothing = {.kind = PICK_NOTHING};
    if (lane->due_count > 0) { return pick_of(lane, lane_first_due(lane), false); }
    if (lane->new_next >= lane->next_sequence) { return nothing; }
    if (lane->new_next - lane->received_next >= LANE_AHEAD_MAX) { return nothing; }
    if (lane_waits_for_credit(lane)) { return nothing; }
    return pick_of(lane, lane->new_next, true);
}

/* When a datagram with the newest records is full, or has waited long enough. */
static uint64_t lane_ripe_ns(const struct lane *lane)
{
    if (lane->new_next < lane->flush_next) { return 0; }
    if (lane->unsent_bytes >= lane->path.bytes - LANE_DATA_AROUND_BYTES) { return 0; }
    if (lane->next_sequence - lane->new_next >= NATIVE_RECORDS_MAX) { return 0; }
    const uint64_t given_ns = lane_slot_of(lane, lane->new_next)->given_ns;
    const uint64_t linger_ns = lane->options.linger_ns;
    return linger_ns > UINT64_MAX - given_ns ? UINT64_MAX : given_ns + linger_ns;
}

static bool lane_has_window(const struct lane *lane)
{
    return congestion_room_bytes(&lane->congestion, lane_flight_bytes(lane)) >= lane->path.bytes;
}

/* When the pick may leave; UINT64_MAX: an ACK or the loss timer has to come first. */
static uint64_t lane_pick_ns(const struct lane *lane, const struct lane_pick *pick)
{
    if (pick->kind == PICK_NOTHING || !lane_has_window(lane)) { return UINT64_MAX; }
    const uint64_t paced_ns =
        pacing_next_ns(&lane->pacing, lane_pacing_rate(lane), lane->path.bytes, lane->now_ns);
    return pick->is_new ? lane_most(paced_ns, lane_ripe_ns(lane)) : paced_ns;
}

/* ------------------------------------------------------------------------------------ sending */

/* The datagram leaves: booked with loss recovery, which has room (asked before). */
static void lane_book(struct lane *lane, const struct lane_packet *packet, size_t size_bytes)
{
    struct lane_session *const session = &lane->session;
    const struct loss_packet sent = {
        .number = session->next_packet++,
        .sent_ns = lane->now_ns,
        .size_bytes = (uint32_t)size_bytes,
        .ack_eliciting = packet->kind != LANE_PACKET_PATH,
    };
    if (lane_flight_bytes(lane) == 0) { session->flight_began_ns = lane->now_ns; }
    const enum status status = loss_sent(lane->loss, &sent);
    assert(status == STATUS_OK);
    lane->packets[sent.number & lane->packet_mask] = *packet;
    pacing_sent(&lane->pacing, lane_pacing_rate(lane), sent.size_bytes, lane->now_ns);
    session->sent_ns = lane->now_ns;
    session->ping_due = false;
    session->confirm_due = false; /* every one of them says what is confirmed */
}

static struct native_data lane_numbers(const struct lane *lane, uint64_t first_sequence)
{
    const struct native_data out = {
        .packet_number = lane->session.next_packet,
        .first_sequence = first_sequence,
        .confirmed = lane->durable,
    };
    return out;
}

/* A record of a pack in progress: may it follow, and what changes when it does. */
static bool lane_may_follow(const struct lane *lane, const struct lane_pick *pick,
                            enum lane_record_state state, uint64_t sequence)
{
    const uint64_t end = pick->is_new ? lane->next_sequence : lane->new_next;
    if (sequence >= end) { return false; }
    if (*lane_state_of(lane, sequence) != state) { return false; }
    const struct lane_slot *const slot = lane_slot_of(lane, sequence);
    if (slot->assembly != LANE_NO_ASSEMBLY) { return false; }
    if (!pick->is_new) { return true; }
    if (sequence - lane->received_next >= LANE_AHEAD_MAX) { return false; }
    return lane_has_credit(lane, lane->used_bytes, lane_cost_of(slot));
}

static void lane_note_sent(struct lane *lane, uint64_t sequence)
{
    if (sequence < lane->reach) {
        lane->stats.records_resent++;
    } else {
        lane->stats.records_sent++;
        lane->reach = sequence + 1;
    }
}

/* A new record goes out for the first time in this session. */
static void lane_begin_record(struct lane *lane, uint64_t sequence)
{
    assert_hot(sequence == lane->new_next);
    const uint64_t cost_bytes = lane_cost_of(lane_slot_of(lane, sequence));
    lane->used_bytes += cost_bytes;
    lane->unsent_bytes -= cost_bytes;
    lane->new_next++;
}

static void lane_leave_due(struct lane *lane, uint64_t sequence)
{
    if (*lane_state_of(lane, sequence) == LANE_RECORD_DUE) {
        lane->due_count--;
        lane->due_from = sequence + 1; /* it was the lowest: lane_pick */
    }
    *lane_state_of(lane, sequence) = LANE_RECORD_SENT;
}

/* As many records from pick->sequence on as fit and are in `state`. */
static size_t lane_send_data(struct lane *lane, uint8_t *room, uint32_t size_bytes,
                             const struct lane_pick *pick, enum lane_record_state state)
{
    struct sink records = native_data_begin(room, size_bytes);
    uint64_t sequence = pick->sequence;
    while (sequence - pick->sequence < NATIVE_RECORDS_MAX &&
           lane_may_follow(lane, pick, state, sequence)) {
        const struct lane_slot *const slot = lane_slot_of(lane, sequence);
        if (lane_cost_of(slot) > sink_room_bytes(&records)) { break; }
        native_record_encode(&records, &slot->record);
        lane_note_sent(lane, sequence);
        if (pick->is_new) { lane_begin_record(lane, sequence); }
        lane_leave_due(lane, sequence);
        sequence++;
    }
    assert(sequence > pick->sequence);

    struct native_data data = lane_numbers(lane, pick->sequence);
    data.record_count = (uint32_t)(sequence - pick->sequence);
    const size_t len_bytes = native_data_end(room, &records, lane->session.id, &data);
    assert(len_bytes > 0);
    const struct lane_packet packet = {
        .kind = LANE_PACKET_DATA,
        .first = pick->sequence,
        .count = data.record_count,
        .copy = state == LANE_RECORD_SENT,
    };
    lane_book(lane, &packet, len_bytes);
    return len_bytes;
}

/* Everything before the value, which comes last in a record, and the value's first bytes, so that
 * each fragment is one slice of either. The encoder stops where the value does not fit. */
static void lane_load_head(struct lane *lane, uint64_t sequence)
{
    if (lane->head_sequence == sequence) { return; }
    const struct lane_slot *const slot = lane_slot_of(lane, sequence);
    const struct bytes value = slot->record.value;
    const size_t head_bytes = slot->record_bytes - value.len_bytes;
    struct sink head = sink_into(lane->head, head_bytes);
    native_record_encode_bare(&head, &slot->record);
    assert(sink_room_bytes(&head) == 0);
    const size_t tail_bytes = lane_least(value.len_bytes, LANE_FRAGMENT_ROOM_BYTES);
    if (tail_bytes > 0) { memcpy(lane->head + head_bytes, value.at, tail_bytes); }
    lane->head_sequence = sequence;
}

static struct bytes lane_cut(struct lane *lane, uint64_t sequence, size_t offset, size_t len_bytes)
{
    lane_load_head(lane, sequence);
    const struct lane_slot *const slot = lane_slot_of(lane, sequence);
    const struct bytes value = slot->record.value;
    const size_t head_bytes = slot->record_bytes - value.len_bytes;
    if (offset < head_bytes) { return bytes_of(lane->head + offset, len_bytes); }
    return bytes_slice(value, offset - head_bytes, offset - head_bytes + len_bytes);
}

/* The longest run of due chunks that fits; the end of the record need not be whole. */
static uint32_t assembly_run_bytes(const struct lane_assembly *assembly, uint32_t first,
                                   uint32_t record_bytes, uint32_t room_bytes)
{
    const uint32_t whole_bytes = room_bytes - room_bytes % NATIVE_FRAGMENT_CHUNK_BYTES;
    const uint32_t left_bytes = record_bytes - first * NATIVE_FRAGMENT_CHUNK_BYTES;
    uint32_t end = first;
    while (end < assembly->chunk_count && assembly_is_due(assembly, end)) {
        end++;
        if ((end - first) * NATIVE_FRAGMENT_CHUNK_BYTES > room_bytes) { break; }
    }
    if (end == assembly->chunk_count && left_bytes <= room_bytes) { return left_bytes; }
    return (uint32_t)lane_least(whole_bytes, (end - first) * NATIVE_FRAGMENT_CHUNK_BYTES);
}

static size_t lane_send_fragment(struct lane *lane, uint8_t *room, uint32_t size_bytes,
                                 const struct lane_pick *pick)
{
    const uint64_t sequence = pick->sequence;
    struct lane_assembly *const assembly = lane_acquire_assembly(lane, sequence);
    if (pick->is_new) {
        lane_begin_record(lane, sequence);
        lane_note_sent(lane, sequence);
        lane_make_due(lane, sequence);
    }

    const uint32_t record_bytes = lane_slot_of(lane, sequence)->record_bytes;
    const uint32_t first = assembly_first_due(assembly);
    const uint32_t offset = first * NATIVE_FRAGMENT_CHUNK_BYTES;
    const uint32_t run_bytes =
        assembly_run_bytes(assembly, first, record_bytes, size_bytes - LANE_FRAGMENT_AROUND_BYTES);
    const uint32_t chunks =
        (run_bytes + NATIVE_FRAGMENT_CHUNK_BYTES - 1) / NATIVE_FRAGMENT_CHUNK_BYTES;
    struct native_data fragment = lane_numbers(lane, sequence);
    fragment.record_bytes = record_bytes;
    fragment.fragment_offset = offset;
    fragment.payload = lane_cut(lane, sequence, offset, run_bytes);
    const size_t len_bytes = native_encode_fragment(room, size_bytes, lane->session.id, &fragment);
    assert(len_bytes > 0);

    assembly_clear_due(assembly, first, chunks);
    if (assembly->due_count == 0) { lane_leave_due(lane, sequence); }
    const struct lane_packet packet = {
        .kind = LANE_PACKET_FRAGMENT, .first = sequence, .count = chunks, .first_chunk = first};
    lane_book(lane, &packet, len_bytes);
    return len_bytes;
}

static size_t lane_send_ping(struct lane *lane, uint8_t *room, uint32_t size_bytes,
                             enum lane_packet_kind kind)
{
    const struct native_data ping = lane_numbers(lane, lane->new_next);
    const size_t len_bytes =
        native_encode_ping(room, size_bytes, lane->session.id, &ping, size_bytes);
    assert(len_bytes > 0);
    const struct lane_packet packet = {.kind = kind};
    lane_book(lane, &packet, len_bytes);
    return len_bytes;
}

/* ------------------------------------------------------------------------------------- choice */

static size_t lane_send_pick(struct lane *lane, uint8_t *room, uint32_t size_bytes,
                             const struct lane_pick *pick)
{
    if (pick->kind == PICK_FRAGMENT) { return lane_send_fragment(lane, room, size_bytes, pick); }
    const enum lane_record_state state = pick->is_new ? LANE_RECORD_UNSENT : LANE_RECORD_DUE;
    return lane_send_data(lane, room, size_bytes, pick, state);
}

/* The oldest records that may still be on their way, once more. */
static bool lane_may_copy(const struct lane *lane, uint64_t sequence)
{
    if (sequence >= lane->new_next || sequence < lane->received_next) { return false; }
    if (*lane_state_of(lane, sequence) != LANE_RECORD_SENT) { return false; }
    return !lane_needs_fragments(lane_slot_of(lane, sequence), NATIVE_DATAGRAM_BYTES_BASE);
}

/* Whatever window and pacing say (RFC 9002, section 6.2.4), in the size that every path carries:
 * what has to go again, or else copies of the oldest, or else a PING. */
static size_t lane_send_probe(struct lane *lane, uint8_t *room)
{
    lane->session.probes_due--;
    if (lane->due_count > 0) {
        const struct lane_pick pick = lane_pick(lane);
        const bool fits =
            pick.kind == PICK_FRAGMENT ||
            (pick.kind == PICK_DATA &&
             !lane_needs_fragments(lane_slot_of(lane, pick.sequence), NATIVE_DATAGRAM_BYTES_BASE));
        if (fits) { return lane_send_pick(lane, room, NATIVE_DATAGRAM_BYTES_BASE, &pick); }
    }
    if (lane_may_copy(lane, lane->session.probe_next)) {
        const struct lane_pick pick = {.kind = PICK_DATA, .sequence = lane->session.probe_next};
        const size_t len_bytes =
            lane_send_data(lane, room, NATIVE_DATAGRAM_BYTES_BASE, &pick, LANE_RECORD_SENT);
        const uint64_t number = lane->session.next_packet - 1;
        lane->session.probe_next += lane->packets[number & lane->packet_mask].count;
        return len_bytes;
    }
    lane->session.probes_due = 0; /* a second PING would say nothing new */
    return lane_send_ping(lane, room, NATIVE_PING_BYTES, LANE_PACKET_PING);
}

size_t lane_session_datagram(struct lane *lane, uint8_t *room)
{
    if (loss_is_full(lane->loss)) { return 0; }
    if (lane->session.probes_due > 0) { return lane_send_probe(lane, room); }
    const uint32_t path_bytes = lane_path_probe(lane);
    if (path_bytes > 0) {
        const uint64_t number = lane->session.next_packet;
        const size_t len_bytes = lane_send_ping(lane, room, path_bytes, LANE_PACKET_PATH);
        lane_path_sent(lane, number);
        return len_bytes;
    }
    const struct lane_pick pick = lane_pick(lane);
    if (lane_pick_ns(lane, &pick) <= lane->now_ns) {
        return lane_send_pick(lane, room, lane->path.bytes, &pick);
    }
    if (!lane->session.ping_due && !lane->session.confirm_due) { return 0; }
    return lane_send_ping(lane, room, NATIVE_PING_BYTES, LANE_PACKET_PING);
}

uint64_t lane_session_datagram_ns(const struct lane *lane)
{
    if (loss_is_full(lane->loss)) { return UINT64_MAX; }
    if (lane->session.probes_due > 0 || lane_path_probe(lane) > 0) { return lane->now_ns; }
    if (lane->session.ping_due || lane->session.confirm_due) { return lane->now_ns; }
    const struct lane_pick pick = lane_pick(lane);
    return lane_pick_ns(lane, &pick);
}
