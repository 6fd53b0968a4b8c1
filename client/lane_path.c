/* Path MTU discovery by padded PINGs (RFC 8899). Probes are in no flight: loss.h books them as not
 * ack-eliciting, so that a lost one neither shrinks the window nor makes a probe timeout. */
#include "client/lane_state.h"

enum {
    PATH_TRIES = 3, /* MAX_PROBES */
    PATH_STEP_BYTES = 32,
    PATH_LARGE_LOST_MAX = 8, /* in a row, and none of their size acked: a black hole */
    PATH_TIMEOUTS = 3,       /* probe timeouts without backoff that a probe has */
};

#define PATH_RAISE_NS    (600 * LANE_S) /* PMTU_RAISE_TIMER */
#define PATH_FALLBACK_NS (30 * LANE_S)

static void path_use(struct lane *lane, uint32_t bytes)
{
    lane->path.bytes = bytes;
    congestion_set_datagram(&lane->congestion, bytes);
    pacing_set_datagram(&lane->pacing, bytes);
}

static void path_search_again(struct lane *lane, uint64_t search_ns)
{
    lane->path.probing = false;
    lane->path.candidate = 0;
    lane->path.search_ns = search_ns;
}

/* The whole way at once first: most paths carry what their ends do. Then halves. */
static void path_pick(struct lane *lane)
{
    struct lane_path *const path = &lane->path;
    path->tries = 0;
    if (path->upper < path->bytes + PATH_STEP_BYTES) {
        const bool whole = path->bytes == path->ceiling;
        path_search_again(lane, whole ? UINT64_MAX : lane->now_ns + PATH_RAISE_NS);
        return;
    }
    const bool first = path->upper == path->ceiling;
    path->candidate = first ? path->ceiling : path->bytes + (path->upper - path->bytes + 1) / 2;
}

void lane_path_begin(struct lane *lane, uint32_t peer_bytes)
{
    const uint64_t agreed_bytes = lane_least(lane->options.datagram_bytes_max, peer_bytes);
    const uint32_t ceiling = (uint32_t)lane_most(agreed_bytes, NATIVE_DATAGRAM_BYTES_BASE);
    lane->path = (struct lane_path){
        .bytes = NATIVE_DATAGRAM_BYTES_BASE,
        .ceiling = ceiling,
        .upper = ceiling,
    };
    path_pick(lane);
}

/* Only while records flow, and when the base size was seen to pass. */
static bool path_may_probe(const struct lane *lane)
{
    return !lane->path.probing && lane->path.candidate != 0 && lane->session.fruitful &&
           lane->fate_next < lane->next_sequence;
}

uint32_t lane_path_probe(const struct lane *lane)
{
    return path_may_probe(lane) ? lane->path.candidate : 0;
}

void lane_path_sent(struct lane *lane, uint64_t number)
{
    const uint64_t timeout_ns = rtt_probe_timeout_ns(loss_rtt(lane->loss));
    lane->path.probing = true;
    lane->path.number = number;
    lane->path.deadline_ns = lane->now_ns + PATH_TIMEOUTS * timeout_ns;
}

void lane_path_acked(struct lane *lane, uint64_t number, uint32_t size_bytes)
{
    struct lane_path *const path = &lane->path;
    if (size_bytes > path->upper) { return; } /* late: it was given up since */
    if (path->probing && path->number == number) { path->probing = false; }
    if (size_bytes <= path->bytes) { return; }
    path->large_lost = 0;
    path_use(lane, size_bytes);
    path_pick(lane);
}

void lane_path_lost(struct lane *lane, uint64_t number)
{
    struct lane_path *const path = &lane->path;
    if (!path->probing || path->number != number) { return; }
    path->probing = false;
    path->tries++;
    if (path->tries < PATH_TRIES) { return; }
    path->upper = path->candidate - 1;
    path_pick(lane);
}

void lane_path_fall_back(struct lane *lane)
{
    lane->path.large_lost = 0;
    if (lane->path.bytes == NATIVE_DATAGRAM_BYTES_BASE) { return; }
    path_use(lane, NATIVE_DATAGRAM_BYTES_BASE);
    lane->path.upper = NATIVE_DATAGRAM_BYTES_BASE; /* what is still out proves nothing any more */
    path_search_again(lane, lane->now_ns + PATH_FALLBACK_NS);
}

void lane_path_judge(struct lane *lane, uint32_t large_acked, uint32_t large_lost)
{
    lane->path.large_lost = large_acked > 0 ? 0 : lane->path.large_lost + large_lost;
    if (lane->path.large_lost >= PATH_LARGE_LOST_MAX) { lane_path_fall_back(lane); }
}

void lane_path_timer(struct lane *lane)
{
    struct lane_path *const path = &lane->path;
    if (path->probing && lane->now_ns >= path->deadline_ns) { lane_path_lost(lane, path->number); }
    if (path->candidate == 0 && path->search_ns <= lane->now_ns) {
        path->upper = path->ceiling;
        path_pick(lane);
    }
}

uint64_t lane_path_timer_ns(const struct lane *lane)
{
    /* A new search begins with any other timer: there is no hurry. */
    return lane->path.probing ? lane->path.deadline_ns : UINT64_MAX;
}
