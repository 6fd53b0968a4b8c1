/* recycled_files.h - segments that are full of written blocks already, handed out again and again.
 *
 * Purpose  The bare writer goes round in one file that was zero-filled before. So that a log is not
 *          held against it while a helper fills its next segment, a segment here is made once, as
 *          the product makes it (storage/posix_files.c), and used again when the log has closed it.
 * Owns     The files; nobody may want to read what is in them.
 * Threads  One: the segment supply's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"

BEGIN_C_DECLS

enum { RECYCLED_FILES_MAX = 8 };

struct recycled_files {
    struct posix_files *posix;
    uint64_t size_bytes;
    size_t count;
    int files[RECYCLED_FILES_MAX]; /* open all the time; beside the log's, one for who asks */
    bool taken[RECYCLED_FILES_MAX];
};

/* Makes them, whole and durable, in `directory`. */
MUST_CHECK enum status recycled_files_init(struct recycled_files *files, const char *directory,
                                           size_t count, uint64_t size_bytes);
void recycled_files_deinit(struct recycled_files *files);

/* create and close alone do something. */
struct files recycled_files_port(struct recycled_files *files);

/* One of them, for a writer beside the log; -1: none is free. */
int recycled_files_take(struct recycled_files *files);

END_C_DECLS
