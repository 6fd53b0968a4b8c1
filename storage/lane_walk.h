/* lane_walk.h - the lanes' entries of one segment, without reading what lies between where that is
 * long.
 *
 * Purpose  Goes from commit header to commit header, checks each (its own checksum, nonce, log,
 *          number, place), and reads the ENTRY_LANES alone. Which commits are kept is recovery's
 *          verdict, not this one's.
 * Owns     Its window. Threads: one at a time; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/log_chain.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct lane_walk {
    struct files files;
    int file;
    struct log_id log_id;
    struct log_id nonce;
    uint64_t end;         /* commits lie below */
    uint64_t position;    /* where the next one is expected */
    uint64_t next_number; /* and its number */
    bool short_commits;   /* the last one was: reading through is cheaper than going around */
    bool no_memory;

    struct commit_header commit; /* the current one */
    struct bytes directory;      /* with its header in front; until something else is read */
    struct entry lanes;          /* its ENTRY_LANES; length 0: it has none */

    uint8_t *window;
    size_t window_capacity;
    uint64_t window_position;
    size_t window_bytes;
};

/* Stands before the first commit. The file stays the caller's. */
void lane_walk_init(struct lane_walk *walk, struct files files, int file,
                    const struct chain_segment *segment);
void lane_walk_deinit(struct lane_walk *walk);

/* To the next commit in order. False: there is none that holds (or no memory). */
bool lane_walk_next(struct lane_walk *walk);
/* Block by block, to a commit whose number is not below the one expected. */
bool lane_walk_resync(struct lane_walk *walk);

/* Any entry of the current commit's directory, checked; as lane_walk_entry. */
MUST_CHECK enum status lane_walk_read(struct lane_walk *walk, const struct entry *entry,
                                      struct bytes *out);

/* The current commit's ENTRY_LANES, checked; valid until the walk goes on. STATUS_NOT_FOUND,
 * STATUS_CORRUPT, STATUS_IO, STATUS_NO_MEMORY. */
MUST_CHECK enum status lane_walk_entry(struct lane_walk *walk, struct bytes *out);

END_C_DECLS
