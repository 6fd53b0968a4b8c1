/* block_trace.h - what a block device was asked to do, in order: recorder.c writes it,
 * block_replay.cc reads it, on the same machine.
 *
 * Events lie back to back, a write's bytes behind it. The device does one thing at a time: what an
 * event did is done before the next begins, and a flush makes everything before it durable. */
#pragma once

#include <assert.h>
#include <stdint.h>

enum { BLOCK_TRACE_MAGIC = 0x43525450 };

enum block_trace_kind {
    BLOCK_TRACE_WRITE,
    BLOCK_TRACE_FLUSH,
};

struct block_trace_event {
    uint32_t magic;
    uint32_t kind; /* enum block_trace_kind */
    uint64_t position;
    uint64_t length_bytes;
    /* When it began, nothing of it done yet: what the appliance had promised by then holds without
     * it. */
    uint64_t wall_ns;        /* CLOCK_REALTIME, as receipts have it */
    uint64_t durable_number; /* of partition 0 in the root page: what consumers were shown */
};
static_assert(sizeof(struct block_trace_event) == 40, "no padding");
