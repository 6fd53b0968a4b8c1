/* files.h - the disk port, cold half: make, open, read and remove the files of the logs.
 *
 * Purpose  Everything about files that may block. posix_files.c is the real one, tests/sim/
 *          sim_disk.c the simulated; recovery, the segment supply, retention and the reader stand
 * on it, so all of them run in the simulator. Names    Relative:
 * "part-0003/0000000000000017.segment" (wire/log_format.h). On which storage path a file lies is
 * this module's business. A partition's files may lie on several: new ones are made where its
 * directory was found, or on path number partition % count when it is new, until
 * files_change_place; all others stay, and are found, where they are. Threads  Any but a polling
 * core. Calls for different files may run at the same time. Errors   STATUS_NOT_FOUND,
 * STATUS_EXISTS, STATUS_NO_SPACE, STATUS_TRUNCATED (read past the end), STATUS_IO; errno is left as
 * the failing call set it. */
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

/* Where new files of a partition are made: storage path number `index` of `count`. */
struct files_place {
    size_t index;
    size_t count;
};

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
    uint64_t (*begin)(void *self, int file); /* NULL: 0 for every file */
    /* `change`: the next path first. NULL: there is one place. */
    struct files_place (*place)(void *self, uint32_t partition, bool change);
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

/* The name is gone, durably. Whoever has it open keeps the bytes; or, on a raw device, where the
 * next segment may already stand, every read from now on is STATUS_NOT_FOUND. */
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

/* Where byte 0 of an open file lies in the descriptor that `file` is: positions of the disk port
 * (disk.h) count from there. Not 0 on a raw device only, whose segments share the descriptor's. */
static inline uint64_t files_begin(struct files files, int file)
{
    return files.ops->begin == NULL ? 0 : files.ops->begin(files.self, file);
}

/* Called by who makes the partition's files, like files_create. */
static inline struct files_place files_place(struct files files, uint32_t partition)
{
    const struct files_place only = {0, 1};
    return files.ops->place == NULL ? only : files.ops->place(files.self, partition, false);
}

/* New files of the partition are made on the next storage path from now on, behind the last on the
 * first again. Answers that place. */
static inline struct files_place files_change_place(struct files files, uint32_t partition)
{
    const struct files_place only = {0, 1};
    return files.ops->place == NULL ? only : files.ops->place(files.self, partition, true);
}

/* ------------------------------------------------------------------------------- the real one */

struct posix_files; /* opaque */

/* What opening a storage path met. */
enum path_finding {
    PATH_REFUSED,          /* errno says why: missing, rights, a read or write error */
    PATH_TAKES_NO_FILES,   /* errno: its disk failed; others take them, what it holds is served */
    PATH_WITHOUT_DIRECT,   /* its file system has no O_DIRECT */
    PATH_IN_USE,           /* a device that is mounted, or that another process has */
    PATH_NOT_INITIALISED,  /* a device that says nothing of Penstock, or no longer does */
    PATH_UNSUPPORTED,      /* ... or was initialised by a newer release, or has larger blocks */
    PATH_DAMAGED,          /* ... or whose superblock neither copy tells */
    PATH_SHRUNK,           /* ... or is smaller than it was */
    PATH_SLOTS_TOO_SMALL,  /* ... or whose slots are; value: their bytes */
    PATH_MENDED,           /* value: blocks of a device's superblock or slot table, of which one
                              copy did not hold and was written again from the other */
    PATH_NOT_MENDED,       /* value: such blocks that could not be written again */
    PATH_SLOTS_RECOGNISED, /* value: segments whose slots neither copy of the table tells any more,
                              and whose own headers do; or slots that proved to be empty */
    PATH_SLOTS_LOST,       /* value: slots of which neither does: not served, and not used again */
};

struct posix_files_options {
    const char *const *paths; /* absolute: directories, or block devices (or images of such) */
    size_t count;
    bool read_only;
    uint64_t segment_bytes; /* what create will be asked for at most; 0: not known */
    void (*found)(void *context, const char *path, enum path_finding finding, uint64_t value);
    void *context;
};

/* Directories are made when missing, their parents too. A device must have been initialised
 * (penstock storage init) and is refused when anybody else has it open for himself. Falls back to
 * buffered access nowhere: a file system without O_DIRECT is STATUS_UNSUPPORTED. `read_only` for
 * readers: then nothing is made, and a device need not be there, or initialised, yet. A path whose
 * disk failed (it is read-only, or answers EIO) is no reason not to start while another takes
 * files. */
MUST_CHECK enum status posix_files_open(const struct posix_files_options *options,
                                        struct posix_files **out);
/* The same for those who need not be told what was found. */
MUST_CHECK enum status posix_files_create(const char *const *paths, size_t count, bool read_only,
                                          struct posix_files **out);
void posix_files_destroy(struct posix_files *files);
struct files posix_files_port(struct posix_files *files);

/* Whether a storage path is, or has to be, a device: it is there and no directory, or is missing
 * below /dev. */
bool posix_path_is_device(const char *path);

/* Index of the path in which the partition's directory lies, or would be made. */
size_t posix_files_path_of(const struct posix_files *files, uint32_t partition);

END_C_DECLS
