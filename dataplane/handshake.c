#include "base/invariant.h"
#include "base/siphash.h"
#include "dataplane/sessions_state.h"

enum {
    RETRY_BUSY_MS = 500,
    RETRY_FULL_MS = 5000,
    RETRY_DRAINING_MS = 1000,
};

/* ------------------------------------------------------------------------------------ answers */

void handshake_reject(struct sessions *sessions, size_t port, const struct udp_path *path,
                      uint64_t token, const struct native_reject *reject)
{
    struct packet_room room;
    sessions_count(sessions, STATS_native_rejects, 1);
    uint8_t *const at = outbox_payload(sessions->outbox, port, path, NATIVE_REJECT_BYTES, &room);
    if (at == NULL) { return; }
    outbox_send(sessions->outbox, port, path, &room,
                native_encode_reject(at, NATIVE_REJECT_BYTES, token, reject));
}

void handshake_versions(struct sessions *sessions, const struct session_input *input,
                        const struct udp_path *path, uint64_t token)
{
    struct packet_room room;
    uint8_t *const at =
        outbox_payload(sessions->outbox, input->port, path, NATIVE_VERSIONS_BYTES, &room);
    if (at == NULL) { return; }
    outbox_send(sessions->outbox, input->port, path, &room,
                native_encode_versions(at, NATIVE_VERSIONS_BYTES, token));
}

void handshake_hello(struct sessions *sessions, const struct session_input *input,
                     const struct udp_path *path, uint64_t nonce)
{
    struct packet_room room;
    sessions_count(sessions, STATS_native_hellos, 1);
    uint8_t *const at =
        outbox_payload(sessions->outbox, input->port, path, NATIVE_CHALLENGE_BYTES, &room);
    if (at == NULL) { return; }
    const struct native_cookie cookie =
        cookie_mint(sessions->options.cookie_key, path, nonce, input->received.mono_ns);
    outbox_send(sessions->outbox, input->port, path, &room,
                native_encode_challenge(at, NATIVE_CHALLENGE_BYTES, nonce, &cookie));
}

void handshake_accept(struct sessions *sessions, uint32_t lane)
{
    const struct sessions_options *const options = &sessions->options;
    struct session *const session = &sessions->items[lane];
    struct packet_room room;
    session->accept_due = false;
    uint8_t *const at =
        outbox_payload(sessions->outbox, session->port, &session->path, NATIVE_ACCEPT_BYTES, &room);
    if (at == NULL) { return; }
    const struct native_accept accept = {
        .session = session->id,
        .next = session->next_sequence,
        .durable = sessions->lanes[lane].durable_sequence,
        .lost_first = session->lost_first,
        .lost_last = session->lost_last,
        .credit_bytes = sessions->credit_bytes,
        .max_record_bytes = options->max_record_bytes,
        .datagram_bytes = options->datagram_bytes,
        .ack_delay_us = SESSION_ACK_DELAY_US,
        .session_timeout_ms = (uint32_t)(options->session_timeout_ns / NS_PER_MS),
        .remember_s = (uint32_t)(options->remember_ns / NS_PER_S),
        .partition = options->partition,
        .status = sessions->status,
        .incarnation = options->incarnation,
    };
    if (sessions->credit_bytes == 0) { session->told_closed = true; }
    outbox_send(sessions->outbox, session->port, &session->path, &room,
                native_encode_accept(at, NATIVE_ACCEPT_BYTES, session->nonce, &accept));
    sessions_count(sessions, STATS_native_accepts, 1);
}

/* --------------------------------------------------------------------------------------- OPEN */

/* One OPEN on its way through the questions that it has to answer. */
struct opening {
    struct sessions *sessions;
    const struct session_input *input;
    const struct udp_path *path;
    uint64_t nonce;
    const struct native_open *open;
    uint32_t lane; /* LANE_NONE: not known */
};

static void refuse(const struct opening *opening, enum native_reject_code code, uint64_t detail,
                   uint32_t retry_after_ms)
{
    const struct native_reject reject = {
        .code = code,
        .detail = detail,
        .retry_after_ms = retry_after_ms,
    };
    handshake_reject(opening->sessions, opening->input->port, opening->path, opening->nonce,
                     &reject);
}

