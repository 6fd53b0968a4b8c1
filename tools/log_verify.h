/* log_verify.h - checks everything that a segment says, and says what does not hold, and where.
 *
 * Purpose  That a segment lies under its own name and continues one that is there, that its file is
 *          as long as it says, every byte under a checksum, the batches' inner checksums and
 *          records, the lanes' fates, where they say that records went and (on request) their
 *          running hashes, the chain of commits, the footer's index and declarations against what
 *          is there, and that no topic's offsets go back or stop from segment to segment. Every
 *          other byte is read, too: what means nothing and is not zero is told as a note.
 * Damage   Names the exact bytes, whose they are, and what consumers lose by it.
 * Owns     With `lanes`: a table of them. log_verify_forget frees it.
 * Threads  One at a time; logs are independent of each other, a struct log_verify each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/lane_resume.h"
#include "tools/record_digest.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

/* For programs; log_damage_kind_text. Only ever added to. */
enum log_damage_kind {
    LOG_DAMAGE_UNREADABLE, /* the disk does not answer, or nothing can be identified */
    LOG_DAMAGE_HEADER,
    LOG_DAMAGE_TRAILER,
    LOG_DAMAGE_LENGTH, /* of the file */
    LOG_DAMAGE_PLACE,  /* the file of another name or log */
    LOG_DAMAGE_CHAIN,  /* what should come before or behind is not there */
    LOG_DAMAGE_COMMIT, /* header or directory of one */
    LOG_DAMAGE_RECORDS,
    LOG_DAMAGE_OFFSETS, /* a topic's go back, or some are not there */
    LOG_DAMAGE_TOPICS,
    LOG_DAMAGE_LANES,
    LOG_DAMAGE_FOOTER, /* or the index in it */
    LOG_DAMAGE_OTHER,  /* entries of other types */
    LOG_DAMAGE_KIND_COUNT,
};

enum log_effect {
    LOG_EFFECT_UNKNOWN, /* records may be gone whose offsets nothing names */
    LOG_EFFECT_NONE,    /* consumers get every record */
    LOG_EFFECT_LOST,    /* they do not get first_offset .. last_offset of the topic */
};

struct log_damage {
    uint64_t begin; /* positions in the segment's file */
    uint64_t end;
    const char *what;
    enum log_damage_kind kind;
    enum log_effect effect;
    bool torn; /* bytes do not match: what a writer is at work on looks the same */
    bool has_offsets;
    int32_t topic; /* with has_offsets */
    const char *topic_name;
    uint64_t first_offset;
    uint64_t last_offset;
};

const char *log_damage_kind_text(enum log_damage_kind kind);
const char *log_effect_text(enum log_effect effect);

/* Not damage, and worth a word: bytes that mean nothing and are not zero, what a recovery fenced or
 * cut off, offsets that were skipped. */
struct log_note {
    uint64_t begin;
    uint64_t end;
    const char *what;
};

enum {
    LOG_VERIFY_SEEN_MAX = 64, /* how far back the segment that another continues is remembered */
    LOG_VERIFY_WHAT_BYTES = 160,
};

struct log_verify {
    struct files files;
    void (*on_damage)(void *context, const struct log_damage *damage);
    void (*on_note)(void *context, const struct log_note *note); /* NULL: not wanted */
    void (*on_progress)(void *context, uint64_t bytes);          /* read since the last call */
    void *context;
    bool lanes; /* their running hashes, too */
    /* What the root page of a running node says of this log, read before the segments were listed:
     * commits above it are being written. durable_number 0: nothing is known. */
    uint64_t durable_number;
    struct log_id durable_nonce; /* of the segment that holds it */

    /* Carried from segment to segment of one log. */
    uint64_t next_offsets[LOG_TOPICS_MAX];
    bool offsets_known[LOG_TOPICS_MAX];
    bool lost[LOG_TOPICS_MAX]; /* damage was told since its last records */
    char names[LOG_TOPICS_MAX][LOG_TOPIC_NAME_BYTES_MAX + 1];
    struct log_id log_id;                    /* all zero: none yet */
    struct log_id seen[LOG_VERIFY_SEEN_MAX]; /* nonces of its segments, the last ones */
    uint64_t seen_count;
    int64_t wall_ms; /* of its last commit, as the next ones */
    uint64_t last_number;
    uint32_t last_crc32c;
    struct log_id last_nonce;
    struct lane_resume_set lane_set;
    struct record_digest digest;
    char what[LOG_VERIFY_WHAT_BYTES]; /* a text with a number in it */
};

enum log_segment_state {
    LOG_SEGMENT_SPARE,  /* prepared, never opened */
    LOG_SEGMENT_OPEN,   /* no trailer: being written, or a crash left it so */
    LOG_SEGMENT_CLOSED, /* no trailer, and another segment goes on behind it */
    LOG_SEGMENT_SEALED,
    LOG_SEGMENT_UNREADABLE,
};

const char *log_segment_state_text(enum log_segment_state state);

struct log_verified {
    uint64_t commits;
    uint64_t records;
    uint64_t bytes; /* of the file */
    uint64_t damages;
    uint64_t notes;
    bool sealed;
    bool spare;
    enum log_segment_state state;
    uint64_t tail_position; /* not sealed: where the good commits end */
};

/* Starts with another log. */
void log_verify_forget(struct log_verify *verify);

/* STATUS_OK also when damage was found; otherwise why it could not be read at all.
 * last_number: commits above it were abandoned (the next segment continues this one); else
 * UINT64_MAX. */
MUST_CHECK enum status log_verify_segment(struct log_verify *verify, const char *path,
                                          uint64_t last_number, struct log_verified *out);

END_C_DECLS
