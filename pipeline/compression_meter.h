/* compression_meter.h - how much of a worker's time compressing may take, and what a batch will.
 *
 * Purpose  A share of the time that passes is put by, at most COMPRESSION_BURST_NS of it: that much
 *          one commit can spend, and a worker that is asked for more stores plain instead of
 *          falling behind. What a batch will take is known before it is begun, from what those
 *          before it took, codec by codec.
 * Owns     Nothing but itself. Threads: the worker's. Time and costs are arguments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wire/record_batch.h"

BEGIN_C_DECLS

enum {
    COMPRESSION_BURST_NS = 8000000,
    /* A shorter batch is weighed as this long: beginning costs too. */
    COMPRESSION_BYTES_WEIGHED_MIN = 4096,
};

struct compression_meter {
    uint32_t share_percent;
    uint64_t filled_ns; /* when; 0: not yet */
    int64_t balance_ns; /* below 0: a batch took more than was thought, and the next ones wait */
    uint64_t lz4_ns_per_kib;
    uint64_t zstd_ns_per_kib;
};

/* With a full balance. Share 0: never anything. */
void compression_meter_init(struct compression_meter *meter, uint32_t share_percent);

/* Once a commit. */
void compression_meter_fill(struct compression_meter *meter, uint64_t now_ns);

/* Whether a batch fits into what is left. A refusal makes the next guess a little cheaper: one
 * batch that was slow by accident (the core was away) does not end compression for good. */
bool compression_meter_allows(struct compression_meter *meter, enum record_codec codec,
                              size_t plain_bytes);

/* What it took. */
void compression_meter_charge(struct compression_meter *meter, enum record_codec codec,
                              size_t plain_bytes, uint64_t took_ns);

END_C_DECLS
