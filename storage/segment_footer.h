/* segment_footer.h - the commit that ends a segment: its topics, totals and index, both ways.
 *
 * Purpose  Recovery seals with it what a crash left open; the reader and `penstock log` open those
 *          that are on disk. (A running core_log encodes its own, in the commit ring.)
 * Owns     An encoded footer's memory is the caller's to free; an opened one borrows the commit.
 * Threads  Any; no state. Cold.
 * Format   docs/log-format.md, "Footer". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/cursor.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/log_resume.h"
#include "wire/index_chunk.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct segment_footer {
    struct bytes topics;  /* for topic_declaration_decode */
    bool offsets_skipped; /* ENTRY_FLAG_OFFSETS_SKIPPED */
    struct bytes anchors; /* of the index: struct index_anchor_wire, back to back */
    struct bytes totals;  /* u64, little-endian; empty: none */
    /* The index's chunks. `index` is empty when only the summary was read. */
    struct bytes index;
    size_t index_bytes;
    uint64_t index_position; /* in the segment's file */
};

/* Takes a checked commit with COMMIT_FLAG_FOOTER apart. STATUS_CORRUPT: topics or index are
 * missing, or an entry's checksum does not hold. */
MUST_CHECK enum status segment_footer_open(struct bytes commit, const struct commit_header *header,
                                           struct segment_footer *out);

/* Reads from the file what `trailer` names, but not the index's chunks: about a hundredth of it.
 * `out` points into `*memory`, the caller's to free. STATUS_CORRUPT: no footer of this segment, or
 * what was read does not hold. STATUS_IO, STATUS_TRUNCATED, STATUS_NO_MEMORY. */
MUST_CHECK enum status segment_footer_read_summary(struct files files, int file,
                                                   const struct segment_header *header,
                                                   const struct segment_trailer *trailer,
                                                   uint8_t **memory, struct segment_footer *out);

static inline size_t segment_footer_anchor_count(const struct segment_footer *footer)
{
    return footer->anchors.len_bytes / sizeof(struct index_anchor_wire);
}

/* STATUS_CORRUPT: no anchor of a chunk of this index. */
MUST_CHECK static inline enum status segment_footer_anchor(const struct segment_footer *footer,
                                                           size_t index, struct index_anchor *out)
{
    return index_anchor_decode(
        (const struct index_anchor_wire *)(footer->anchors.at +
                                           index * sizeof(struct index_anchor_wire)),
        footer->index_bytes, out);
}

/* Walks the lines of an opened footer, chunk by chunk: of one topic in the order of offsets. */
struct segment_footer_walk {
    const struct segment_footer *footer;
    size_t next_anchor;
    struct index_anchor anchor; /* the one in work */
    struct index_state state;
    struct cursor lines;
    uint32_t lines_left;
};

struct segment_footer_walk segment_footer_walk_begin(const struct segment_footer *footer);

/* STATUS_NOT_FOUND behind the last one; STATUS_CORRUPT: an anchor and its chunk do not agree. */
MUST_CHECK enum status segment_footer_walk_next(struct segment_footer_walk *walk,
                                                struct index_entry *out);

/* What the anchors count: as many as a walk finds, if all chunks hold. */
uint64_t segment_footer_line_count(const struct segment_footer *footer);

/* All lines in the order in which their batches lie in the segment. `*out` is the caller's to free.
 * STATUS_CORRUPT: an anchor and its chunk do not agree; STATUS_NO_MEMORY. Nothing is held then. */
MUST_CHECK enum status segment_footer_lines(const struct segment_footer *footer,
                                            struct index_entry **out, size_t *out_count);

struct segment_footer_parts {
    struct commit_header header;  /* length, entry count, flags and CRC are filled in here */
    const struct log_resume *log; /* topics and totals */
    const uint64_t *base_offsets; /* one a topic: when the segment was opened */
    bool offsets_skipped;
    const struct index_entry *index; /* what contradicts itself there is left out */
    size_t index_count;
};

/* A whole commit, block-aligned, from aligned_alloc. STATUS_FULL: larger than a commit may be;
 * STATUS_NO_MEMORY. */
MUST_CHECK enum status segment_footer_encode(struct segment_footer_parts *parts, uint8_t **out,
                                             uint32_t *out_crc32c);

END_C_DECLS
