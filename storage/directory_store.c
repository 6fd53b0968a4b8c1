#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "storage/direct_io.h"
#include "storage/disk.h"
#include "storage/file_store.h"
#include "wire/log_format.h"

enum { PATH_BYTES = PATH_MAX };

static const char draft_suffix[] = ".draft";

struct directory_store {
    char *path;
    uint8_t *zeros; /* never written after create; NULL for readers */
};

/* ------------------------------------------------------------------------------------ places */

static bool is_directory(const char *path)
{
    struct stat stat_;
    return stat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode);
}

static void place_join(const char *path, const char *name, char out[PATH_BYTES])
{
    const int len = snprintf(out, PATH_BYTES, "%s/%s", path, name);
    assert(len > 0 && len < PATH_BYTES); /* posix_files_open refused longer paths */
}

static void partition_place(const struct directory_store *store, uint32_t partition,
                            char out[PATH_BYTES])
{
    char name[LOG_NAME_BYTES];
    log_directory_name(partition, name);
    place_join(store->path, name, out);
}

static void segment_place(const struct directory_store *store, struct segment_name segment,
                          char out[PATH_BYTES])
{
    char name[LOG_NAME_BYTES];
    log_segment_name(segment.partition, segment.number, name);
    place_join(store->path, name, out);
}

/* Cuts the last component off. */
static void place_parent(char place[PATH_BYTES])
{
    char *const slash = strrchr(place, '/');
    assert(slash != NULL);
    slash[slash == place ? 1 : 0] = 0;
}

/* ------------------------------------------------------------------------------- directories */

/* A name is durable only when the directory that holds it is. */
static enum status directory_sync(const char *path)
{
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) { return status_from_errno(errno); }

    const enum status status = fsync(directory) == 0 ? STATUS_OK : status_from_errno(errno);
    const int saved = errno;
    close(directory);
    errno = saved;
    return status;
}

/* One level; STATUS_OK too when it is there already. Durable by name. */
static enum status directory_make(const char *path)
{
    if (mkdir(path, 0755) != 0) {
        return errno == EEXIST && is_directory(path) ? STATUS_OK : status_from_errno(errno);
    }
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    place_parent(parent);
    return directory_sync(parent);
}

static enum status directory_make_with_parents(const char *path)
{
    char prefix[PATH_BYTES];
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(prefix, sizeof prefix, "%.*s", (int)(slash - path), path);
        const enum status status = directory_make(prefix);
        if (status != STATUS_OK) { return status; }
    }
    return directory_make(path);
}

/* Takes away what a crash left half made. Its name never was a segment's, so none can miss it. */
static void directory_remove_drafts(const char *path)
{
    DIR *const listing = opendir(path);
    if (listing == NULL) { return; } /* whoever lists the segments meets, and says, the same */

    char place[PATH_BYTES];
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        const size_t len = strlen(entry->d_name);
        const size_t suffix_len = sizeof draft_suffix - 1;
        if (len <= suffix_len || len >= LOG_NAME_BYTES) { continue; }
        if (strcmp(entry->d_name + len - suffix_len, draft_suffix) != 0) { continue; }
        place_join(path, entry->d_name, place);
        (void)unlink(place); /* a draft that stays costs space, nothing else; create retries */
    }
    closedir(listing);
}

/* ----------------------------------------------------------------------------------- listing */

/* Calls `visit_entry` for each name in `path`; readdir's own errors are STATUS_IO. */
typedef void on_directory_entry(void *context, const char *path, const char *name);

static enum status directory_walk(const char *path, on_directory_entry *visit_entry, void *context)
{
    DIR *const listing = opendir(path);
    if (listing == NULL) { return status_from_errno(errno); }

    errno = 0;
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL; errno = 0) {
        visit_entry(context, path, entry->d_name);
    }
    const int saved = errno;
    closedir(listing);
    errno = saved;
    return status_from_errno(saved);
}

struct partition_visit {
    files_on_partition *visit; /* NULL: remove drafts instead */
    void *context;
};

static void visit_partition(void *context, const char *path, const char *name)
{
    const struct partition_visit *const walk = context;
    uint32_t partition;
    char place[PATH_BYTES];
    if (!log_directory_name_parse(name, &partition)) { return; }
    place_join(path, name, place);
    if (!is_directory(place)) { return; }

    if (walk->visit == NULL) {
        directory_remove_drafts(place);
    } else {
        walk->visit(walk->context, partition);
    }
}

