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
#include "base/status.h"
#include "storage/log_resume.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct segment_footer {
    struct bytes topics;  /* for topic_declaration_decode */
    bool offsets_skipped; /* ENTRY_FLAG_OFFSETS_SKIPPED */
    struct bytes index;   /* struct index_entry_wire, back to back */
    struct bytes totals;  /* u64, little-endian; empty: none */
};

/* Takes a checked commit with COMMIT_FLAG_FOOTER apart. STATUS_CORRUPT: topics or index are
 * missing, or an entry's checksum does not hold. */
MUST_CHECK enum status segment_footer_open(struct bytes commit, const struct commit_header *header,
                                           struct segment_footer *out);

static inline size_t segment_footer_index_count(const struct segment_footer *footer)
{
    return footer->index.len_bytes / sizeof(struct index_entry_wire);
}

static inline struct index_entry segment_footer_index_at(const struct segment_footer *footer,
                                                         size_t index)
{
    return index_entry_decode(
        (const struct index_entry_wire *)(footer->index.at +
                                          index * sizeof(struct index_entry_wire)));
}

struct segment_footer_parts {
    struct commit_header header;  /* length, entry count, flags and CRC are filled in here */
    const struct log_resume *log; /* topics and totals */
    const uint64_t *base_offsets; /* one a topic: when the segment was opened */
    bool offsets_skipped;
    const struct index_entry_wire *index;
    size_t index_count;
};

/* A whole commit, block-aligned, from aligned_alloc. STATUS_FULL: larger than a commit may be;
 * STATUS_NO_MEMORY. */
MUST_CHECK enum status segment_footer_encode(struct segment_footer_parts *parts, uint8_t **out,
                                             uint32_t *out_crc32c);

END_C_DECLS
