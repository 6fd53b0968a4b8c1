#include "dataplane/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "base/large_array.h"
#include "dataplane/sessions_state.h"

enum {
    TIMERS_SESSIONS_MAX = 64, /* ends looked at in one call */
    TIMERS_FORGET_MAX = 8,    /* lanes looked at in one call */
    TIMERS_IMPORT_MAX = 64,   /* … */
    TIMERS_CONFIRM_MAX = 64,  /* … */
    TIMERS_TELL_MAX = 256,    /* … */
    WAITING_LANE_MIN = 8,     /* frames that a lane may keep waiting however short they are */
    WAITING_LANE_MAX = 1024,  /* … however many there are: they are a list */
    COMMIT_SHARE_MIN_BYTES = 8 * NATIVE_DATAGRAM_BYTES_BASE,
    RUNS_PENDING_MAX = 512, /* fates of records that are decoded and not yet appended */
};

/* A producer that confirms nothing for this long, while the pool of fates is short, is not told the
 * old ones any more; and this long may a record take to be put together while another waits. */
static const uint64_t patience_ns = UINT64_C(10) * NS_PER_S;
static const uint64_t tick_ns = 100 * NS_PER_MS;

/* Where a datagram that says nothing to us ends. NATIVE_OK is counted by what it was. */
static const enum stats_counter result_counters[NATIVE_RESULT_COUNT] = {
    [NATIVE_OK] = STATS_frames_native,
    [NATIVE_TRUNCATED] = STATS_frames_native_truncated,
    [NATIVE_BAD_CHECKSUM] = STATS_frames_native_bad_checksum,
    [NATIVE_OTHER_VERSION] = STATS_frames_native_other_version,
    [NATIVE_SEALED] = STATS_frames_native_sealed,
    [NATIVE_UNKNOWN_TYPE] = STATS_frames_native_unknown_type,
    [NATIVE_MALFORMED] = STATS_frames_native_malformed,
};

/* -------------------------------------------------------------------------------- who is told */

void session_tell_now(struct sessions *sessions, uint32_t lane)
{
    struct session *const session = &sessions->items[lane];
    session->telling = SESSION_TELLS_NOW;
    if (session->in_due) { return; }
    session->in_due = true;
    lane_ring_push(&sessions->due, lane, 0);
}

/* One that was told meanwhile and has something new stands there with the old end: it is told
 * before its delay is over. */
void session_tell_soon(struct sessions *sessions, uint32_t lane, uint64_t now_ns)
{
    struct session *const session = &sessions->items[lane];
    if (session->telling != SESSION_TELLS_NOTHING) { return; }
    session->telling = SESSION_TELLS_SOON;
    if (session->in_delayed) { return; }
    session->in_delayed = true;
    lane_ring_push(&sessions->delayed, lane, now_ns + SESSION_ACK_DELAY_US * NS_PER_US);
}

void session_told(struct sessions *sessions, uint32_t lane)
{
    sessions->items[lane].telling = SESSION_TELLS_NOTHING;
}

/* ------------------------------------------------------------------------- frames that wait */

static uint32_t waiting_take(struct sessions *sessions)
{
    const uint32_t node = sessions->waiting_free;
    if (node == LANE_NONE) { return LANE_NONE; }
    sessions->waiting_free = sessions->waiting[node].next;
    sessions->waiting_used++;
    return node;
}

static void waiting_give(struct sessions *sessions, uint32_t node)
{
    sessions->waiting[node].next = sessions->waiting_free;
    sessions->waiting_free = node;
    sessions->waiting_used--;
}

/* More is for lanes while few frames wait: whoever hoards leaves the others their part. */
static bool waiting_has_room(const struct sessions *sessions, const struct session *session)
{
    const uint32_t free_count = sessions->options.frames_waiting_max - sessions->waiting_used;
    if (free_count == 0 || session->waiting_count >= WAITING_LANE_MAX) { return false; }
    return session->waiting_count < WAITING_LANE_MIN || session->waiting_count < free_count / 2;
}

static void waiting_insert(struct sessions *sessions, struct session *session,
                           const struct session_input *input, const struct native_data *data)
{
    const uint64_t first_sequence = data->first_sequence;
    const uint32_t node = waiting_take(sessions);
    assert(node != LANE_NONE);
    struct waiting_frame *const frame = &sessions->waiting[node];
    *frame = (struct waiting_frame){
        .packet = *input->packet,
        .first_sequence = first_sequence,
        .record_count = data->record_count,
        .received = input->received,
        .next = LANE_NONE,
        .port = (uint8_t)input->port,
    };
    session->waiting_count++;

    const uint32_t tail = session->waiting_tail;
    if (tail != LANE_NONE && sessions->waiting[tail].first_sequence <= first_sequence) {
        sessions->waiting[tail].next = node;
        session->waiting_tail = node;
        return;
    }
    /* What comes in order behind a gap goes behind the one before it. */
    uint32_t *link = &session->waiting_head;
    if (session->waiting_newest != LANE_NONE &&
        sessions->waiting[session->waiting_newest].first_sequence <= first_sequence) {
        link = &sessions->waiting[session->waiting_newest].next;
    }
    session->waiting_newest = node;
    while (*link != LANE_NONE && sessions->waiting[*link].first_sequence <= first_sequence) {
        link = &sessions->waiting[*link].next;
    }
    frame->next = *link;
    *link = node;
    if (frame->next == LANE_NONE) { session->waiting_tail = node; }
}

