/* durable_times.h - when each stored batch became durable, from the live indexes of a running node.
 *
 * Purpose  Maps every live index of one partition while it is there, so that batches can be looked
 *          up by topic and base offset also after their segment was sealed and its index removed.
 * Owns     The mappings, read-only. Threads: one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/mapped_file.h"
#include "base/status.h"

BEGIN_C_DECLS

enum { DURABLE_TIMES_INDEXES_MAX = 256 };

struct durable_times {
    const char *runtime;
    uint32_t partition;
    size_t count;
    char names[DURABLE_TIMES_INDEXES_MAX][64];
    struct mapped_file files[DURABLE_TIMES_INDEXES_MAX];
    struct durable_batches *batches[DURABLE_TIMES_INDEXES_MAX]; /* what was read of each so far */
};

void durable_times_init(struct durable_times *times, const char *runtime, uint32_t partition);
void durable_times_deinit(struct durable_times *times);

/* Maps what is new. Often enough that no index comes and goes in between. */
void durable_times_refresh(struct durable_times *times);

/* CLOCK_MONOTONIC at which the topic's batch at `base_offset` was published; 0: not found. */
uint64_t durable_times_find(struct durable_times *times, const char *topic, uint64_t base_offset);

END_C_DECLS
