#include "client/congestion.h"

#include "base/invariant.h"

static uint64_t least(uint64_t left, uint64_t right) { return left < right ? left : right; }
static uint64_t most(uint64_t left, uint64_t right) { return left > right ? left : right; }

static uint64_t minimum_bytes(const struct congestion *congestion)
{
    return (uint64_t)CONGESTION_MINIMUM_DATAGRAMS * congestion->datagram_bytes_max;
}

static uint64_t initial_bytes(const struct congestion *congestion)
{
    const uint64_t wanted = (uint64_t)CONGESTION_INITIAL_DATAGRAMS * congestion->datagram_bytes_max;
    return least(wanted, most(CONGESTION_INITIAL_BYTES_MAX, minimum_bytes(congestion)));
}

static void congestion_set_window(struct congestion *congestion, uint64_t wanted_bytes)
{
    const uint64_t capped_bytes = least(wanted_bytes, congestion->window_bytes_max);
    congestion->window_bytes = most(capped_bytes, minimum_bytes(congestion));
}

void congestion_init(struct congestion *congestion, const struct congestion_options *options)
{
    assert(options->datagram_bytes_max > 0);
    *congestion = (struct congestion){
        .window_bytes_max = options->window_bytes_max > 0 ? options->window_bytes_max : UINT64_MAX,
        .threshold_bytes = UINT64_MAX,
        .datagram_bytes_max = options->datagram_bytes_max,
    };
    congestion_set_window(congestion, initial_bytes(congestion));
}

void congestion_set_datagram(struct congestion *congestion, uint32_t datagram_bytes_max)
{
    assert(datagram_bytes_max > 0);
    congestion->datagram_bytes_max = datagram_bytes_max;
    congestion_set_window(congestion, congestion->window_bytes);
}

uint64_t congestion_room_bytes(const struct congestion *congestion, uint64_t in_flight_bytes)
{
    if (in_flight_bytes >= congestion->window_bytes) { return 0; }
    return congestion->window_bytes - in_flight_bytes;
}

static bool in_slow_start(const struct congestion *congestion)
{
    return congestion->window_bytes < congestion->threshold_bytes;
}

static bool in_recovery(const struct congestion *congestion, uint64_t sent_ns)
{
    return congestion->recovered && sent_ns <= congestion->recovery_ns;
}

static bool window_was_used(const struct congestion *congestion, uint64_t in_flight_bytes)
{
    const uint64_t room_bytes = congestion_room_bytes(congestion, in_flight_bytes);
    if (room_bytes < congestion->datagram_bytes_max) { return true; }
    return in_slow_start(congestion) && in_flight_bytes >= congestion->window_bytes / 2;
}

/* 7.3.3 by counting bytes: one datagram for each window acked. The quotient of B.5 comes to the
 * same for small windows and to 0 for those above a datagram squared. */
static void grow_in_avoidance(struct congestion *congestion, uint32_t size_bytes)
{
    congestion->credit_bytes += size_bytes;
    if (congestion->credit_bytes < congestion->window_bytes) { return; }
    congestion->credit_bytes -= congestion->window_bytes;
    congestion_set_window(congestion, congestion->window_bytes + congestion->datagram_bytes_max);
}

void congestion_acked(struct congestion *congestion, uint32_t size_bytes, uint64_t sent_ns,
                      uint64_t in_flight_before_bytes)
{
    if (in_recovery(congestion, sent_ns)) { return; }
    if (!window_was_used(congestion, in_flight_before_bytes)) { return; }

    if (in_slow_start(congestion)) {
        congestion_set_window(congestion, congestion->window_bytes + size_bytes);
    } else {
        grow_in_avoidance(congestion, size_bytes);
    }
}

void congestion_lost(struct congestion *congestion, uint64_t newest_sent_ns, uint64_t now_ns)
{
    if (in_recovery(congestion, newest_sent_ns)) { return; }
    congestion->recovered = true;
    congestion->recovery_ns = now_ns;
    congestion->credit_bytes = 0;
    congestion_set_window(congestion, congestion->window_bytes / 2); /* kLossReductionFactor */
    congestion->threshold_bytes = congestion->window_bytes;
}

void congestion_collapse(struct congestion *congestion)
{
    congestion->recovered = false;
    congestion->credit_bytes = 0;
    congestion_set_window(congestion, 0); /* raised to the minimum */
}
