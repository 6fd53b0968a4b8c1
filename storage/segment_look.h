/* segment_look.h - a look at one segment's header, trailer and footer, for whoever keeps the books.
 *
 * Owns     The open file and the scan, until segment_look_end. Threads: one at a time; cold,
 * blocks.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"

BEGIN_C_DECLS

struct segment_look {
    struct files files;
    int file;
    uint64_t size_bytes;
    struct segment_scan *scan;
};

/* Header and trailer, read and checked. STATUS_NOT_FOUND: gone, or a spare; or why it cannot be
 * read. Nothing is held then. */
MUST_CHECK enum status segment_look_begin(struct files files, uint32_t partition, uint64_t number,
                                          struct segment_look *out);
void segment_look_end(struct segment_look *look);

/* The footer, borrowed until the look ends. As segment_scan_footer and segment_footer_open. */
MUST_CHECK enum status segment_look_footer(struct segment_look *look, struct segment_footer *out,
                                           struct commit_header *out_header);

/* The format's version that the header of a segment names which is STATUS_UNSUPPORTED; 0 when it
 * cannot be read. */
uint32_t segment_look_version(struct files files, const char *name);

END_C_DECLS
