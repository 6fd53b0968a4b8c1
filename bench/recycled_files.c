#include "bench/recycled_files.h"

#include <stdio.h>
#include <string.h>

#include "base/invariant.h"
#include "wire/log_format.h"

enum status recycled_files_init(struct recycled_files *files, const char *directory, size_t count,
                                uint64_t size_bytes)
{
    assert(count <= RECYCLED_FILES_MAX);
    *files = (struct recycled_files){.size_bytes = size_bytes};
    enum status status = posix_files_create(&directory, 1, false, &files->posix);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        char name[LOG_NAME_BYTES];
        log_segment_name(0, i + 1, name);
        status = files_create(posix_files_port(files->posix), name, size_bytes, &files->files[i]);
        if (status == STATUS_OK) { files->count++; }
    }
    return status;
}

void recycled_files_deinit(struct recycled_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        files_close(posix_files_port(files->posix), files->files[i]);
    }
    posix_files_destroy(files->posix);
}

int recycled_files_take(struct recycled_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->taken[i]) { continue; }
        files->taken[i] = true;
        return files->files[i];
    }
    return -1;
}

static enum status recycled_create(void *self, const char *name, uint64_t size_bytes, int *out_file)
{
    struct recycled_files *const files = self;
    (void)name;
    if (size_bytes != files->size_bytes) { return STATUS_INVALID; }
    *out_file = recycled_files_take(files);
    return *out_file >= 0 ? STATUS_OK : STATUS_NO_SPACE;
}

static void recycled_close(void *self, int file)
{
    struct recycled_files *const files = self;
    for (size_t i = 0; i < files->count; i++) {
        if (files->files[i] == file) { files->taken[i] = false; }
    }
}

static enum status recycled_remove(void *self, const char *name)
{
    (void)self;
    (void)name;
    return STATUS_OK; /* it goes with close */
}

struct files recycled_files_port(struct recycled_files *files)
{
    static const struct files_ops ops = {
        .create = recycled_create,
        .remove = recycled_remove,
        .close = recycled_close,
    };
    return (struct files){&ops, files};
}