static enum status directory_list_partitions(void *self, files_on_partition *visit, void *context)
{
    const struct directory_store *const store = self;
    struct partition_visit walk = {visit, context};
    return directory_walk(store->path, visit_partition, &walk);
}

static bool directory_has_partition(void *self, uint32_t partition)
{
    char place[PATH_BYTES];
    partition_place(self, partition, place);
    return is_directory(place);
}

static bool directory_has_segment(void *self, struct segment_name segment)
{
    char place[PATH_BYTES];
    segment_place(self, segment, place);
    return access(place, F_OK) == 0;
}

struct segment_visit {
    files_on_segment *visit;
    void *context;
};

static void visit_segment(void *context, const char *path, const char *name)
{
    const struct segment_visit *const walk = context;
    uint64_t number;
    struct stat stat_;
    char place[PATH_BYTES];
    if (!log_segment_name_parse(name, &number)) { return; }
    place_join(path, name, place);
    if (stat(place, &stat_) != 0 || !S_ISREG(stat_.st_mode)) { return; } /* removed meanwhile */
    walk->visit(walk->context, number, (uint64_t)stat_.st_size);
}

static enum status directory_list_segments(void *self, uint32_t partition, files_on_segment *visit,
                                           void *context)
{
    char place[PATH_BYTES];
    struct segment_visit walk = {visit, context};
    partition_place(self, partition, place);
    return directory_walk(place, visit_segment, &walk);
}

/* -------------------------------------------------------------------------------------- bytes */

static enum status open_direct(const char *place, int flags, int *out_file)
{
    const int file = open(place, flags | O_DIRECT | O_CLOEXEC, 0644);
    if (file < 0) { return errno == EINVAL ? STATUS_UNSUPPORTED : status_from_errno(errno); }
    *out_file = file;
    return STATUS_OK;
}

/* Every byte is written, not only allocated: a durable write into blocks that are allocated but
 * unwritten changes metadata as well, and took twice as long where it was measured (1.25 GB/s
 * against 2.4 with dsync). fallocate first still pays: one extent, and "no space" at once. */
static enum status fill_with_zeros(const struct directory_store *store, int file,
                                   uint64_t size_bytes)
{
    if (fallocate(file, 0, 0, (off_t)size_bytes) != 0 && errno != EOPNOTSUPP) {
        return status_from_errno(errno);
    }
    return direct_fill_zeros(file, store->zeros, 0, size_bytes);
}

static enum status directory_create(void *self, struct segment_name segment, uint64_t size_bytes,
                                    struct store_file *out)
{
    const struct directory_store *const store = self;
    if (store->zeros == NULL) {
        errno = EROFS;
        return STATUS_IO;
    }

    char place[PATH_BYTES];
    char draft[PATH_BYTES + sizeof draft_suffix];
    char directory[PATH_BYTES];
    segment_place(store, segment, place);
    snprintf(draft, sizeof draft, "%s%s", place, draft_suffix);
    partition_place(store, segment.partition, directory);

    enum status status = directory_make(directory);
    if (status != STATUS_OK) { return status; }
    if (access(place, F_OK) == 0) { return STATUS_EXISTS; } /* before gigabytes are written */

    int file = -1;
    (void)unlink(draft); /* a leftover of a crash; none is the usual case */
    status = open_direct(draft, O_RDWR | O_CREAT | O_EXCL, &file);
    if (status != STATUS_OK) { goto fail; }
    status = fill_with_zeros(store, file, size_bytes);
    if (status != STATUS_OK) { goto fail; }
    if (renameat2(AT_FDCWD, draft, AT_FDCWD, place, RENAME_NOREPLACE) != 0) {
        status = status_from_errno(errno);
        goto fail;
    }
    status = directory_sync(directory);
    if (status != STATUS_OK) {
        (void)unlink(place);
        goto fail;
    }
    *out = (struct store_file){.descriptor = file, .size_bytes = size_bytes};
    return STATUS_OK;

fail:;
    const int saved = errno;
    (void)unlink(draft);
    if (file >= 0) { close(file); }
    errno = saved;
    return status;
}

