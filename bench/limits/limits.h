/* limits.h - the bare costs that the appliance is held against: nothing but the work itself.
 *
 * Purpose  Each file here does one stage's unavoidable work on one burst, as fast as we know how:
 *          no ledger, no framing, no error to handle, no log. roofline.c runs them one behind the
 *          other on the worker's own core, on the same frames, and times each; disk.h, of its
 *          own, writes commits with nothing around them.
 * Fair     A burst at a time, so that a frame's bytes come from memory once, as in the worker: a
 *          limit that ran each stage over the whole data set would pay for that three times and
 *          look slower than it is. A limit that is slow flatters: if you know a faster way, send
 *          it.
 * Threads  The worker's lcore. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "bench/counters.h"
#include "bench/frames.h"
#include "nic/frame.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

struct hs_scratch;

enum limit_stage {
    LIMIT_RECEIVE, /* feed, receive, release */
    LIMIT_PARSE,   /* headers, checksums, where each record begins and ends */
    LIMIT_SCAN,    /* hs_scan, one call a record and scanned field */
    LIMIT_COPY,    /* one copy, and its CRC-32C */
    LIMIT_STAGE_COUNT,
};

enum { LIMIT_RECORDS_MAX = FRAMES_BURST * 64 }; /* of one burst */

struct limit_record {
    struct bytes value;  /* what is scanned */
    struct bytes stored; /* what is copied */
};

/* parse.c: answers how many records were found. Every frame of the data set is good: one that is
 * not ends the process. */
size_t limit_parse(enum frames_kind kind, const struct interface *interface,
                   struct rte_mbuf *const *mbufs, size_t count, struct limit_record *out);

/* scan.c: the rule set's own databases; keeps in `records` what no rule drops, answers how many.
 * Only value patterns: asserted at init. */
struct limit_scan {
    const struct rule_set *rules;
    struct hs_scratch *scratch;
};
MUST_CHECK enum status limit_scan_init(struct limit_scan *scan, const struct rule_set *rules);
void limit_scan_deinit(struct limit_scan *scan);
size_t limit_scan_records(const struct limit_scan *scan, struct limit_record *records,
                          size_t count);

/* copy.c: into 1 MiB buffers, one behind the other in a pool of 64 MiB. */
struct limit_copy {
    uint8_t *pool;
    size_t position;      /* in the pool */
    size_t summed;        /* up to here */
    uint32_t crc;         /* of the open buffer */
    uint32_t buffers_crc; /* of all finished ones: nobody may optimise the sum away */
};
MUST_CHECK enum status limit_copy_init(struct limit_copy *copy);
void limit_copy_deinit(struct limit_copy *copy);
void limit_copy_records(struct limit_copy *copy, const struct limit_record *records, size_t count);

/* roofline.c: all of it, for a while. */
struct limit_run {
    /* in */
    enum frames_kind kind;
    struct frames *frames;
    uint16_t port_id;
    const struct interface *interface;
    struct limit_scan scan;
    struct limit_copy copy;
    uint64_t duration_ns;
    /* out */
    uint64_t frame_count;
    uint64_t record_count;
    uint64_t kept_count;
    uint64_t elapsed_ns;
    uint64_t cpu_ns;
    uint64_t cycles[LIMIT_STAGE_COUNT];
    struct counted counted;
};
/* A body for the worker's lcore; `argument` is a struct limit_run. */
int limit_roofline(void *argument);

END_C_DECLS
