/* segment_paths.h - segments named on a command line, opened where they lie.
 *
 * Owns     The list, and the devices among it. Its files port opens full paths for reading, by
 *          O_DIRECT where the file system has it (a copy on a tmpfs does not, and no writer to
 *          disturb either); nothing else. Below a raw device (or an image of one) the names go on
 *          as in a directory: "/dev/nvme1n1/part-0003/0000000000000017.segment".
 * Threads  One. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct segment_path {
    char *path;
    size_t directory_bytes; /* of the path */
    struct log_id log_id;   /* once sorted; all zero: not known, its directory stands for it */
    bool has_header;        /* likewise */
};

struct segment_device {
    char *path;
    struct posix_files *files;
};

struct segment_device_file {
    const struct segment_device *device; /* NULL: none */
    int file;
};

struct segment_paths {
    struct segment_path *at; /* once sorted: by log, then number */
    size_t count;
    size_t capacity;
    struct segment_device *devices;
    size_t device_count;
    struct segment_device_file open[4]; /* the tools have one open, and look at the next one */
};

/* Adds the segment, or all below a partition's directory or a storage path. errno says why not;
 * STATUS_NOT_FOUND with errno 0: a device that is not initialised. */
MUST_CHECK enum status segment_paths_add(struct segment_paths *paths, const char *path);
/* A log's segments may lie on several storage paths. Where two have one number (a log and its
 * copy), each directory counts as a log of its own. */
void segment_paths_sort(struct segment_paths *paths);
void segment_paths_free(struct segment_paths *paths);

struct files segment_paths_files(struct segment_paths *paths);

/* STATUS_NOT_FOUND: prepared, never opened; or as files_open and segment_scan_create. */
MUST_CHECK enum status segment_paths_header(struct segment_paths *paths, const char *path,
                                            struct segment_header *out);

bool segment_paths_same_log(const struct segment_path *left, const struct segment_path *right);

/* The commit that a later segment of the same log continues: those above it in the segment at
 * `index` were abandoned. UINT64_MAX: none does. */
uint64_t segment_paths_last_number(struct segment_paths *paths, size_t index);

END_C_DECLS
