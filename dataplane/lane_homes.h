/* lane_homes.h - which worker a lane lives on: decided at start, asked at every OPEN.
 *
 * Purpose  A lane that some log knows lives there; any other one where its key's hash says. Both
 *          are fixed when workers start, so that no worker ever asks another one.
 * Owns     A read-only table of the lanes that do not live where their hash says.
 * Threads  Made before workers start; then any. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/lane_format.h"

BEGIN_C_DECLS

struct lane_homes; /* opaque */

/* `worker_count` partitions have workers: 0 .. worker_count - 1. */
MUST_CHECK enum status lane_homes_create(uint32_t worker_count, struct lane_homes **out);
void lane_homes_destroy(struct lane_homes *homes);

/* Before workers start: this lane was found in, or handed over to, `partition`. */
MUST_CHECK enum status lane_homes_add(struct lane_homes *homes, const struct lane_key *key,
                                      uint32_t partition);

/* After the last add, before the first find. */
void lane_homes_seal(struct lane_homes *homes);

uint32_t lane_homes_find(const struct lane_homes *homes, const struct lane_key *key);

END_C_DECLS
