/* commit_walls.h - when the commits of one sealed segment were closed, to the second.
 *
 * Purpose  Retention of a topic ends inside a segment: this says up to which position its commits
 *          are too old. Walks the commits' headers once, a few at a time; RECORDS are not read.
 * Owns     The open file and a window while it walks; 16 bytes a second that has commits.
 * Threads  One; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/age_clock.h"
#include "storage/files.h"

BEGIN_C_DECLS

struct commit_walls; /* opaque */

/* STATUS_NOT_FOUND and the other ways in which a segment cannot be looked at; STATUS_NO_MEMORY. */
MUST_CHECK enum status commit_walls_create(struct files files, uint32_t partition, uint64_t number,
                                           struct commit_walls **out);
void commit_walls_destroy(struct commit_walls *walls);

/* Goes on by at most `commits_max` headers; true when all are known. What stands behind a header
 * that does not hold is as young as can be. */
bool commit_walls_work(struct commit_walls *walls, size_t commits_max);

/* Where the first commit stands that is not older than `limit_ms`; a second counts as old when its
 * last millisecond is. UINT64_MAX: all are. */
uint64_t commit_walls_position(const struct commit_walls *walls, const struct age_clock *clock,
                               int64_t limit_ms);

END_C_DECLS
