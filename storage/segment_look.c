#include "storage/segment_look.h"

#include <stdlib.h>

enum status segment_look_begin(struct files files, uint32_t partition, uint64_t number,
                               struct segment_look *out)
{
    char name[LOG_NAME_BYTES];
    *out = (struct segment_look){.files = files};
    log_segment_name(partition, number, name);
    enum status status = files_open(files, name, FILES_READ, &out->file, &out->size_bytes);
    if (status != STATUS_OK) { return status; }
    status = segment_scan_create(files, out->file, out->size_bytes, &out->scan);
    if (status != STATUS_OK) { files_close(files, out->file); }
    return status;
}

void segment_look_end(struct segment_look *look)
{
    segment_scan_destroy(look->scan);
    files_close(look->files, look->file);
}

enum status segment_look_footer(struct segment_look *look, struct segment_footer *out,
                                struct commit_header *out_header)
{
    struct scanned_commit commit;
    const enum status status = segment_scan_footer(look->scan, &commit);
    if (status != STATUS_OK) { return status; }
    *out_header = commit.header;
    return segment_footer_open(commit.bytes, &commit.header, out);
}

uint32_t segment_look_version(struct files files, const char *name)
{
    uint64_t size_bytes;
    int file;
    uint32_t version = 0;
    uint8_t *const block = aligned_alloc(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
    if (block == NULL) { return 0; }
    if (files_open(files, name, FILES_READ, &file, &size_bytes) == STATUS_OK) {
        if (files_read(files, file, 0, block, LOG_BLOCK_BYTES) == STATUS_OK) {
            version = segment_header_version(bytes_of(block, LOG_BLOCK_BYTES));
        }
        files_close(files, file);
    }
    free(block);
    return version;
}