static bool open_is_valid(const struct native_open *open)
{
    static const struct native_producer_id none = {{0}};
    if (open->epoch == 0) { return false; }
    if (memcmp(&open->producer, &none, sizeof none) == 0) { return false; }
    if (open->datagram_bytes < NATIVE_DATAGRAM_BYTES_BASE) { return false; }
    if (open->durable != NATIVE_UNKNOWN && open->durable > NATIVE_SEQUENCE_MAX) { return false; }
    if (open->oldest_held == NATIVE_UNKNOWN) { return open->durable != NATIVE_SEQUENCE_MAX; }
    return open->oldest_held > 0 && open->oldest_held <= NATIVE_SEQUENCE_MAX;
}

static void redirect(const struct opening *opening, uint32_t home)
{
    const struct sessions *const sessions = opening->sessions;
    const struct udp_flow flow = udp_path_inbound(opening->path);
    struct native_reject reject = {.code = NATIVE_REJECT_REDIRECT, .partition = home};
    uint16_t source_port = 0;
    if (steering_find_source_port(sessions->steerings[opening->input->port], &flow, (uint16_t)home,
                                  &source_port)) {
        reject.source_port = source_port;
    }
    handshake_reject(opening->sessions, opening->input->port, opening->path, opening->nonce,
                     &reject);
}

/* Whether this OPEN may take the lane from the session that has it. */
static bool may_take_over(const struct opening *opening)
{
    const struct sessions *const sessions = opening->sessions;
    const struct session *const session = &sessions->items[opening->lane];
    const uint64_t lane_epoch = sessions->lanes[opening->lane].state.epoch;
    if (session->state == SESSION_NONE) { return true; }
    if (opening->open->epoch == lane_epoch && opening->open->previous_session == session->id) {
        return true;
    }
    if (session->state == SESSION_OPENING) { return false; }
    if (opening->open->epoch > lane_epoch &&
        opening->path->peer_address == session->path.peer_address) {
        return true;
    }
    return opening->input->received.mono_ns - session->heard_ns >=
           sessions->options.takeover_after_ns;
}

static uint64_t new_session_id(struct sessions *sessions, uint32_t lane)
{
    uint64_t id;
    do {
        uint8_t counter[8];
        store_le64(counter, ++sessions->session_counter);
        id = siphash24(&sessions->options.session_key, bytes_of(counter, sizeof counter))
             << SESSION_LANE_BITS;
        id |= lane;
    } while (id >> SESSION_LANE_BITS == 0);
    return id;
}

/* docs/protocol.md, 6.4: how many sequences are skipped, and which of them the producer believed
 * durable. */
struct resume {
    uint64_t skip;
    uint64_t lost_first;
    uint64_t lost_last;
};

static struct resume resume_of(const struct native_open *open, uint64_t next)
{
    struct resume out = {0, 0, 0};
    const bool durable_known = open->durable != NATIVE_UNKNOWN;
    uint64_t oldest = open->oldest_held;
    if (oldest == NATIVE_UNKNOWN) {
        oldest = durable_known && open->durable >= next ? open->durable + 1 : next;
    }
    if (oldest <= next) { return out; }
    out.skip = oldest - next;
    if (durable_known && open->durable >= next) {
        out.lost_first = next;
        out.lost_last = open->durable < oldest ? open->durable : oldest - 1;
    }
    return out;
}

/* Told before, and not taken in: the ACCEPT that said so was lost, or the appliance restarted
 * between. A producer that has it confirms these with its first DATA. */
static void resume_lost_before(const struct sessions *sessions, uint32_t lane, uint64_t durable,
                               struct resume *out)
{
    struct lane_fate_walk walk = {0};
    struct lane_fates run;
    uint64_t first = sessions->lanes[lane].state.confirmed + 1;
    while (first <= durable && lane_fates_next_appended(sessions->table, lane, &walk, &run)) {
        const uint64_t last = first + run.count - 1;
        if (run.fate == NATIVE_LOST) {
            if (out->lost_first == 0 || first < out->lost_first) { out->lost_first = first; }
            if (last > out->lost_last) { out->lost_last = last < durable ? last : durable; }
        }
        first = last + 1;
    }
}

