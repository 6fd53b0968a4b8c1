#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/disk.h"
#include "storage/file_store.h"
#include "storage/files.h"
#include "wire/log_format.h"
#include "wire/root_page.h"

enum {
    NAME_ROOM_BYTES = 2 * LOG_NAME_BYTES, /* what is put behind a storage path, at most */
};

/* An open file, at the index of its descriptor. */
struct open_file {
    struct file_store store; /* self NULL: not open */
    struct store_file file;
};

struct posix_files {
    struct file_store *stores; /* one a storage path */
    size_t count;
    bool read_only;
    /* Where new files of a partition are made, one more than the path's number; 0: where it is
     * found. Written by the thread that makes them; relaxed: others ask for space. */
    _Atomic uint32_t made_on[ROOT_PARTITIONS_MAX];
    pthread_mutex_t lock; /* guards what follows; held for a look */
    struct open_file *open;
    size_t open_capacity;
};

/* ------------------------------------------------------------------------------------- places */

static struct segment_name name_parse(const char *name)
{
    char directory[LOG_NAME_BYTES];
    struct segment_name out = {0};
    const char *const slash = strchr(name, '/');
    assert(slash != NULL && slash - name < LOG_NAME_BYTES);
    memcpy(directory, name, (size_t)(slash - name));
    directory[slash - name] = 0;
    const bool named = log_directory_name_parse(directory, &out.partition) &&
                       log_segment_name_parse(slash + 1, &out.number);
    assert(named);
    return out;
}

/* The storage path that holds a partition: where it is found first, or, when it is nowhere, where a
 * new one goes. */
static size_t partition_home(const struct posix_files *files, uint32_t partition)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct file_store store = files->stores[i];
        if (store.ops->has_partition(store.self, partition)) { return i; }
    }
    return partition % files->count;
}

/* The storage path that the partition's next new file is made on. */
static size_t partition_makes_on(const struct posix_files *files, uint32_t partition)
{
    const uint32_t chosen = atomic_load_explicit(&files->made_on[partition % ROOT_PARTITIONS_MAX],
                                                 memory_order_relaxed);
    return chosen > 0 ? chosen - 1 : partition_home(files, partition);
}

/* Below `count`: the first path that has the segment, or `count`. */
static size_t segment_path(const struct posix_files *files, struct segment_name name, size_t count)
{
    size_t i = 0;
    while (i < count && !files->stores[i].ops->has_segment(files->stores[i].self, name)) { i++; }
    return i;
}

/* Where the segment lies; when it is nowhere, a place where it is not. */
static struct file_store segment_store(const struct posix_files *files, struct segment_name name)
{
    const size_t path = files->count > 1 ? segment_path(files, name, files->count) : 0;
    return files->stores[path < files->count ? path : partition_home(files, name.partition)];
}

/* --------------------------------------------------------------------------------- open files */

static enum status open_add(struct posix_files *files, struct file_store store,
                            const struct store_file *file)
{
    enum status status = STATUS_OK;
    const size_t index = (size_t)file->descriptor;
    pthread_mutex_lock(&files->lock);
    if (index >= files->open_capacity) {
        const size_t capacity = index + 64;
        struct open_file *const grown = realloc(files->open, capacity * sizeof *files->open);
        if (grown == NULL) {
            status = STATUS_NO_MEMORY;
        } else {
            memset(grown + files->open_capacity, 0,
                   (capacity - files->open_capacity) * sizeof *grown);
            files->open = grown;
            files->open_capacity = capacity;
        }
    }
    if (status == STATUS_OK) {
        assert(files->open[index].store.self == NULL);
        files->open[index] = (struct open_file){store, *file};
    }
    pthread_mutex_unlock(&files->lock);
    return status;
}

static struct open_file open_find(struct posix_files *files, int file)
{
    pthread_mutex_lock(&files->lock);
    assert(file >= 0 && (size_t)file < files->open_capacity);
    const struct open_file found = files->open[file];
    pthread_mutex_unlock(&files->lock);
    assert(found.store.self != NULL);
    return found;
}

