#include "storage/segment_look.h"

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