static uint32_t waiting_pop(struct sessions *sessions, struct session *session)
{
    const uint32_t node = session->waiting_head;
    session->waiting_head = sessions->waiting[node].next;
    if (session->waiting_head == LANE_NONE) { session->waiting_tail = LANE_NONE; }
    if (session->waiting_newest == node) { session->waiting_newest = LANE_NONE; }
    session->waiting_count--;
    return node;
}

bool session_fates_have_room(const struct sessions *sessions, uint32_t lane, uint32_t record_count)
{
    const struct lane *const known = &sessions->lanes[lane];
    const uint64_t undecided =
        sessions->items[lane].next_sequence - 1 - known->state.last_sequence + record_count;
    const uint32_t free_count = lane_table_pool_free(sessions->table);
    if (known->run_count + undecided > lane_table_lane_runs_max(sessions->table)) { return false; }
    if (known->run_count > WAITING_LANE_MIN + free_count / 8) {
        return false;
    } /* who hoards waits */
    return free_count >= RUNS_PENDING_MAX + record_count;
}

static void ready_check(struct sessions *sessions, uint32_t lane)
{
    struct session *const session = &sessions->items[lane];
    if (session->waiting_head == LANE_NONE || session->ready_queued) { return; }
    const struct waiting_frame *const head = &sessions->waiting[session->waiting_head];
    if (head->first_sequence > session->next_sequence) { return; }
    if (!session_fates_have_room(sessions, lane, head->record_count)) { return; }

    session->ready_queued = true;
    session->ready_next = LANE_NONE;
    if (sessions->ready.tail == LANE_NONE) {
        sessions->ready.head = lane;
    } else {
        sessions->items[sessions->ready.tail].ready_next = lane;
    }
    sessions->ready.tail = lane;
}

size_t sessions_take_ready(struct sessions *sessions, struct packet *out, size_t capacity,
                           size_t *out_port, struct instant *out_received)
{
    size_t count = 0;
    while (count < capacity && sessions->ready.head != LANE_NONE) {
        const uint32_t lane = sessions->ready.head;
        struct session *const session = &sessions->items[lane];
        uint64_t next = session->next_sequence;
        while (session->waiting_head != LANE_NONE) {
            const struct waiting_frame *const frame = &sessions->waiting[session->waiting_head];
            if (frame->first_sequence > next) { break; } /* another gap */
            if (count == capacity || (count > 0 && frame->port != *out_port)) { return count; }
            const uint64_t end = frame->first_sequence + frame->record_count;
            if (end > next) { next = end; }
            if (count == 0) {
                *out_port = frame->port;
                *out_received = frame->received;
            }
            out[count++] = frame->packet;
            waiting_give(sessions, waiting_pop(sessions, session));
        }
        sessions->ready.head = session->ready_next;
        if (sessions->ready.head == LANE_NONE) { sessions->ready.tail = LANE_NONE; }
        session->ready_queued = false;
    }
    return count;
}

static void waiting_release(struct sessions *sessions, struct session *session)
{
    while (session->waiting_head != LANE_NONE) {
        const uint32_t node = waiting_pop(sessions, session);
        const struct waiting_frame *const frame = &sessions->waiting[node];
        outbox_cancel(sessions->outbox, frame->port, frame->packet.handle);
        waiting_give(sessions, node);
    }
}

/* --------------------------------------------------------------------------------- fragments */

static void fragment_give_up(struct sessions *sessions, struct session *session)
{
    if (session->fragment == SESSION_FRAGMENT_NONE) { return; }
    sessions->fragments[session->fragment].used = false;
    session->fragment = SESSION_FRAGMENT_NONE;
}

void sessions_fragment_done(struct sessions *sessions, uint16_t fragment)
{
    struct fragment_buffer *const buffer = &sessions->fragments[fragment];
    assert(buffer->used && buffer->handed_out);
    buffer->used = false;
}

/* One that is not used; else the one of a lane that does not go on. Of that one chunks were named
 * as received: its session ends, so that its producer sends them again. */
static struct fragment_buffer *fragment_buffer_take(struct sessions *sessions, uint64_t now_ns)
{
    struct fragment_buffer *stalest = NULL;
    for (size_t i = 0; i < SESSION_FRAGMENTS_MAX; i++) {
        struct fragment_buffer *const buffer = &sessions->fragments[i];
        if (!buffer->used) { return buffer; }
        if (buffer->handed_out) { continue; }
        const bool idle = now_ns - buffer->progress_ns >= sessions->options.takeover_after_ns;
        if (!idle && now_ns - buffer->began_ns < patience_ns) { continue; }
        if (stalest == NULL || buffer->began_ns < stalest->began_ns) { stalest = buffer; }
    }
    if (stalest == NULL) { return NULL; }
    sessions_count(sessions, STATS_sessions_timed_out, 1);
    session_end(sessions, stalest->lane);
    return stalest;
}

