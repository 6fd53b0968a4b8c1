#include "client/pacing.h"

#include "base/invariant.h"

/* Products of a window and a time need more than 64 bits. */
typedef unsigned __int128 wide;

static int64_t least(int64_t left, int64_t right) { return left < right ? left : right; }
static int64_t most(int64_t left, int64_t right) { return left > right ? left : right; }

/* bytes = time * 5 * window / (4 * round trip) */
static wide gain_of(struct pacing_rate rate) { return (wide)5 * rate.window_bytes; }

static wide cost_of(struct pacing_rate rate)
{
    return (wide)4 * (rate.smoothed_rtt_ns > 0 ? rate.smoothed_rtt_ns : 1);
}

static void pacing_check(const struct pacing *pacing, struct pacing_rate rate, uint64_t now_ns)
{
    assert(rate.window_bytes > 0);
    assert(rate.window_bytes <= UINT64_MAX / 8); /* no product wraps, whatever the time */
    assert(now_ns >= pacing->filled_ns);
    assert(pacing->bucket_bytes <= pacing->burst_bytes);
    assert(pacing->bucket_bytes >= -pacing->burst_bytes);
}

void pacing_init(struct pacing *pacing, uint32_t datagram_bytes_max, uint64_t now_ns)
{
    assert(datagram_bytes_max > 0);
    const int64_t burst_bytes = (int64_t)PACING_BURST_DATAGRAMS * datagram_bytes_max;
    *pacing = (struct pacing){
        .bucket_bytes = burst_bytes,
        .burst_bytes = burst_bytes,
        .filled_ns = now_ns,
    };
}

void pacing_set_datagram(struct pacing *pacing, uint32_t datagram_bytes_max)
{
    assert(datagram_bytes_max > 0);
    pacing->burst_bytes = (int64_t)PACING_BURST_DATAGRAMS * datagram_bytes_max;
    pacing->bucket_bytes = least(pacing->bucket_bytes, pacing->burst_bytes);
    pacing->bucket_bytes = most(pacing->bucket_bytes, -pacing->burst_bytes);
}

/* What the bucket holds at `now_ns`. */
static int64_t bucket_at(const struct pacing *pacing, struct pacing_rate rate, uint64_t now_ns)
{
    const wide filled = (now_ns - pacing->filled_ns) * gain_of(rate) / cost_of(rate);
    const int64_t room_bytes = pacing->burst_bytes - pacing->bucket_bytes;
    if (filled >= (wide)room_bytes) { return pacing->burst_bytes; }
    return pacing->bucket_bytes + (int64_t)filled;
}

uint64_t pacing_next_ns(const struct pacing *pacing, struct pacing_rate rate, uint32_t size_bytes,
                        uint64_t now_ns)
{
    pacing_check(pacing, rate, now_ns);
    const int64_t needed_bytes = least(size_bytes, pacing->burst_bytes);
    if (bucket_at(pacing, rate, now_ns) >= needed_bytes) { return now_ns; }

    /* Counted from when the bucket was filled, as bucket_at counts: at that time it has enough. */
    const wide missing = (wide)(needed_bytes - pacing->bucket_bytes);
    const wide wait_ns = (missing * cost_of(rate) + gain_of(rate) - 1) / gain_of(rate);
    if (wait_ns > UINT64_MAX - pacing->filled_ns) { return UINT64_MAX; }
    return pacing->filled_ns + (uint64_t)wait_ns;
}

void pacing_sent(struct pacing *pacing, struct pacing_rate rate, uint32_t size_bytes,
                 uint64_t now_ns)
{
    pacing_check(pacing, rate, now_ns);
    const int64_t left_bytes = bucket_at(pacing, rate, now_ns) - (int64_t)size_bytes;
    pacing->bucket_bytes = most(left_bytes, -pacing->burst_bytes);
    pacing->filled_ns = now_ns;
}
