/* audit.h - a producer's ledger of receipts against the logs: is what was acknowledged there, once,
 * in order, and byte for byte what was sent?
 *
 * Purpose  Three steps: audit_ledger.c reads the ledger, audit_log.c walks segments, audit_judge.c
 *          compares. cmd_audit.c is the command around them.
 * Owns     All that it read: some hundred bytes a receipt and a commit, none of the records.
 * Threads  One. Reads only; works below a running node, because the ledger is read first and says
 *          nothing that was not durable by then.
 * Proof    docs/protocol.md, section 3 (running hash) and log-format.md, "Unstored": the records in
 *          the log give the hash that each commit claims, and those claims are the ones that the
 *          producer computed over what it sent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "tools/record_digest.h"
#include "tools/segment_paths.h"
#include "wire/native.h"

BEGIN_C_DECLS

/* Sequences with one fate. */
struct audit_run {
    uint64_t first;
    uint64_t last;
    uint32_t piece; /* of the log's; the ledger's: 0 */
    uint8_t fate;   /* enum native_fate */
};

struct audit_receipt {
    uint64_t first;
    uint64_t last;
    uint64_t hash;
    bool chained;
};

/* A sequence at which a receipt ends or a chain of them begins: the hash up to there, from the
 * beginning of the piece that holds it. */
struct audit_mark {
    uint64_t sequence;
    struct hash_fold fold;
    uint32_t piece;
    bool known; /* false: not met, or behind a record that was not stored */
};

/* Where the log itself says the hash: `hash` is H(sequence). */
struct audit_point {
    uint64_t sequence;
    uint64_t hash;
};

/* What one commit did to a lane. */
struct audit_piece {
    uint64_t first;
    uint64_t last;
    uint32_t partition;
    uint32_t order; /* of the walk */
    uint64_t segment;
    uint64_t commit;
    uint64_t hash;         /* H(last), as the commit says */
    struct hash_fold fold; /* over its records, `unstored` included */
    uint32_t generation;   /* how often its log had forgotten the lane before */
    bool has_records;      /* all that it stored lies in its commit */
    bool in_order;         /* and in the order of sequences */
};

struct audit_lane {
    uint32_t number;
    /* of the ledger */
    struct audit_receipt *receipts;
    struct audit_run *acknowledged; /* by sequence */
    struct audit_mark *marks;       /* by sequence */
    size_t receipt_count, receipt_capacity;
    size_t acknowledged_count, acknowledged_capacity;
    size_t mark_count, mark_capacity;
    /* of the logs */
    struct audit_piece *pieces;
    struct audit_run *found;
    struct audit_point *points;
    size_t piece_count, piece_capacity;
    size_t found_count, found_capacity;
    size_t point_count, point_capacity;
    uint64_t expired_to; /* up to here, the beginning of a log may have held it and is gone */
    uint32_t log;        /* whose walk met it last, from 1 */
    uint32_t generation; /* in that log */
};

enum audit_kind {
    AUDIT_MISSING,    /* acknowledged, and in no commit */
    AUDIT_GAP,        /* between two commits of a log, and not acknowledged one by one */
    AUDIT_TWICE,      /* in two commits */
    AUDIT_ORDER,      /* behind a later sequence */
    AUDIT_FATE,       /* the log tells another fate than the receipt */
    AUDIT_PLACE,      /* the commit tells of records that are not in it */
    AUDIT_RECORDS,    /* the commit's records are not those that its hash was made of */
    AUDIT_RECEIPT,    /* the receipts' hash is another than the log's */
    AUDIT_RECEIPTS,   /* the ledger tells of a sequence twice */
    AUDIT_UNREADABLE, /* part of a segment */
    AUDIT_KIND_COUNT,
};

const char *audit_kind_text(enum audit_kind kind); /* "missing", for programs */

struct audit_finding {
    enum audit_kind kind;
    uint32_t lane;
    uint64_t first;
    uint64_t last;
    const struct audit_piece *piece; /* NULL: none is to blame */
    const struct audit_piece *other; /* AUDIT_TWICE */
    uint8_t told;                    /* AUDIT_FATE: by the receipt */
    uint8_t found;                   /* and by the log */
    const char *path;                /* AUDIT_UNREADABLE */
    uint64_t position;
};

typedef void audit_on_finding(void *context, const struct audit_finding *finding);

struct audit {
    struct native_producer_id producer;
    struct audit_lane *lanes; /* by number */
    size_t lane_count;
    size_t lane_capacity;
    audit_on_finding *on_finding;
    void *context;
    uint64_t findings;
    uint64_t receipts;
    uint64_t acknowledged;    /* records, over all lanes */
    uint64_t present;         /* of those: in the log, with that fate */
    uint64_t expired;         /* of those: older than what the logs still hold */
    uint64_t proven;          /* of those: under a hash that was compared */
    uint64_t without_receipt; /* in the log, and not in the ledger: its sender was killed */
    uint64_t commits;         /* with something of this producer */
    uint64_t ledger_position; /* where it stops holding; 0: its header does not */
    bool ledger_is_torn;      /* its end: a crash, or a writer at work */
    bool beginning_is_gone;   /* of some log */
};

/* As receipts_reader_open and receipts_next: STATUS_OK at the end of the ledger. */
MUST_CHECK enum status audit_read_ledger(struct audit *audit, const char *path);

/* All segments, sorted. STATUS_OK, or why one cannot be read: *out_path says which. One that is
 * gone meanwhile has expired. */
MUST_CHECK enum status audit_read_logs(struct audit *audit, struct segment_paths *paths,
                                       const char **out_path);

void audit_judge(struct audit *audit);

void audit_deinit(struct audit *audit);

/* ---- between the three */

/* NULL: the ledger has none of it. */
struct audit_lane *audit_lane_find(struct audit *audit, uint32_t number);
struct audit_lane *audit_lane_add(struct audit *audit, uint32_t number);

void audit_tell(struct audit *audit, const struct audit_finding *finding);

/* Room for one more at the end of an array; the program ends where memory does. */
MUST_CHECK void *audit_grow(void *array, size_t count, size_t *capacity, size_t item_bytes);

END_C_DECLS