static struct fragment_buffer *fragment_buffer_for(struct sessions *sessions, uint32_t lane,
                                                   uint32_t record_bytes, uint64_t now_ns)
{
    struct session *const session = &sessions->items[lane];
    if (session->fragment != SESSION_FRAGMENT_NONE) {
        struct fragment_buffer *const buffer = &sessions->fragments[session->fragment];
        return buffer->record_bytes == record_bytes ? buffer : NULL;
    }
    struct fragment_buffer *const buffer = fragment_buffer_take(sessions, now_ns);
    if (buffer == NULL) { return NULL; }
    buffer->used = true;
    buffer->handed_out = false;
    buffer->lane = lane;
    buffer->record_bytes = record_bytes;
    buffer->missing_chunks =
        (record_bytes + NATIVE_FRAGMENT_CHUNK_BYTES - 1) / NATIVE_FRAGMENT_CHUNK_BYTES;
    buffer->began_ns = now_ns;
    buffer->progress_ns = now_ns;
    memset(buffer->chunks, 0, sizeof buffer->chunks);
    session->fragment = (uint16_t)(buffer - sessions->fragments);
    return buffer;
}

static void fragment_put(struct fragment_buffer *buffer, const struct native_data *data,
                         uint64_t now_ns)
{
    memcpy(buffer->at + data->fragment_offset, data->payload.at, data->payload.len_bytes);
    const size_t first = data->fragment_offset / NATIVE_FRAGMENT_CHUNK_BYTES;
    const size_t count =
        (data->payload.len_bytes + NATIVE_FRAGMENT_CHUNK_BYTES - 1) / NATIVE_FRAGMENT_CHUNK_BYTES;
    for (size_t chunk = first; chunk < first + count; chunk++) {
        const uint64_t bit = UINT64_C(1) << (chunk % 64);
        if (buffer->chunks[chunk / 64] & bit) { continue; }
        buffer->chunks[chunk / 64] |= bit;
        buffer->missing_chunks--;
        buffer->progress_ns = now_ns;
    }
}

/* ---------------------------------------------------------------------------------- datagrams */

void session_end(struct sessions *sessions, uint32_t lane)
{
    struct session *const session = &sessions->items[lane];
    if (session->state == SESSION_NONE) { return; }
    waiting_release(sessions, session);
    fragment_give_up(sessions, session);
    session_told(sessions, lane);
    timer_wheel_cancel(sessions->wheel, lane);
    session->state = SESSION_NONE;
    session->id = 0;
    session->accept_due = false;
    session->close_due = false;
    session->told_closed = false;
    session->unacked = 0;
    sessions->live_count--;
    sessions->stats->sessions_live = sessions->live_count;
}

/* The packet's number is named from now on. False: it was before. */
static bool packet_arrived(struct sessions *sessions, uint32_t lane, uint64_t number,
                           const struct session_input *input)
{
    struct session *const session = &sessions->items[lane];
    const bool in_order = !session->window.any || number == session->window.largest + 1;
    const enum packet_window_result result = packet_window_add(&session->window, number);
    if (session->window.largest == number) {
        session->largest_received_ns = input->received.mono_ns;
    }
    if (session->unacked < UINT8_MAX) { session->unacked++; }
    if (session->unacked >= SESSION_ACK_PACKETS || !in_order) { /* RFC 9000, 13.2.1 */
        session_tell_now(sessions, lane);
    } else {
        session_tell_soon(sessions, lane, input->received.mono_ns);
    }
    if (result == PACKET_WINDOW_NEW) { return true; }
    sessions_count(sessions, STATS_native_packets_repeated, 1);
    return false;
}

static void lane_is_active(struct sessions *sessions, struct session *session, size_t len_bytes)
{
    const uint16_t tick = (uint16_t)sessions->tick;
    if (session->active_tick != tick) {
        session->active_tick = tick;
        session->tick_units = 0;
    }
    if (session->tick_units >= sessions->active_units) { return; } /* is counted */
    session->tick_units += (uint16_t)(len_bytes / SESSION_TICK_UNIT_BYTES + 1);
    if (session->tick_units >= sessions->active_units) { sessions->active_now++; }
}

/* Of the open commit, a lane takes its share. A producer that keeps to its credit never meets this
 * limit; one that does not is slowed here, and the others are not. */
static bool share_allows(struct sessions *sessions, struct session *session, size_t len_bytes)
{
    if (session->taken_commit != sessions->open_commit) {
        session->taken_commit = sessions->open_commit;
        session->taken_bytes = 0;
    }
    if (session->taken_bytes > sessions->commit_share_bytes) { return false; }
    session->taken_bytes += (uint32_t)len_bytes;
    return true;
}

/* The records fill the datagram exactly. */
static bool records_are_whole(struct bytes records, uint32_t count)
{
    struct bytes record;
    for (uint32_t i = 0; i < count; i++) {
        if (!native_record_take(&records, &record)) { return false; }
    }
    return records.len_bytes == 0;
}