static enum status directory_open(void *self, struct segment_name segment,
                                  enum files_access access_, struct store_file *out)
{
    char place[PATH_BYTES];
    segment_place(self, segment, place);

    int file = -1;
    const enum status status =
        open_direct(place, access_ == FILES_READ_WRITE ? O_RDWR : O_RDONLY, &file);
    if (status != STATUS_OK) { return status; }
    struct stat stat_;
    if (fstat(file, &stat_) != 0) {
        const int saved = errno;
        close(file);
        errno = saved;
        return status_from_errno(saved);
    }
    *out = (struct store_file){.descriptor = file, .size_bytes = (uint64_t)stat_.st_size};
    return STATUS_OK;
}

static enum status directory_read(void *self, const struct store_file *file, uint64_t position,
                                  uint8_t *out, size_t len_bytes)
{
    (void)self;
    return direct_read(file->descriptor, position, out, len_bytes);
}

static enum status directory_write(void *self, const struct store_file *file, uint64_t position,
                                   struct bytes bytes)
{
    (void)self;
    return direct_write(file->descriptor, position, bytes, true);
}

static enum status directory_remove(void *self, struct segment_name segment)
{
    const struct directory_store *const store = self;
    char place[PATH_BYTES];
    segment_place(store, segment, place);
    if (unlink(place) != 0) { return status_from_errno(errno); }
    place_parent(place);
    return directory_sync(place);
}

static void directory_close(void *self, struct store_file *file)
{
    (void)self;
    close(file->descriptor);
}

static enum status directory_space(void *self, uint64_t *out_free_bytes)
{
    const struct directory_store *const store = self;
    struct statvfs system;
    if (statvfs(store->path, &system) != 0) { return status_from_errno(errno); }
    *out_free_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    return STATUS_OK;
}

/* --------------------------------------------------------------------------------- life cycle */

static void directory_store_destroy(void *self)
{
    struct directory_store *const store = self;
    free(store->path);
    free(store->zeros);
    free(store);
}

static const struct file_store_ops directory_ops = {
    .has_partition = directory_has_partition,
    .has_segment = directory_has_segment,
    .list_partitions = directory_list_partitions,
    .list_segments = directory_list_segments,
    .create = directory_create,
    .open = directory_open,
    .read = directory_read,
    .write = directory_write,
    .remove = directory_remove,
    .close = directory_close,
    .space = directory_space,
    .destroy = directory_store_destroy,
};

/* Whether files of the path can be opened with O_DIRECT: told by a nameless one. A file system
 * that knows no O_TMPFILE is asked at its first segment instead. */
static enum status path_takes_direct(const char *path)
{
    const int file = open(path, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    if (file >= 0) {
        close(file);
        return STATUS_OK;
    }
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) { return STATUS_OK; }
    return errno == EINVAL ? STATUS_UNSUPPORTED : status_from_errno(errno);
}

static enum status directory_prepare(const struct posix_files_options *options,
                                     struct directory_store *store)
{
    store->zeros = direct_zeros_create();
    if (store->zeros == NULL) { return STATUS_NO_MEMORY; }
    enum status status = directory_make_with_parents(store->path);
    if (status == STATUS_OK) { status = path_takes_direct(store->path); }
    if (status == STATUS_OK) { status = directory_list_partitions(store, NULL, NULL); } /* drafts */
    const int saved = errno;
    if (status != STATUS_OK && options->found != NULL) {
        options->found(options->context, store->path,
                       status == STATUS_UNSUPPORTED ? PATH_WITHOUT_DIRECT : PATH_REFUSED, 0);
    }
    errno = saved;
    return status;
}

enum status directory_store_create(const struct posix_files_options *options, const char *path,
                                   struct file_store *out)
{
    struct directory_store *const store = calloc(1, sizeof *store);
    if (store == NULL) { return STATUS_NO_MEMORY; }
    store->path = strdup(path);
    enum status status = store->path == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    if (status == STATUS_OK && !options->read_only) { status = directory_prepare(options, store); }
    if (status != STATUS_OK) {
        const int saved = errno;
        directory_store_destroy(store);
        errno = saved;
        return status;
    }
    *out = (struct file_store){&directory_ops, store};
    return STATUS_OK;
}