static void begin_session(const struct opening *opening, const struct resume *resume)
{
    struct sessions *const sessions = opening->sessions;
    struct session *const session = &sessions->items[opening->lane];
    session_end(sessions, opening->lane);
    session->id = new_session_id(sessions, opening->lane);
    session->state = SESSION_LIVE;
    session->path = *opening->path;
    session->port = (uint8_t)opening->input->port;
    session->heard_ns = opening->input->received.mono_ns;
    session->nonce = opening->nonce;
    session->lost_first = resume->lost_first;
    session->lost_last = resume->lost_last;
    session->window = (struct packet_window){0};
    session->ack_number = 0;
    session->largest_received_ns = session->heard_ns;
    sessions->live_count++;
    sessions->stats->sessions_live = sessions->live_count;
    timer_wheel_set(sessions->wheel, opening->lane,
                    session->heard_ns + sessions->options.session_timeout_ns);
}

/* Goes into the open commit; ACCEPT when that is durable. */
static void note_in_log(const struct opening *opening, const struct resume *resume)
{
    struct sessions *const sessions = opening->sessions;
    struct session *const session = &sessions->items[opening->lane];
    struct lane_state *const state = &sessions->lanes[opening->lane].state;
    state->epoch = opening->open->epoch;
    state->active_wall_ms = sessions_lane_clock_ms(sessions, opening->input->received);
    const bool touched = lane_journal_touch(sessions->journal, opening->lane, 0);
    assert(touched); /* asked for, as is the room for what is skipped */
    (void)touched;
    if (resume->skip > 0) {
        const bool skipped =
            lane_journal_skip(sessions->journal, opening->lane, (uint32_t)resume->skip);
        assert(skipped); /* asked for */
        (void)skipped;
        session->next_sequence += resume->skip;
        sessions_count(sessions, STATS_native_sequences_lost, resume->skip);
        if (resume->lost_first != 0) {
            note_post(sessions->options.notes, NOTE_LANE_LOST, STATUS_CORRUPT,
                      resume->lost_last - resume->lost_first + 1, resume->lost_first);
        }
    }
    session->state = SESSION_OPENING;
    session->unsettled = true;
}

static void open_known(struct opening *opening)
{
    struct sessions *const sessions = opening->sessions;
    struct session *const session = &sessions->items[opening->lane];
    const struct lane *const lane = &sessions->lanes[opening->lane];
    const struct native_open *const open = opening->open;
    if (open->epoch < lane->state.epoch) {
        refuse(opening, NATIVE_REJECT_FENCED, lane->state.epoch, 0);
        return;
    }
    if (session->state != SESSION_NONE && session->nonce == opening->nonce &&
        udp_path_equal(&session->path, opening->path)) {
        if (session->state == SESSION_LIVE) { /* the ACCEPT was lost */
            session->accept_due = true;
            session_tell_now(sessions, opening->lane);
        }
        return;
    }
    if (session->state == SESSION_OPENING && open->epoch == lane->state.epoch &&
        session->path.peer_address == opening->path->peer_address) {
        session->nonce =
            opening->nonce; /* asks again while the disk is behind: ACCEPT goes there */
        session->path = *opening->path;
        session->port = (uint8_t)opening->input->port;
        return;
    }
    if (!may_take_over(opening)) {
        sessions_count(sessions, STATS_native_takeovers_refused, 1);
        note_post(sessions->options.notes, NOTE_LANE_BUSY, STATUS_BUSY, opening->path->peer_address,
                  session->path.peer_address);
        refuse(opening, NATIVE_REJECT_LANE_BUSY, lane->state.epoch, RETRY_BUSY_MS);
        return;
    }

    struct resume resume = resume_of(open, session->next_sequence);
    if (resume.skip > UINT32_MAX) {
        refuse(opening, NATIVE_REJECT_INVALID, session->next_sequence, 0);
        return;
    }
    const bool durable_first =
        open->epoch > lane->state.epoch || resume.skip > 0 || session->unsettled;
    /* Records on their way to the open commit come before what this OPEN does: the producer asks
     * again. */
    const bool between = lane->state.last_sequence + 1 != session->next_sequence;
    if (session->import_pending || /* its hand-over comes first: sessions_timers sees to it */
        (durable_first && (between || !lane_journal_has_room(sessions->journal))) ||
        (resume.skip > 0 && !session_fates_have_room(sessions, opening->lane, 1))) {
        sessions_count(sessions, STATS_native_opens_put_off, 1);
        return;
    }
    if (open->durable != NATIVE_UNKNOWN) {
        resume_lost_before(sessions, opening->lane, open->durable, &resume);
        const uint64_t lost_first = resume.lost_first;
        lane_fates_confirm(sessions->table, opening->lane,
                           lost_first != 0 ? lost_first - 1 : open->durable);
    }
    begin_session(opening, &resume);
    if (durable_first) {
        note_in_log(opening, &resume);
        return;
    }
    session->accept_due = true;
    session_tell_now(sessions, opening->lane);
}