static enum session_result data_ahead(struct sessions *sessions, uint32_t lane,
                                      const struct session_input *input,
                                      const struct native_data *data)
{
    struct session *const session = &sessions->items[lane];
    const bool near = data->first_sequence - session->next_sequence <= SESSION_AHEAD_MAX;
    const bool room = waiting_has_room(sessions, session) &&
                      session_fates_have_room(sessions, lane, data->record_count);
    if (!input->again && (!near || !room)) { /* one that waited was named: it stays */
        sessions_count(sessions, STATS_native_ahead_dropped, 1);
        return SESSION_DONE;
    }
    if (!input->again && !packet_arrived(sessions, lane, data->packet_number, input)) {
        return SESSION_DONE;
    }
    session_tell_now(sessions, lane); /* RFC 9000, 13.2.1: out of order, at once */
    waiting_insert(sessions, session, input, data);
    sessions_count(sessions, STATS_native_ahead_kept, 1);
    return SESSION_KEPT;
}

static void records_are_duplicates(struct sessions *sessions, uint64_t count)
{
    sessions_count(sessions, STATS_records_in, count);
    sessions_count(sessions, STATS_records_duplicate, count);
}

static enum session_result receive_data(struct sessions *sessions, uint32_t lane,
                                        const struct session_input *input,
                                        const struct native_data *data, struct session_records *out)
{
    struct session *const session = &sessions->items[lane];
    if (!records_are_whole(data->payload, data->record_count)) {
        sessions_count(sessions, STATS_native_records_malformed, 1);
        return SESSION_DONE;
    }
    if (data->first_sequence > session->next_sequence) {
        return data_ahead(sessions, lane, input, data);
    }
    const uint64_t known = session->next_sequence - data->first_sequence;
    if (known >= data->record_count) {
        if (!input->again) { (void)packet_arrived(sessions, lane, data->packet_number, input); }
        records_are_duplicates(sessions, data->record_count);
        return SESSION_DONE;
    }
    /* What waited was named as received: it is never dropped, and waits on for room. */
    if (input->again) {
        if (!session_fates_have_room(sessions, lane, data->record_count)) {
            waiting_insert(sessions, session, input, data);
            return SESSION_KEPT;
        }
    } else {
        if (!session_fates_have_room(sessions, lane, data->record_count) ||
            !share_allows(sessions, session, data->payload.len_bytes)) {
            sessions_count(sessions, STATS_native_over_share, 1);
            return SESSION_DONE;
        }
        (void)packet_arrived(sessions, lane, data->packet_number, input);
    }
    lane_is_active(sessions, session, data->payload.len_bytes);
    fragment_give_up(sessions, session);

    /* Field by field: a whole struct is cleared first, by a string instruction that takes longer
     * than all of this. */
    out->lane = lane;
    out->left = data->record_count;
    out->bytes = data->payload;
    out->fragment = SESSION_FRAGMENT_NONE;
    out->too_large = false;
    out->single = false;
    struct bytes duplicate;
    for (uint64_t i = 0; i < known; i++) { (void)native_record_take(&out->bytes, &duplicate); }
    out->left -= (uint32_t)known;
    sessions->lane_in_hand = lane;
    if (known > 0) { records_are_duplicates(sessions, known); }
    return SESSION_RECORDS;
}

static enum session_result receive_fragment(struct sessions *sessions, uint32_t lane,
                                            const struct session_input *input,
                                            const struct native_data *data,
                                            struct session_records *out)
{
    struct session *const session = &sessions->items[lane];
    sessions_count(sessions, STATS_native_fragments, 1);
    if (data->first_sequence != session->next_sequence) {
        if (data->first_sequence < session->next_sequence) {
            (void)packet_arrived(sessions, lane, data->packet_number, input);
        } else {
            sessions_count(sessions, STATS_native_ahead_dropped, 1);
        }
        return SESSION_DONE;
    }
    if (!session_fates_have_room(sessions, lane, 1)) {
        sessions_count(sessions, STATS_native_over_share, 1);
        return SESSION_DONE;
    }
    *out = (struct session_records){
        .lane = lane, .left = 1, .fragment = SESSION_FRAGMENT_NONE, .single = true};
    if (data->record_bytes > sessions->options.max_record_bytes) {
        (void)packet_arrived(sessions, lane, data->packet_number, input);
        fragment_give_up(sessions, session);
        out->too_large = true;
        sessions->lane_in_hand = lane;
        return SESSION_RECORDS;
    }

    const uint64_t now_ns = input->received.mono_ns;
    struct fragment_buffer *const buffer =
        fragment_buffer_for(sessions, lane, data->record_bytes, now_ns);
    if (buffer == NULL || !share_allows(sessions, session, data->payload.len_bytes)) {
        sessions_count(sessions, STATS_native_over_share, 1);
        return SESSION_DONE;
    }
    (void)packet_arrived(sessions, lane, data->packet_number, input);
    lane_is_active(sessions, session, data->payload.len_bytes);
    fragment_put(buffer, data, now_ns);
    if (buffer->missing_chunks > 0) { return SESSION_DONE; }

