/* segment_paths.h - segments named on a command line, opened where they lie.
 *
 * Owns     The list. Its files port opens full paths for reading, by O_DIRECT where the file system
 *          has it (a copy on a tmpfs does not, and no writer to disturb either); nothing else. */
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
};

struct segment_paths {
    struct segment_path *at; /* once sorted: by log, then number */
    size_t count;
    size_t capacity;
};

/* Adds the segment, or all below a partition's directory or a storage path. errno says why not. */
MUST_CHECK enum status segment_paths_add(struct segment_paths *paths, const char *path);
/* A log's segments may lie on several storage paths. Where two have one number (a log and its
 * copy), each directory counts as a log of its own. */
void segment_paths_sort(struct segment_paths *paths);
void segment_paths_free(struct segment_paths *paths);

struct files segment_paths_files(void);

/* STATUS_NOT_FOUND: prepared, never opened; or as files_open and segment_scan_create. */
MUST_CHECK enum status segment_paths_header(const char *path, struct segment_header *out);

bool segment_paths_same_log(const struct segment_path *left, const struct segment_path *right);

/* The commit that a later segment of the same log continues: those above it in the segment at
 * `index` were abandoned. UINT64_MAX: none does. */
uint64_t segment_paths_last_number(const struct segment_paths *paths, size_t index);

END_C_DECLS
