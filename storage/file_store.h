/* file_store.h - one storage path: a directory of files, or a raw device of slots.
 *
 * Purpose  What posix_files.c composes storage.paths from. directory_store.c and device_store.c are
 *          the two kinds; nobody else includes this.
 * Errors   As files.h, which has the contract of every call here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"

BEGIN_C_DECLS

/* Which segment: "part-0003/0000000000000017.segment". */
struct segment_name {
    uint32_t partition;
    uint64_t number;
};

/* One use of a segment; the store's from open or create to close. */
struct store_file {
    int descriptor;
    uint64_t begin; /* where byte 0 lies in the descriptor */
    uint64_t size_bytes;
    /* A device's: which life of which slot it is. */
    uint32_t slot;
    uint64_t generation;
    uint64_t device_life;
};

struct file_store_ops {
    bool (*has_partition)(void *self, uint32_t partition);
    bool (*has_segment)(void *self, struct segment_name name);
    enum status (*list_partitions)(void *self, files_on_partition *visit, void *context);
    enum status (*list_segments)(void *self, uint32_t partition, files_on_segment *visit,
                                 void *context);
    enum status (*create)(void *self, struct segment_name name, uint64_t size_bytes,
                          struct store_file *out);
    enum status (*open)(void *self, struct segment_name name, enum files_access access,
                        struct store_file *out);
    enum status (*read)(void *self, const struct store_file *file, uint64_t position, uint8_t *out,
                        size_t len_bytes);
    enum status (*write)(void *self, const struct store_file *file, uint64_t position,
                         struct bytes bytes);
    enum status (*remove)(void *self, struct segment_name name);
    void (*close)(void *self, struct store_file *file);
    enum status (*space)(void *self, uint64_t *out_free_bytes);
    void (*destroy)(void *self);
};

struct file_store {
    const struct file_store_ops *ops;
    void *self; /* NULL: none */
};

/* Both say what they find by `options->found`, with `path`. A directory is made when it is missing,
 * drafts that a crash left in it are removed; a device is opened for this process alone. Read-only:
 * nothing is made (create and remove are STATUS_IO, EROFS), and what is not there yet is looked for
 * again at every listing. */
MUST_CHECK enum status directory_store_create(const struct posix_files_options *options,
                                              const char *path, struct file_store *out);
MUST_CHECK enum status device_store_create(const struct posix_files_options *options,
                                           const char *path, struct file_store *out);

END_C_DECLS
