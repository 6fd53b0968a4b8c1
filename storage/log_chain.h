/* log_chain.h - the segments of one log, and which continues which.
 *
 * Purpose  Reads what names a segment (header, trailer, footer), never walks one, and follows the
 *          predecessor links from the newest segment down. A segment that no link leads to was
 *          abandoned: a disk refused it, or recovery cut it off.
 * Owns     The array. Threads: one at a time; cold.
 * Bounds   Start-up reads a few blocks and one footer a segment, whatever the segments hold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct chain_segment {
    uint64_t number;
    uint64_t size_bytes;
    /* STATUS_OK; STATUS_NOT_FOUND: prepared, never opened; STATUS_INVALID: another log's, or under
     * a wrong name; or why it cannot be read. What follows holds on STATUS_OK only. */
    enum status status;
    struct segment_header header;
    enum status header_status; /* not OK: rebuilt from the first commit (segment_scan.h) */
    bool header_complete;      /* as written, or log_replay found out what the commit cannot say */
    enum status trailer_status;
    struct segment_trailer trailer;
    bool sealed;                 /* trailer and footer hold */
    bool ends_in_footer;         /* found by log_replay: the footer stands, the trailer may not */
    struct commit_header footer; /* when sealed, or ends_in_footer */
    bool in_chain;
    bool predecessor_missing; /* its header names a segment that is not here */
    uint64_t last_number;     /* the commit that its successor continues; UINT64_MAX: it has none */
};

struct log_chain {
    struct chain_segment *segments; /* by number, all there are */
    size_t count;
};

struct log_chain_scope {
    uint64_t first_number; /* segments below are not looked at */
    bool links_only;       /* footers are not read: `sealed` and `footer` are not found out */
};

/* STATUS_NOT_FOUND: the partition has no segment file. `out` is then empty. */
MUST_CHECK enum status log_chain_load(struct files files, uint32_t partition,
                                      struct log_chain_scope scope, struct log_chain *out);
void log_chain_free(struct log_chain *chain);

/* Index of the next segment of the chain above or below; chain->count when there is none. */
size_t log_chain_above(const struct log_chain *chain, size_t index);
size_t log_chain_below(const struct log_chain *chain, size_t index);

/* The newest segment of the chain, chain->count when there is none. */
size_t log_chain_top(const struct log_chain *chain);

END_C_DECLS
