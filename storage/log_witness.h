/* log_witness.h - up to which commit a log was durable once, and who says so.
 *
 * Purpose  Tells rot from a torn tail: what a witness speaks of was durable, whatever is left of
 * it. Witnesses: trailers, headers, good later commits, the root page (recovery.h). Owns Nothing:
 * the verdict is kept in the replay (durable_number, proven, newest_missing). Threads  One at a
 * time; cold. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "storage/log_replay.h"

BEGIN_C_DECLS

/* The cheap ones: trailers, headers, the root page (may be NULL). First. */
void log_witness_ask_chain(struct log_replay *replay, const struct recovery_witness *witness);

/* And the dear ones, asked only when something is bad: every commit of every segment without a
 * seal. Answers the number up to which all was durable. */
uint64_t log_witness_ask_all(struct log_replay *replay);

END_C_DECLS