    buffer->handed_out = true;
    out->bytes = bytes_of(buffer->at, buffer->record_bytes);
    out->fragment = session->fragment;
    session->fragment = SESSION_FRAGMENT_NONE;
    sessions->lane_in_hand = lane;
    return SESSION_RECORDS;
}

size_t sessions_take_records(struct sessions *sessions, struct session_records *records,
                             struct bytes *out, size_t capacity)
{
    const size_t count = records->left < capacity ? records->left : capacity;
    if (records->single) {
        assert_hot(records->left <= 1);
        if (count > 0) { out[0] = records->bytes; }
    } else {
        for (size_t i = 0; i < count; i++) {
            const bool whole = native_record_take(&records->bytes, &out[i]);
            assert_hot(whole); /* records_are_whole */
            (void)whole;
        }
    }
    records->left -= (uint32_t)count;
    sessions->items[records->lane].next_sequence += count;
    if (count < capacity) {
        sessions->lane_in_hand = LANE_NONE;
        ready_check(sessions, records->lane);
    }
    return count;
}

static void receive_close(struct sessions *sessions, uint32_t lane,
                          const struct native_close *close)
{
    lane_fates_confirm(sessions->table, lane, close->confirmed);
    (void)acknowledge_send_close(sessions, lane, (enum native_close_reason)close->reason);
    session_end(sessions, lane);
}

/* DATA, FRAGMENT, PING and CLOSE: of a session that the sender has, at the address it has it. */
static enum session_result receive_in_session(struct sessions *sessions,
                                              const struct session_input *input,
                                              const struct udp_path *path,
                                              const struct native_datagram *datagram,
                                              struct session_records *out)
{
    const uint32_t lane = session_lane_of(datagram->token);
    struct session *const session = lane < sessions->capacity ? &sessions->items[lane] : NULL;
    if (session == NULL || session->id != datagram->token || session->state != SESSION_LIVE ||
        !udp_path_equal(&session->path, path)) {
        sessions_count(sessions, STATS_native_unknown_session, 1);
        const struct native_reject reject = {.code = NATIVE_REJECT_SESSION_UNKNOWN};
        if (!input->again) {
            handshake_reject(sessions, input->port, path, datagram->token, &reject);
        }
        return SESSION_DONE;
    }
    if (!input->again) { /* else it is older than what was heard since */
        session->heard_ns = input->received.mono_ns;
        session->path = *path;
        session->port = (uint8_t)input->port;
    }
    if (datagram->type == NATIVE_CLOSE) {
        receive_close(sessions, lane, &datagram->close);
        return SESSION_DONE;
    }

    const struct native_data *const data = &datagram->data;
    if (data->confirmed > sessions->lanes[lane].state.confirmed) {
        lane_fates_confirm(sessions->table, lane, data->confirmed);
    }
    if (!input->again) { ready_check(sessions, lane); } /* room may have come for its fates */
    if (datagram->type == NATIVE_DATA) { return receive_data(sessions, lane, input, data, out); }
    if (datagram->type == NATIVE_FRAGMENT) {
        return receive_fragment(sessions, lane, input, data, out);
    }
    (void)packet_arrived(sessions, lane, data->packet_number, input);
    session_tell_now(sessions, lane);
    return SESSION_DONE;
}

void sessions_expect(const struct sessions *sessions, struct bytes payload)
{
    const uint32_t lane = session_lane_of(native_token_of(payload));
    if (lane < sessions->capacity) { session_prefetch(sessions, lane); }
}

enum session_result sessions_receive(struct sessions *sessions, const struct session_input *input,
                                     struct session_records *out)
{
    struct native_datagram datagram;
    const struct bytes payload = input->datagram->payload;
    const enum native_result result = native_decode(payload, &datagram);
    if (!input->again) { sessions_count(sessions, result_counters[result], 1); }

    struct udp_path path;
    const struct interface *const interface = sessions->interfaces[input->port];
    if (!udp_path_of(interface, input->packet, input->datagram, &path)) {
        sessions_count(sessions, STATS_native_unanswerable, 1);
        return SESSION_DONE;
    }
    if (result == NATIVE_OTHER_VERSION && payload.len_bytes >= NATIVE_VERSIONS_BYTES) {
        handshake_versions(sessions, input, &path, datagram.token);
        return SESSION_DONE;
    }
    if (result != NATIVE_OK) { return SESSION_DONE; }

    switch (datagram.type) {
    case NATIVE_HELLO: handshake_hello(sessions, input, &path, datagram.token); break;
    case NATIVE_OPEN: handshake_open(sessions, input, &path, datagram.token, &datagram.open); break;
    case NATIVE_DATA:
    case NATIVE_FRAGMENT:
    case NATIVE_PING:
    case NATIVE_CLOSE: return receive_in_session(sessions, input, &path, &datagram, out);
    default: /* what only an appliance says */
        sessions_count(sessions, STATS_native_misdirected, 1);
        break;
    }
    return SESSION_DONE;
}

/* --------------------------------------------------------------------------- credit and time */

