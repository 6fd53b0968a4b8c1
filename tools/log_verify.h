/* log_verify.h - checks everything that a segment says, and says what does not hold, and where.
 *
 * Purpose  That a segment lies under its own name and continues one that is there, that its file is
 *          as long as it says, every byte under a checksum, the batches' inner checksums and
 *          records, the lanes' fates and where they say that records went, the chain of commits,
 *          the footer's index against what is there, and that no topic's offsets go back from
 *          segment to segment.
 * Owns     Nothing. Threads: one at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct log_damage {
    uint64_t begin; /* positions in the segment's file */
    uint64_t end;
    const char *what;
};

enum {
    LOG_VERIFY_SEEN_MAX = 64, /* how far back the segment that another continues is remembered */
    LOG_VERIFY_WHAT_BYTES = 128,
};

struct log_verify {
    struct files files;
    void (*on_damage)(void *context, const struct log_damage *damage);
    void *context;
    uint64_t next_offsets[LOG_TOPICS_MAX];   /* carried from segment to segment of one log */
    struct log_id log_id;                    /* of that log; all zero: none yet */
    struct log_id seen[LOG_VERIFY_SEEN_MAX]; /* nonces of its segments, the last ones */
    uint64_t seen_count;
    char what[LOG_VERIFY_WHAT_BYTES]; /* a damage that names another segment */
};

struct log_verified {
    uint64_t commits;
    uint64_t records;
    uint64_t damages;
    bool sealed;
    bool spare;
    uint64_t tail_position; /* unsealed: where the good commits end */
};

/* Starts with another log. */
void log_verify_forget(struct log_verify *verify);

/* STATUS_OK also when damage was found; otherwise why it could not be read at all.
 * last_number: commits above it were abandoned (the next segment continues this one); else
 * UINT64_MAX. */
MUST_CHECK enum status log_verify_segment(struct log_verify *verify, const char *path,
                                          uint64_t last_number, struct log_verified *out);

END_C_DECLS
