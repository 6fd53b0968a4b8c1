#include "storage/log_chain.h"

#include <stdlib.h>

#include "storage/segment_scan.h"

struct listing {
    struct log_chain *chain;
    uint64_t first_number;
    size_t capacity;
    bool no_memory;
};

static void on_segment(void *context, uint64_t number, uint64_t size_bytes)
{
    struct listing *const listing = context;
    struct log_chain *const chain = listing->chain;
    if (number < listing->first_number) { return; }
    if (chain->count == listing->capacity) {
        const size_t capacity = listing->capacity == 0 ? 64 : listing->capacity * 2;
        void *const grown = realloc(chain->segments, capacity * sizeof *chain->segments);
        if (grown == NULL) {
            listing->no_memory = true;
            return;
        }
        chain->segments = grown;
        listing->capacity = capacity;
    }
    chain->segments[chain->count++] = (struct chain_segment){
        .number = number,
        .size_bytes = size_bytes,
        .last_number = UINT64_MAX,
    };
}

static int by_number(const void *left, const void *right)
{
    const uint64_t a = ((const struct chain_segment *)left)->number;
    const uint64_t b = ((const struct chain_segment *)right)->number;
    return (a > b) - (a < b);
}

static void segment_describe(struct chain_segment *segment, uint32_t partition, bool links_only,
                             struct segment_scan *scan)
{
    segment->header = *segment_scan_header(scan);
    segment->header_status = segment_scan_header_status(scan);
    segment->header_complete = segment->header_status == STATUS_OK;
    if (segment->header_status != STATUS_OK) {
        segment->header.partition = partition;
        segment->header.number = segment->number;
    }
    if (segment->header.number != segment->number || segment->header.partition != partition) {
        segment->status = STATUS_INVALID; /* a misplaced file */
    }
    segment->trailer_status = segment_scan_trailer(scan, &segment->trailer);

    struct scanned_commit footer;
    if (links_only) { return; }
    segment->sealed = segment_scan_footer(scan, &footer) == STATUS_OK;
    if (segment->sealed) { segment->footer = footer.header; }
}

static void segment_load(struct files files, uint32_t partition, bool links_only,
                         struct chain_segment *segment)
{
    char name[LOG_NAME_BYTES];
    int file;
    log_segment_name(partition, segment->number, name);
    segment->status = files_open(files, name, FILES_READ, &file, &segment->size_bytes);
    if (segment->status == STATUS_NOT_FOUND) { segment->status = STATUS_IO; } /* it was listed */
    if (segment->status != STATUS_OK) { return; }

    struct segment_scan *scan = NULL;
    segment->status = segment_scan_create(files, file, segment->size_bytes, &scan);
    if (segment->status == STATUS_OK) { segment_describe(segment, partition, links_only, scan); }
    segment_scan_destroy(scan);
    files_close(files, file);
}

/* -------------------------------------------------------------------------------- the links */

size_t log_chain_above(const struct log_chain *chain, size_t index)
{
    for (size_t i = index + 1; i < chain->count; i++) {
        if (chain->segments[i].in_chain) { return i; }
    }
    return chain->count;
}

size_t log_chain_below(const struct log_chain *chain, size_t index)
{
    for (size_t i = index; i-- > 0;) {
        if (chain->segments[i].in_chain) { return i; }
    }
    return chain->count;
}

size_t log_chain_top(const struct log_chain *chain) { return log_chain_below(chain, chain->count); }

static bool is_candidate(const struct log_chain *chain, size_t index, const struct log_id *log_id)
{
    const struct chain_segment *const segment = &chain->segments[index];
    return segment->status == STATUS_OK && log_id_equal(segment->header.log_id, *log_id);
}

/* The segment that `index` continues: by nonce; where that one is gone, or the header that named it
 * is, the nearest older one. */
static size_t predecessor_of(struct log_chain *chain, size_t index)
{
    static const struct log_id none = {{0}};
    struct chain_segment *const segment = &chain->segments[index];
    const struct log_id *const log_id = &segment->header.log_id;
    const struct log_id nonce = segment->header.predecessor_nonce;
    if (segment->header_status == STATUS_OK) {
        if (log_id_equal(nonce, none)) { return chain->count; } /* the log's first */
        for (size_t i = index; i-- > 0;) {
            if (!is_candidate(chain, i, log_id)) { continue; }
            if (log_id_equal(chain->segments[i].header.nonce, nonce)) { return i; }
        }
        segment->predecessor_missing = true;
    }
    for (size_t i = index; i-- > 0;) {
        if (!is_candidate(chain, i, log_id)) { continue; }
        if (chain->segments[i].header.first_commit_number < segment->header.first_commit_number) {
            return i;
        }
    }
    return chain->count;
}

static void chain_link(struct log_chain *chain)
{
    size_t at = chain->count;
    while (at > 0 && chain->segments[at - 1].status != STATUS_OK) { at--; }
    if (at == 0) { return; }
    const struct log_id log_id = chain->segments[at - 1].header.log_id;
    for (size_t i = 0; i < at; i++) {
        struct chain_segment *const segment = &chain->segments[i];
        if (segment->status == STATUS_OK && !is_candidate(chain, i, &log_id)) {
            segment->status = STATUS_INVALID; /* another log's */
        }
    }

    at--;
    for (;;) {
        chain->segments[at].in_chain = true;
        const size_t below = predecessor_of(chain, at);
        if (below == chain->count) { return; }
        chain->segments[below].last_number = chain->segments[at].header.predecessor_commit_number;
        at = below; /* strictly falls: no loop, whatever the headers say */
    }
}

enum status log_chain_load(struct files files, uint32_t partition, struct log_chain_scope scope,
                           struct log_chain *out)
{
    *out = (struct log_chain){0};
    struct listing listing = {.chain = out, .first_number = scope.first_number};
    enum status status = files_list_segments(files, partition, on_segment, &listing);
    if (status == STATUS_OK && listing.no_memory) { status = STATUS_NO_MEMORY; }
    if (status == STATUS_OK && out->count == 0) { status = STATUS_NOT_FOUND; }
    if (status != STATUS_OK) {
        log_chain_free(out);
        return status;
    }

    qsort(out->segments, out->count, sizeof *out->segments, by_number);
    for (size_t i = 0; i < out->count; i++) {
        segment_load(files, partition, scope.links_only, &out->segments[i]);
    }
    chain_link(out);
    return STATUS_OK;
}

void log_chain_free(struct log_chain *chain)
{
    free(chain->segments);
    *chain = (struct log_chain){0};
}