static uint8_t status_of(const struct sessions *sessions, const struct session_pressure *pressure)
{
    if (sessions->draining || pressure->stopping) { return NATIVE_DRAINING; }
    if (pressure->closed_why == STATUS_NO_SPACE) { return NATIVE_CLOSED_NO_SPACE; }
    if (pressure->closed_why != STATUS_OK) { return NATIVE_CLOSED_IO; }
    return pressure->held ? NATIVE_BEHIND : NATIVE_WELL;
}

static void turn_tick(struct sessions *sessions, uint64_t now_ns)
{
    if (now_ns - sessions->tick_began_ns < tick_ns) { return; }
    sessions->tick_began_ns = now_ns;
    sessions->tick++;
    sessions->active_before = sessions->active_now;
    sessions->active_now = 0;
}

static uint32_t clamp_bytes(uint64_t bytes, uint32_t least, uint32_t most)
{
    if (bytes < least) { return least; }
    return bytes > most ? most : (uint32_t)bytes;
}

void sessions_pressure(struct sessions *sessions, const struct session_pressure *pressure,
                       struct instant now)
{
    const struct sessions_options *const options = &sessions->options;
    turn_tick(sessions, now.mono_ns);
    uint64_t active = sessions->active_now > sessions->active_before ? sessions->active_now
                                                                     : sessions->active_before;
    if (active == 0) { active = 1; }

    /* Twice what fits in flight, so that the disk has work while ACKs travel; half a commit's
     * worth once commits are behind. */
    const uint64_t budget_bytes = options->commit_bytes * options->commits_in_flight_max;
    const uint64_t share_bytes =
        (pressure->held ? options->commit_bytes / 2 : 2 * budget_bytes) / active;
    const bool closed =
        pressure->closed_why != STATUS_OK || pressure->stopping || sessions->draining;
    const bool was_closed = sessions->credit_bytes == 0;
    sessions->credit_bytes =
        closed ? 0 : clamp_bytes(share_bytes, SESSION_CREDIT_MIN_BYTES, SESSION_CREDIT_MAX_BYTES);
    sessions->commit_share_bytes =
        clamp_bytes(4 * options->commit_bytes / active, COMMIT_SHARE_MIN_BYTES, UINT32_MAX / 2);
    sessions->status = status_of(sessions, pressure);
    sessions->stats->lane_credit_bytes = sessions->credit_bytes;

    const bool again =
        closed && now.mono_ns - sessions->told_ns >= SESSION_TOLD_AGAIN_MS * NS_PER_MS;
    if (closed != was_closed || again) {
        sessions->told_ns = now.mono_ns;
        sessions->tell_cursor = 0;
    }
}

/* The log closed or opened: whoever has something under way, or was told 0, hears of it. */
static void tell_some(struct sessions *sessions)
{
    for (uint32_t i = 0; i < TIMERS_TELL_MAX && sessions->tell_cursor != LANE_NONE; i++) {
        const uint32_t lane = sessions->tell_cursor++;
        if (sessions->tell_cursor == sessions->capacity) { sessions->tell_cursor = LANE_NONE; }
        struct session *const session = &sessions->items[lane];
        if (session->state != SESSION_LIVE) { continue; }
        const bool under_way = session->next_sequence - 1 != sessions->lanes[lane].durable_sequence;
        if (under_way || session->told_closed) { session_tell_now(sessions, lane); }
    }
}

void sessions_commit_closed(struct sessions *sessions) { sessions->open_commit++; }

/* The commit that an OPEN or a hand-over is in is durable once no commit holds anything of the
 * lane: until then no record follows, and earlier commits are told from it by nothing else. */
static void settle(struct sessions *sessions, uint32_t lane)
{
    struct session *const session = &sessions->items[lane];
    const struct lane *const known = &sessions->lanes[lane];
    if (known->open_item != LANE_NONE || known->in_flight > 0) { return; }
    session->import_pending = false; /* likewise the hand-over */
    session->unsettled = false;
    if (session->state != SESSION_OPENING) { return; }
    session->state = SESSION_LIVE;
    session->accept_due = true;
}

void sessions_reap(struct sessions *sessions, uint64_t durable_number)
{
    uint32_t lanes[256];
    size_t count;
    do {
        count = lane_journal_reap(sessions->journal, durable_number, lanes, ARRAY_COUNT(lanes));
        for (size_t i = 0; i < count && i < SESSION_TELL_AHEAD; i++) {
            prefetch(&sessions->items[lanes[i]], SESSION_HOT_BYTES);
        }
        for (size_t i = 0; i < count; i++) {
            if (i + SESSION_TELL_AHEAD < count) {
                prefetch(&sessions->items[lanes[i + SESSION_TELL_AHEAD]], SESSION_HOT_BYTES);
            }
            struct session *const session = &sessions->items[lanes[i]];
            settle(sessions, lanes[i]);
            ready_check(sessions, lanes[i]);
            if (session->state == SESSION_LIVE) { session_tell_now(sessions, lanes[i]); }
        }
    } while (count == ARRAY_COUNT(lanes));
}

int64_t sessions_lane_clock_ms(const struct sessions *sessions, struct instant now)
{
    return sessions->lane_clock_ms + (int64_t)((now.mono_ns - sessions->lane_clock_ns) / NS_PER_MS);
}