static void open_new(struct opening *opening, const struct lane_key *key)
{
    struct sessions *const sessions = opening->sessions;
    const struct native_open *const open = opening->open;
    if (!open->begin) {
        refuse(opening, NATIVE_REJECT_LANE_UNKNOWN, 0, 0);
        return;
    }
    if (!lane_journal_has_room(sessions->journal)) {
        sessions_count(sessions, STATS_native_opens_put_off, 1);
        return;
    }
    const uint64_t first = open->oldest_held != NATIVE_UNKNOWN ? open->oldest_held
                           : open->durable != NATIVE_UNKNOWN   ? open->durable + 1
                                                               : 1;
    const struct lane_state state = {
        .key = *key,
        .epoch = open->epoch,
        .last_sequence = first - 1,
        .confirmed = first - 1,
        .active_wall_ms = sessions_lane_clock_ms(sessions, opening->input->received),
    };
    opening->lane = lane_table_add(sessions->table, &state);
    if (opening->lane == LANE_NONE) {
        sessions_count(sessions, STATS_native_lanes_full, 1);
        note_post(sessions->options.notes, NOTE_LANES_FULL, STATUS_FULL,
                  lane_table_capacity(sessions->table), 0);
        refuse(opening, NATIVE_REJECT_LANES_FULL, lane_table_capacity(sessions->table),
               RETRY_FULL_MS);
        return;
    }
    struct session *const session = &sessions->items[opening->lane];
    session->next_sequence = first;
    session->import_pending = false;
    const struct resume nothing = {0, 0, 0};
    begin_session(opening, &nothing);
    note_in_log(opening, &nothing);
    sessions_count(sessions, STATS_lanes_begun, 1);
}

void handshake_open(struct sessions *sessions, const struct session_input *input,
                    const struct udp_path *path, uint64_t nonce, const struct native_open *open)
{
    struct opening opening = {sessions, input, path, nonce, open, LANE_NONE};
    sessions_count(sessions, STATS_native_opens, 1);
    if (!cookie_is_good(sessions->options.cookie_key, path, nonce, &open->cookie,
                        input->received.mono_ns)) {
        refuse(&opening, NATIVE_REJECT_COOKIE, 0, 0);
        return;
    }
    if (!open_is_valid(open)) {
        refuse(&opening, NATIVE_REJECT_INVALID, 0, 0);
        return;
    }
    if (sessions->draining) {
        refuse(&opening, NATIVE_REJECT_DRAINING, 0, RETRY_DRAINING_MS);
        return;
    }
    const struct lane_key key = {open->producer, open->lane};
    const uint32_t home = lane_homes_find(sessions->options.homes, &key);
    if (home != sessions->options.partition) {
        sessions_count(sessions, STATS_native_redirects, 1);
        redirect(&opening, home);
        return;
    }
    opening.lane = lane_table_find(sessions->table, &key);
    if (opening.lane == LANE_NONE) {
        open_new(&opening, &key);
    } else {
        open_known(&opening);
    }
}
