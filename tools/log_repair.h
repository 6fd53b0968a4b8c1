/* log_repair.h - what of a log's files can be mended without a node, and doing it.
 *
 * Purpose  Looks at headers, trailers, footers and names (not at records, which nothing can bring
 *          back) and lists what it would write or move, and what nobody can mend, with advice.
 *          Below the newest segment only: that one is recovery's.
 * Promise  Bytes are written only where they do not hold now, and only such that follow from what
 *          does: a header from its neighbours and its own commits, a footer's entry if the result
 *          has the checksum that the footer's directory names, a trailer from its footer. A file
 *          that cannot be used goes home, or into <directory>.quarantine; none is removed.
 * Crash    Each step is one block, one entry or one name; after any of them a new plan holds what
 * is left, and log_cuts.h what was. Owns     The plan and what is in it. Threads: one; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "tools/log_cuts.h"
#include "tools/log_places.h"

BEGIN_C_DECLS

enum repair_kind {
    REPAIR_WRITE,    /* after[] at position of path */
    REPAIR_MOVE,     /* path gets the name `to` */
    REPAIR_EXCHANGE, /* path and `to` get each other's */
};

struct repair_step {
    enum repair_kind kind;
    char *path;
    char *to;
    char *what;        /* and why */
    size_t segment;    /* index in the chain; SIZE_MAX: none of it */
    uint64_t position; /* whole blocks from here on */
    uint64_t begin;    /* of them, these bytes change */
    uint64_t end;
    size_t len_bytes;
    uint8_t *before; /* aligned, as `after` */
    uint8_t *after;
};

struct repair_advice {
    char *path;
    char *what;
};

struct repair_plan {
    const struct log_place *place;
    struct repair_step *steps; /* in the order in which they are to be made */
    size_t step_count;
    struct repair_advice *advice; /* what is left to people */
    size_t advice_count;
};

/* Reads only. STATUS_NO_MEMORY. */
MUST_CHECK enum status repair_plan_make(const struct log_place *place, struct repair_plan *out);
void repair_plan_free(struct repair_plan *plan);

/* Everything that the steps will overwrite or move. */
void repair_plan_keep(const struct repair_plan *plan, struct log_cuts *cuts);

/* One step, durable when it returns. STATUS_STALE: the file is not any more as it was planned. */
MUST_CHECK enum status repair_step_make(const struct repair_plan *plan, size_t step);

END_C_DECLS