static void end_some(struct sessions *sessions, uint64_t now_ns)
{
    uint32_t lanes[TIMERS_SESSIONS_MAX];
    const size_t count = timer_wheel_advance(sessions->wheel, now_ns, lanes, TIMERS_SESSIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct session *const session = &sessions->items[lanes[i]];
        uint64_t end_ns = session->heard_ns + sessions->options.session_timeout_ns;
        /* What its OPEN did is not durable yet: the next one must not be accepted before it is. */
        if (session->state == SESSION_OPENING && end_ns <= now_ns) {
            end_ns = now_ns + sessions->options.session_timeout_ns;
        }
        if (end_ns > now_ns) {
            timer_wheel_set(sessions->wheel, lanes[i], end_ns);
            continue;
        }
        sessions_count(sessions, STATS_sessions_timed_out, 1);
        session_end(sessions, lanes[i]);
    }
}

static void forget_some(struct sessions *sessions, struct instant now)
{
    const int64_t clock_ms = sessions_lane_clock_ms(sessions, now);
    const int64_t remember_ms = (int64_t)(sessions->options.remember_ns / NS_PER_MS);
    for (uint32_t i = 0; i < TIMERS_FORGET_MAX; i++) {
        const uint32_t lane = sessions->forget_cursor++;
        if (sessions->forget_cursor >= sessions->capacity) { sessions->forget_cursor = 0; }
        const struct lane *const known = &sessions->lanes[lane];
        const struct session *const session = &sessions->items[lane];
        if (!known->used || session->state != SESSION_NONE) { continue; }
        if (lane == sessions->lane_in_hand) { continue; }
        if (clock_ms - known->state.active_wall_ms < remember_ms) { continue; }
        if (known->durable_sequence != session->next_sequence - 1) { continue; }
        if (known->open_item != LANE_NONE || known->in_flight > 0) { continue; }
        if (!lane_journal_has_room(sessions->journal)) { return; }
        lane_journal_forget(sessions->journal, lane);
        sessions_count(sessions, STATS_lanes_forgotten, 1);
    }
}

/* What came from a partition without a worker is written down here, before that one's segments go.
 */
static void import_some(struct sessions *sessions)
{
    for (uint32_t i = 0; i < TIMERS_IMPORT_MAX && sessions->importing; i++) {
        if (!lane_journal_has_room(sessions->journal)) { return; }
        const uint32_t lane = sessions->import_cursor;
        const struct lane *const known = &sessions->lanes[lane];
        if (sessions->items[lane].import_pending && known->used && known->open_item == LANE_NONE) {
            if (!lane_journal_touch(sessions->journal, lane, LANE_IMPORTED)) { return; }
            sessions_count(sessions, STATS_lanes_imported, 1);
        }
        sessions->import_cursor++;
        if (sessions->import_cursor == sessions->capacity) { sessions->importing = false; }
    }
}

/* Fates are kept for producers that will confirm them. While the pool is short, those of a lane
 * where nothing was confirmed for long are given up: they are durable, and stand in the log. */
static void confirm_some(struct sessions *sessions, uint64_t now_ns)
{
    if (lane_table_pool_free(sessions->table) >= lane_table_pool_runs(sessions->table) / 2) {
        return;
    }
    for (uint32_t i = 0; i < TIMERS_CONFIRM_MAX; i++) {
        const uint32_t lane = sessions->confirm_cursor++;
        if (sessions->confirm_cursor >= sessions->capacity) { sessions->confirm_cursor = 0; }
        const struct lane *const known = &sessions->lanes[lane];
        struct session *const session = &sessions->items[lane];
        if (!known->used || known->run_count <= 2) { continue; }
        if (session->seen_confirmed != known->state.confirmed || session->seen_ns == 0) {
            session->seen_confirmed = known->state.confirmed;
            session->seen_ns = now_ns;
        }
        if (now_ns - session->seen_ns < patience_ns) { continue; }
        session->seen_ns = 0;
        session_end(sessions, lane); /* the next one begins behind them */
        lane_fates_confirm(sessions->table, lane, known->durable_sequence);
        sessions_count(sessions, STATS_native_fates_given_up, 1);
        note_post(sessions->options.notes, NOTE_FATES_GIVEN_UP, STATUS_FULL, lane, 0);
    }
}

void sessions_timers(struct sessions *sessions, struct instant now)
{
    confirm_some(sessions, now.mono_ns);
    sessions->stats->lanes_known = lane_table_count(sessions->table);
    end_some(sessions, now.mono_ns);
    tell_some(sessions);
    if (sessions->importing) { import_some(sessions); }
    forget_some(sessions, now);
}

void sessions_drain(struct sessions *sessions)
{
    sessions->draining = true;
    sessions->drain_cursor = 0;
}

bool sessions_are_drained(const struct sessions *sessions)
{
    return sessions->draining && sessions->live_count == 0;
}

/* -------------------------------------------------------------------------------- life cycle */