/* What a store opened, to its caller. */
static enum status open_hand_out(struct posix_files *files, struct file_store store,
                                 struct store_file *file, int *out_file)
{
    const enum status status = open_add(files, store, file);
    if (status != STATUS_OK) {
        store.ops->close(store.self, file);
        return status;
    }
    *out_file = file->descriptor;
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ the port */

struct partition_visit {
    const struct posix_files *files;
    size_t path_index;
    files_on_partition *visit;
    void *context;
};

/* Once, of several paths. */
static void visit_partition(void *context, uint32_t partition)
{
    const struct partition_visit *const walk = context;
    if (partition_home(walk->files, partition) == walk->path_index) {
        walk->visit(walk->context, partition);
    }
}

static enum status posix_list_partitions(void *self, files_on_partition *visit, void *context)
{
    const struct posix_files *const files = self;
    enum status first_trouble = STATUS_OK;
    for (size_t i = 0; i < files->count; i++) {
        const struct file_store store = files->stores[i];
        struct partition_visit walk = {files, i, visit, context};
        const enum status status = store.ops->list_partitions(store.self, visit_partition, &walk);
        if (status == STATUS_NOT_FOUND) { continue; } /* a reader that came before the writer */
        if (first_trouble == STATUS_OK) { first_trouble = status; }
    }
    return first_trouble;
}

struct segment_visit {
    const struct posix_files *files;
    uint32_t partition;
    size_t path_index;
    files_on_segment *visit;
    void *context;
};

/* A name that two paths have is the first one's everywhere in this module. */
static void visit_segment(void *context, uint64_t number, uint64_t size_bytes)
{
    const struct segment_visit *const walk = context;
    const struct segment_name name = {walk->partition, number};
    if (segment_path(walk->files, name, walk->path_index) < walk->path_index) { return; }
    walk->visit(walk->context, number, size_bytes);
}

static enum status posix_list_segments(void *self, uint32_t partition, files_on_segment *visit,
                                       void *context)
{
    const struct posix_files *const files = self;
    bool found = false;
    enum status first_trouble = STATUS_OK;
    for (size_t i = 0; i < files->count; i++) {
        const struct file_store store = files->stores[i];
        struct segment_visit walk = {files, partition, i, visit, context};
        const enum status status =
            store.ops->list_segments(store.self, partition, visit_segment, &walk);
        if (status == STATUS_NOT_FOUND) { continue; }
        found = true;
        if (first_trouble == STATUS_OK) { first_trouble = status; }
    }
    return found ? first_trouble : STATUS_NOT_FOUND;
}

static enum status posix_create(void *self, const char *name, uint64_t size_bytes, int *out_file)
{
    struct posix_files *const files = self;
    assert(!files->read_only);
    assert(size_bytes > 0 && size_bytes % DISK_BLOCK_BYTES == 0);

