/* segment_paths.h - segments named on a command line, opened where they lie.
 *
 * Owns     The list. Its files port opens full paths for reading, by O_DIRECT where the file system
 *          has it (a copy on a tmpfs does not, and no writer to disturb either); nothing else. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"

BEGIN_C_DECLS

struct segment_path {
    char *path;
    size_t directory_bytes; /* of the path: segments of one log lie in one directory */
};

struct segment_paths {
    struct segment_path *at; /* by directory, then number */
    size_t count;
    size_t capacity;
};

/* Adds the segment, or all below a partition's directory or a storage path. errno says why not. */
MUST_CHECK enum status segment_paths_add(struct segment_paths *paths, const char *path);
void segment_paths_sort(struct segment_paths *paths);
void segment_paths_free(struct segment_paths *paths);

struct files segment_paths_files(void);

END_C_DECLS