static enum status allocate(struct sessions *sessions)
{
    const struct sessions_options *const options = &sessions->options;
    sessions->items = large_array_create(sessions->capacity, sizeof *sessions->items);
    sessions->waiting = malloc(options->frames_waiting_max * sizeof *sessions->waiting);
    if (sessions->items == NULL || sessions->waiting == NULL) { return STATUS_NO_MEMORY; }
    if (lane_ring_init(&sessions->delayed, sessions->capacity) != STATUS_OK ||
        lane_ring_init(&sessions->due, sessions->capacity) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    memset(sessions->waiting, 0, options->frames_waiting_max * sizeof *sessions->waiting);

    const size_t buffer_bytes = (options->max_record_bytes + NATIVE_FRAGMENT_CHUNK_BYTES - 1) /
                                NATIVE_FRAGMENT_CHUNK_BYTES * NATIVE_FRAGMENT_CHUNK_BYTES;
    for (size_t i = 0; i < SESSION_FRAGMENTS_MAX; i++) {
        sessions->fragments[i].at = malloc(buffer_bytes);
        if (sessions->fragments[i].at == NULL) { return STATUS_NO_MEMORY; }
        memset(sessions->fragments[i].at, 0, buffer_bytes);
    }
    const struct timer_wheel_options wheel = {
        .item_count = sessions->capacity,
        .tick_ns = 10 * NS_PER_MS,
        .now_ns = options->now.mono_ns,
    };
    return timer_wheel_create(&wheel, &sessions->wheel);
}

static void init_items(struct sessions *sessions)
{
    int64_t youngest_ms = sessions->options.lane_clock_ms;
    for (uint32_t lane = 0; lane < sessions->capacity; lane++) {
        struct session *const session = &sessions->items[lane];
        const struct lane *const known = &sessions->lanes[lane];
        session->fragment = SESSION_FRAGMENT_NONE;
        session->waiting_head = LANE_NONE;
        session->waiting_tail = LANE_NONE;
        session->waiting_newest = LANE_NONE;
        session->taken_commit = UINT64_MAX;
        session->active_tick = UINT16_MAX;
        if (!known->used) { continue; }
        session->next_sequence = known->state.last_sequence + 1;
        session->import_pending = known->imported;
        if (known->imported) { sessions->importing = true; }
        if (known->state.active_wall_ms > youngest_ms) {
            youngest_ms = known->state.active_wall_ms;
        }
    }
    sessions->lane_clock_ms = youngest_ms;
    sessions->lane_clock_ns = sessions->options.now.mono_ns;

    sessions->waiting_free = LANE_NONE;
    for (uint32_t i = sessions->options.frames_waiting_max; i > 0; i--) {
        sessions->waiting[i - 1].next = sessions->waiting_free;
        sessions->waiting_free = i - 1;
    }
}

enum status sessions_create(const struct sessions_options *options, struct sessions **out)
{
    assert(lane_table_capacity(options->table) <= UINT32_C(1) << SESSION_LANE_BITS);
    assert(options->frames_waiting_max > 0);
    assert(options->max_record_bytes <= SESSION_FRAGMENT_CHUNKS_MAX * NATIVE_FRAGMENT_CHUNK_BYTES);
    struct sessions *const sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL) { return STATUS_NO_MEMORY; }
    sessions->options = *options;
    for (size_t i = 0; i < options->port_count; i++) {
        sessions->interfaces[i] = options->interfaces[i];
        sessions->steerings[i] = options->steerings[i];
    }
    sessions->table = options->table;
    sessions->lanes = lane_table_lanes(options->table);
    sessions->journal = options->journal;
    sessions->stats = options->stats;
    sessions->outbox = options->outbox;
    sessions->capacity = lane_table_capacity(options->table);
    sessions->ready.head = sessions->ready.tail = LANE_NONE;
    sessions->tick = 1;
    const uint64_t active_units =
        options->commit_bytes / SESSION_ACTIVE_PARTS / SESSION_TICK_UNIT_BYTES;
    sessions->active_units = active_units == 0     ? 1
                             : active_units < 4096 ? (uint16_t)active_units
                                                   : 4096;
    sessions->tick_began_ns = options->now.mono_ns;
    sessions->tell_cursor = LANE_NONE;
    sessions->drain_cursor = LANE_NONE;
    sessions->lane_in_hand = LANE_NONE;

    const enum status status = allocate(sessions);
    if (status != STATUS_OK) {
        sessions_destroy(sessions);
        return status;
    }
    init_items(sessions);
    const struct session_pressure none = {0};
    sessions_pressure(sessions, &none, options->now);
    sessions->tell_cursor = LANE_NONE;
    *out = sessions;
    return STATUS_OK;
}

void sessions_release_all(struct sessions *sessions)
{
    for (uint32_t lane = 0; lane < sessions->capacity; lane++) {
        waiting_release(sessions, &sessions->items[lane]);
    }
}

void sessions_destroy(struct sessions *sessions)
{
    if (sessions == NULL) { return; }
    assert(sessions->waiting_used == 0);
    timer_wheel_destroy(sessions->wheel);
    for (size_t i = 0; i < SESSION_FRAGMENTS_MAX; i++) { free(sessions->fragments[i].at); }
    lane_ring_deinit(&sessions->delayed);
    lane_ring_deinit(&sessions->due);
    free(sessions->waiting);
    free(sessions->items);
    free(sessions);
}
