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

/* Reads header and trailer. STATUS_NOT_FOUND: prepared, never opened. STATUS_CORRUPT,
 * STATUS_UNSUPPORTED, STATUS_IO, STATUS_NO_MEMORY. A header that is damaged is rebuilt from the
 * segment's first commit where that one holds; a file shorter than its header claims is walked as
 * far as it goes. The file stays the caller's. */
MUST_CHECK enum status segment_scan_create(struct files files, int file, uint64_t size_bytes,
                                           struct segment_scan **out);
void segment_scan_destroy(struct segment_scan *scan);

const struct segment_header *segment_scan_header(const struct segment_scan *scan);

/* Then cluster id, partition, number, leader epoch, predecessor nonce and tail_records_max of the
 * header are unknown, and zero. */
bool segment_scan_header_is_rebuilt(const struct segment_scan *scan);

/* Why the header had to be rebuilt; STATUS_OK when it was not. */
enum status segment_scan_header_status(const struct segment_scan *scan);

/* STATUS_OK and the trailer, STATUS_NOT_FOUND (not sealed), STATUS_TRUNCATED (the file ends before
 * it), STATUS_CORRUPT, STATUS_UNSUPPORTED, STATUS_IO. */
MUST_CHECK enum status segment_scan_trailer(const struct segment_scan *scan,
                                            struct segment_trailer *out);

struct scanned_commit {
    uint64_t position;
    struct commit_header header;
    struct bytes bytes; /* the whole commit; valid until the next call */
    /* With SCAN_BAD: header and directory hold and continue the chain, the bytes of at least one
     * entry do not (entry_bytes says which). The scan has moved past it. */
    bool directory_holds;
};

/* The footer by way of the trailer, without a walk; nothing of the walk changes. As
 * segment_scan_trailer, and STATUS_CORRUPT when what the trailer names is not a footer. */
MUST_CHECK enum status segment_scan_footer(struct segment_scan *scan, struct scanned_commit *out);

enum scan_result {
    SCAN_COMMIT, /* good in every byte, and the next in the chain */
    SCAN_END,    /* nothing but zeros follows, or the footer was the last */
    SCAN_BAD,    /* `position` says where; something other than zeros, and not the next commit */
    SCAN_IO,     /* could not be read; `position` says where */
};

/* The next commit in order. After SCAN_BAD or SCAN_IO, segment_scan_resync looks for a later one.
 */
enum scan_result segment_scan_next(struct segment_scan *scan, struct scanned_commit *out);

/* Block by block, from where the scan stands, to the next position with a good commit of this
 * segment whose number is not below the one expected (its chain cannot be checked across the gap).
 * SCAN_COMMIT or SCAN_END; unreadable blocks are passed over. */
enum scan_result segment_scan_resync(struct segment_scan *scan, struct scanned_commit *out);

/* Whether something stands where the walk does: a block that does not read as zeros. */
bool segment_scan_goes_on(struct segment_scan *scan);

/* Behind the last block at or behind `position` that does not read as zeros (one that cannot be
 * read does not), at most where commits may end; `position` when there is none. */
uint64_t segment_scan_written_end(struct segment_scan *scan, uint64_t position);

/* Where the walk stands: behind the last commit that it took. */
uint64_t segment_scan_position(const struct segment_scan *scan);

END_C_DECLS
