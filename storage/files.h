/* files.h - the disk port, cold half: make, open, read and remove the files of the logs.
 *
 * Purpose  Everything about files that may block. posix_files.c is the real one, tests/sim/
 *          sim_disk.c the simulated; recovery, the segment supply, retention and the reader stand
 * on it, so all of them run in the simulator. Names    Relative:
 * "part-0003/0000000000000017.segment" (wire/log_format.h). Where a partition's directory lies
 * among the storage paths is this module's business: where it was found, or path number partition %
 * count when it is new. Threads  Any but a polling core. Calls for different files may run at the
 * same time. Errors   STATUS_NOT_FOUND, STATUS_EXISTS, STATUS_NO_SPACE, STATUS_TRUNCATED (read past
 * the end), STATUS_IO; errno is left as the failing call set it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum files_access {
    FILES_READ,       /* O_DIRECT */
    FILES_READ_WRITE, /* O_DIRECT */
};

/* Called for every partition directory, or every segment of one, in no order. */
typedef void files_on_partition(void *context, uint32_t partition);
typedef void files_on_segment(void *context, uint64_t number, uint64_t size_bytes);

/* Reads may be as fine as this: what a disk with sectors of 512 bytes reads, and no more. One whose
 * sectors are larger reads those. */
enum { FILES_READ_UNIT_BYTES = 512 };

struct files_ops {
    enum status (*list_partitions)(void *self, files_on_partition *visit, void *context);
    enum status (*list_segments)(void *self, uint32_t partition, files_on_segment *visit,
                                 void *context);
    enum status (*create)(void *self, const char *name, uint64_t size_bytes, int *out_file);
    enum status (*open)(void *self, const char *name, enum files_access access, int *out_file,
                        uint64_t *out_size_bytes);
    enum status (*read)(void *self, int file, uint64_t position, uint8_t *out, size_t len_bytes);
    enum status (*write)(void *self, int file, uint64_t position, struct bytes bytes);
    enum status (*remove)(void *self, const char *name);
    void (*close)(void *self, int file);
    enum status (*space)(void *self, uint32_t partition, uint64_t *out_free_bytes);
};

struct files {
    const struct files_ops *ops;
    void *self;
};

MUST_CHECK static inline enum status files_list_partitions(struct files files,
                                                           files_on_partition *visit, void *context)
{
    return files.ops->list_partitions(files.self, visit, context);
}

/* STATUS_NOT_FOUND when the partition has no directory. Other files in it are not visited. */
MUST_CHECK static inline enum status files_list_segments(struct files files, uint32_t partition,
                                                         files_on_segment *visit, void *context)
{
    return files.ops->list_segments(files.self, partition, visit, context);
}

/* A new file, every byte written as zero and durable, its name (and its directory's) durable too.
 * Open for reading and writing. Takes as long as writing it does. On an error nothing is left. */
MUST_CHECK static inline enum status files_create(struct files files, const char *name,
                                                  uint64_t size_bytes, int *out_file)
{
    return files.ops->create(files.self, name, size_bytes, out_file);
}

MUST_CHECK static inline enum status files_open(struct files files, const char *name,
                                                enum files_access access, int *out_file,
                                                uint64_t *out_size_bytes)
{
    return files.ops->open(files.self, name, access, out_file, out_size_bytes);
}

/* Fills `out` whole: position and length are multiples of FILES_READ_UNIT_BYTES, memory is
 * block-aligned. */
MUST_CHECK static inline enum status files_read(struct files files, int file, uint64_t position,
                                                uint8_t *out, size_t len_bytes)
{
    return files.ops->read(files.self, file, position, out, len_bytes);
}

/* Writes and makes durable before it returns (recovery's footers). Block-aligned likewise. */
MUST_CHECK static inline enum status files_write(struct files files, int file, uint64_t position,
                                                 struct bytes bytes)
{
    return files.ops->write(files.self, file, position, bytes);
}

/* The name is gone, durably. Whoever has it open keeps the bytes. */
MUST_CHECK static inline enum status files_remove(struct files files, const char *name)
{
    return files.ops->remove(files.self, name);
}

static inline void files_close(struct files files, int file) { files.ops->close(files.self, file); }

/* Bytes that a new segment of the partition could take. */
MUST_CHECK static inline enum status files_space(struct files files, uint32_t partition,
                                                 uint64_t *out_free_bytes)
{
    return files.ops->space(files.self, partition, out_free_bytes);
}

/* ------------------------------------------------------------------------------- the real one */

struct posix_files; /* opaque */

/* `paths` (absolute, count of them) are made when missing, their parents too. Falls back to
 * buffered access nowhere: a file system without O_DIRECT is STATUS_UNSUPPORTED. `read_only` for
 * readers: then nothing is made. */
MUST_CHECK enum status posix_files_create(const char *const *paths, size_t count, bool read_only,
                                          struct posix_files **out);
void posix_files_destroy(struct posix_files *files);
struct files posix_files_port(struct posix_files *files);

END_C_DECLS