    struct store_file file;
    const struct segment_name segment = name_parse(name);
    /* Only this path is asked: another may hang, which is why files are made here. */
    const struct file_store store = files->stores[partition_makes_on(files, segment.partition)];
    if (store.ops->has_segment(store.self, segment)) { return STATUS_EXISTS; }
    enum status status = store.ops->create(store.self, segment, size_bytes, &file);
    if (status != STATUS_OK) { return status; }
    status = open_hand_out(files, store, &file, out_file);
    if (status != STATUS_OK) {
        const enum status ignored = store.ops->remove(store.self, segment);
        (void)ignored; /* one that stays is a spare to recovery */
    }
    return status;
}

static enum status posix_open(void *self, const char *name, enum files_access access, int *out_file,
                              uint64_t *out_size_bytes)
{
    struct posix_files *const files = self;
    assert(access == FILES_READ || !files->read_only);

    struct store_file file;
    const struct segment_name segment = name_parse(name);
    const struct file_store store = segment_store(files, segment);
    const enum status status = store.ops->open(store.self, segment, access, &file);
    if (status != STATUS_OK) { return status; }
    *out_size_bytes = file.size_bytes;
    return open_hand_out(files, store, &file, out_file);
}

static enum status posix_read(void *self, int file, uint64_t position, uint8_t *out,
                              size_t len_bytes)
{
    const struct open_file open = open_find(self, file);
    return open.store.ops->read(open.store.self, &open.file, position, out, len_bytes);
}

static enum status posix_write(void *self, int file, uint64_t position, struct bytes bytes)
{
    const struct open_file open = open_find(self, file);
    return open.store.ops->write(open.store.self, &open.file, position, bytes);
}

static enum status posix_remove(void *self, const char *name)
{
    const struct posix_files *const files = self;
    assert(!files->read_only);
    const struct segment_name segment = name_parse(name);
    const struct file_store store = segment_store(files, segment);
    return store.ops->remove(store.self, segment);
}

static void posix_close(void *self, int file)
{
    struct posix_files *const files = self;
    struct open_file open = open_find(files, file);
    pthread_mutex_lock(&files->lock);
    files->open[file] = (struct open_file){0}; /* before the number can come back */
    pthread_mutex_unlock(&files->lock);
    open.store.ops->close(open.store.self, &open.file);
}

static enum status posix_space(void *self, uint32_t partition, uint64_t *out_free_bytes)
{
    const struct posix_files *const files = self;
    const struct file_store store = files->stores[partition_makes_on(files, partition)];
    return store.ops->space(store.self, out_free_bytes);
}

static struct files_place posix_place(void *self, uint32_t partition, bool change)
{
    struct posix_files *const files = self;
    struct files_place place = {partition_makes_on(files, partition), files->count};
    if (change) {
        place.index = (place.index + 1) % place.count;
        atomic_store_explicit(&files->made_on[partition % ROOT_PARTITIONS_MAX],
                              (uint32_t)place.index + 1, memory_order_relaxed);
    }
    return place;
}

static uint64_t posix_begin(void *self, int file) { return open_find(self, file).file.begin; }

static const struct files_ops posix_ops = {
    .list_partitions = posix_list_partitions,
    .list_segments = posix_list_segments,
    .create = posix_create,
    .open = posix_open,
    .read = posix_read,
    .write = posix_write,
    .remove = posix_remove,
    .close = posix_close,
    .space = posix_space,
    .begin = posix_begin,
    .place = posix_place,
};

/* --------------------------------------------------------------------------------- life cycle */

bool posix_path_is_device(const char *path)
{
    struct stat facts;
    if (stat(path, &facts) == 0) { return !S_ISDIR(facts.st_mode); }
    /* Never a directory to be made: it would lie in memory. */
    return strncmp(path, "/dev/", 5) == 0;
}

/* A disk that failed is read-only, or refuses what is asked: what it holds may still be read. Any
 * other refusal is a mistake of whoever set the path up. */
static bool is_failed_disk(int why) { return why == EROFS || why == EIO; }

static enum status open_store(const struct posix_files_options *options, const char *path,
                              struct file_store *out)
{
    return posix_path_is_device(path) ? device_store_create(options, path, out)
                                      : directory_store_create(options, path, out);
}

/* STATUS_OK when at least one path takes files. */
static enum status open_stores(struct posix_files *files, const struct posix_files_options *options)
{
    struct posix_files_options reading = *options;
    reading.read_only = true;
    size_t good_count = 0;
    enum status failed = STATUS_OK;
    for (; files->count < options->count; files->count++) {
        const char *const path = options->paths[files->count];
        struct file_store *const store = &files->stores[files->count];
        enum status status = open_store(options, path, store);
        good_count += status == STATUS_OK;
        if (status == STATUS_IO && is_failed_disk(errno)) {
            failed = status;
            if (options->found != NULL) {
                options->found(options->context, path, PATH_TAKES_NO_FILES, 0);
            }
            status = open_store(&reading, path, store);
        }
        if (status != STATUS_OK) { return status; }
    }
    return good_count > 0 ? STATUS_OK : failed;
}

enum status posix_files_open(const struct posix_files_options *options, struct posix_files **out)
{
    assert(options->count > 0);
    for (size_t i = 0; i < options->count; i++) {
        if (options->paths[i][0] != '/') { return STATUS_INVALID; }
        if (strlen(options->paths[i]) > PATH_MAX - NAME_ROOM_BYTES) { return STATUS_INVALID; }
    }

    struct posix_files *const files = calloc(1, sizeof *files);
    if (files == NULL) { return STATUS_NO_MEMORY; }
    pthread_mutex_init(&files->lock, NULL);
    files->read_only = options->read_only;
    files->stores = calloc(options->count, sizeof *files->stores);
    const enum status status =
        files->stores == NULL ? STATUS_NO_MEMORY : open_stores(files, options);
    if (status != STATUS_OK) {
        posix_files_destroy(files);
        return status;
    }
    *out = files;
    return STATUS_OK;
}

enum status posix_files_create(const char *const *paths, size_t count, bool read_only,
                               struct posix_files **out)
{
    const struct posix_files_options options = {
        .paths = paths, .count = count, .read_only = read_only};
    return posix_files_open(&options, out);
}

void posix_files_destroy(struct posix_files *files)
{
    if (files == NULL) { return; }
    const int saved = errno;
    for (size_t i = 0; i < files->count; i++) {
        files->stores[i].ops->destroy(files->stores[i].self);
    }
    free(files->stores);
    free(files->open);
    pthread_mutex_destroy(&files->lock);
    free(files);
    errno = saved;
}

size_t posix_files_path_of(const struct posix_files *files, uint32_t partition)
{
    return partition_home(files, partition);
}

struct files posix_files_port(struct posix_files *files)
{
    const struct files port = {&posix_ops, files};
    return port;
}
