#include "pipeline/compression_meter.h"

#include "base/invariant.h"

enum {
    /* First guesses, of log lines on a core of 3 GHz; the first batches correct them. */
    LZ4_NS_PER_KIB = 2500,
    ZSTD_NS_PER_KIB = 5000,
    NS_PER_KIB_MIN = 64, /* a guess that reached 0 could not grow again */
    NEW_WEIGHT = 8,      /* a batch moves the guess by an eighth of its difference */
    FORGIVEN_PART = 64,
    DEBT_NS_MAX = 32 * COMPRESSION_BURST_NS,
    PERCENT = 100,
    BYTES_PER_KIB = 1024,
};

void compression_meter_init(struct compression_meter *meter, uint32_t share_percent)
{
    assert(share_percent <= PERCENT);
    *meter = (struct compression_meter){
        .share_percent = share_percent,
        .balance_ns = share_percent > 0 ? COMPRESSION_BURST_NS : 0,
        .lz4_ns_per_kib = LZ4_NS_PER_KIB,
        .zstd_ns_per_kib = ZSTD_NS_PER_KIB,
    };
}

void compression_meter_fill(struct compression_meter *meter, uint64_t now_ns)
{
    /* Longer fills nothing more, and shorter than 2^32 times a share cannot wrap. */
    const uint64_t full_ns = UINT64_C(1) << 40;
    uint64_t passed_ns = meter->filled_ns != 0 ? now_ns - meter->filled_ns : 0;
    if (passed_ns > full_ns) { passed_ns = full_ns; }
    meter->filled_ns = now_ns;
    meter->balance_ns += (int64_t)(passed_ns * meter->share_percent / PERCENT);
    if (meter->balance_ns > COMPRESSION_BURST_NS) { meter->balance_ns = COMPRESSION_BURST_NS; }
}

static uint64_t *guess_of(struct compression_meter *meter, enum record_codec codec)
{
    return codec == RECORD_CODEC_ZSTD ? &meter->zstd_ns_per_kib : &meter->lz4_ns_per_kib;
}

static uint64_t weighed_bytes(size_t plain_bytes)
{
    return plain_bytes > COMPRESSION_BYTES_WEIGHED_MIN ? plain_bytes
                                                       : COMPRESSION_BYTES_WEIGHED_MIN;
}

bool compression_meter_allows(struct compression_meter *meter, enum record_codec codec,
                              size_t plain_bytes)
{
    if (meter->share_percent == 0) { return false; }
    uint64_t *const guess = guess_of(meter, codec);
    const uint64_t expected_ns = weighed_bytes(plain_bytes) * *guess / BYTES_PER_KIB;
    if ((int64_t)expected_ns <= meter->balance_ns) { return true; }
    const uint64_t less = *guess - *guess / FORGIVEN_PART;
    *guess = less > NS_PER_KIB_MIN ? less : NS_PER_KIB_MIN;
    return false;
}

void compression_meter_charge(struct compression_meter *meter, enum record_codec codec,
                              size_t plain_bytes, uint64_t took_ns)
{
    uint64_t *const guess = guess_of(meter, codec);
    uint64_t measured = took_ns * BYTES_PER_KIB / weighed_bytes(plain_bytes);
    if (measured > *guess * 2) { measured = *guess * 2; }
    *guess = (*guess * (NEW_WEIGHT - 1) + measured) / NEW_WEIGHT;
    if (*guess < NS_PER_KIB_MIN) { *guess = NS_PER_KIB_MIN; }
    meter->balance_ns -= (int64_t)took_ns;
    /* What was overdrawn is paid back; but not all of it when the core was away for long. */
    if (meter->balance_ns < -DEBT_NS_MAX) { meter->balance_ns = -DEBT_NS_MAX; }
}
