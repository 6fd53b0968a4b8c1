/* receipts.h - proof of receipt: what the appliance said became of each record, kept by the
 * producer.
 *
 * Purpose  An append-only ledger, written before the application hears of a fate, and read by
 *          `penstock audit`: with the running hash it proves which bytes the fates were given for.
 * Owns     The file; while it is written it is locked (flock): one writer.
 * Threads  One owner calls it. Writing waits for the file system.
 * Format   docs/receipts.md; the *_wire structs mirror its tables. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/native.h"

BEGIN_C_DECLS

enum {
    RECEIPTS_VERSION = 1,
    RECEIPT_RUNS_MAX = 64, /* fate runs of one entry */
    RECEIPT_CHAINED = 1,   /* flag: `hash` goes on from the lane's entry before; else from 0 */
};

/* docs/receipts.md, "Header". */
struct receipts_header_wire {
    uint8_t magic[8];
    uint8_t version_le32[4];
    uint8_t crc32c_le32[4]; /* over the header, this field as zero */
    uint8_t producer[NATIVE_PRODUCER_ID_BYTES];
    uint8_t created_ms_le64[8];
    uint8_t reserved[24];
};
static_assert(sizeof(struct receipts_header_wire) == 64, "receipts.md");

/* docs/receipts.md, "Entry". */
struct receipt_wire {
    uint8_t length_le32[4]; /* of the whole entry, its runs included */
    uint8_t crc32c_le32[4]; /* over everything behind this field */
    uint8_t lane_le32[4];
    uint8_t run_count_le16[2];
    uint8_t flags_le16[2];
    uint8_t epoch_le64[8];
    uint8_t first_le64[8];
    uint8_t last_le64[8];
    uint8_t hash_le64[8];
    uint8_t time_ms_le64[8];
};
static_assert(sizeof(struct receipt_wire) == 56, "receipts.md");

struct receipt_run_wire {
    uint8_t fate;
    uint8_t reserved[3];
    uint8_t count_le32[4];
};
static_assert(sizeof(struct receipt_run_wire) == 8, "receipts.md");

struct receipt_run {
    uint8_t fate; /* enum native_fate */
    uint32_t count;
};

struct receipt {
    uint32_t lane;
    bool chained;
    uint64_t epoch;
    uint64_t first; /* sequences, both included; the runs cover them exactly */
    uint64_t last;
    uint64_t hash; /* H(last) if the chain reaches back to sequence 1, see docs/receipts.md */
    int64_t time_ms;
    uint32_t run_count;
    struct receipt_run runs[RECEIPT_RUNS_MAX];
};

enum receipts_sync {
    RECEIPTS_SYNC_NEVER,  /* outlives this process */
    RECEIPTS_SYNC_ALWAYS, /* outlives the machine: fdatasync in receipts_commit */
};

/* ------------------------------------------------------------------------------------- writing */

struct receipts; /* opaque */

/* Opens or makes the ledger and cuts a torn tail.
 * STATUS_BUSY         another process writes it
 * STATUS_EXISTS       it is another producer's
 * STATUS_CORRUPT      no ledger, or rot before its end: keep it, and begin another
 * STATUS_UNSUPPORTED  a later version's
 * STATUS_NO_MEMORY, or as status_from_errno: errno is the failing call's */
MUST_CHECK enum status receipts_open(const char *path, const struct native_producer_id *producer,
                                     enum receipts_sync sync, struct receipts **out);
void receipts_close(struct receipts *receipts); /* NULL is fine. What was not committed is gone. */

/* Where the lane's newest entry ends; false: it has none. */
bool receipts_last(const struct receipts *receipts, uint32_t lane, uint64_t *out_sequence,
                   uint64_t *out_hash);

/* Adds an entry to what the next commit writes. STATUS_NO_MEMORY. */
MUST_CHECK enum status receipts_append(struct receipts *receipts, const struct receipt *receipt);

/* Writes what was appended. After an error, errno says why, the ledger ends before it and takes no
 * more: STATUS_CLOSED from then on. */
MUST_CHECK enum status receipts_commit(struct receipts *receipts);

/* ------------------------------------------------------------------------------------- reading */

struct receipts_reader; /* opaque */

/* Errors as receipts_open, but that a writer may be at work. */
MUST_CHECK enum status receipts_reader_open(const char *path, struct receipts_reader **out,
                                            struct native_producer_id *out_producer);
void receipts_reader_close(struct receipts_reader *reader); /* NULL is fine */

/* The next entry, in the order in which they were written.
 * STATUS_OK
 * STATUS_NOT_FOUND  the end
 * STATUS_TRUNCATED  the end, and behind it a torn entry: a crash, or a writer at work
 * STATUS_CORRUPT    rot: what follows cannot be told apart */
MUST_CHECK enum status receipts_next(struct receipts_reader *reader, struct receipt *out);

/* Of the file: where the last whole entry ends, at first the header. */
uint64_t receipts_reader_position(const struct receipts_reader *reader);

END_C_DECLS
