/* segment_scan.h - walks the commits of one segment, checking everything.
 *
 * Purpose  Recovery, `penstock log verify` and `inspect` see a segment through this: header, every
 *          commit in order with the reason where one is bad, footer, trailer.
 * Owns     Its read buffers. Threads: one at a time; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct segment_scan; /* opaque */

/* Reads the header. STATUS_NOT_FOUND: prepared, never opened. STATUS_CORRUPT, STATUS_UNSUPPORTED,
 * STATUS_TRUNCATED (shorter than it claims), STATUS_IO. The file stays the caller's. */
MUST_CHECK enum status segment_scan_create(struct files files, int file, uint64_t size_bytes,
                                           struct segment_scan **out);
void segment_scan_destroy(struct segment_scan *scan);

const struct segment_header *segment_scan_header(const struct segment_scan *scan);

/* STATUS_OK and the trailer, STATUS_NOT_FOUND (not sealed), STATUS_CORRUPT, STATUS_IO. */
MUST_CHECK enum status segment_scan_trailer(struct segment_scan *scan, struct segment_trailer *out);

struct scanned_commit {
    uint64_t position;
    struct commit_header header;
    struct bytes bytes; /* the whole commit; valid until the next call */
};

enum scan_result {
    SCAN_COMMIT, /* good in every byte, and the next in the chain */
    SCAN_END,    /* nothing but zeros follows, or the footer was the last */
    SCAN_BAD,    /* `position` says where; something other than zeros, and not a good commit */
    SCAN_IO,     /* could not be read */
};

/* The next commit in order. After SCAN_BAD, segment_scan_resync looks for a later one. */
enum scan_result segment_scan_next(struct segment_scan *scan, struct scanned_commit *out);

/* Block by block, to the next position with a commit of this segment whose own checksums hold (its
 * chain cannot be checked across the gap). SCAN_END when there is none. */
enum scan_result segment_scan_resync(struct segment_scan *scan, struct scanned_commit *out);

END_C_DECLS
