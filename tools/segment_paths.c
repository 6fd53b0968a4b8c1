#include "tools/segment_paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/segment_scan.h"
#include "tools/device_path.h"

/* ------------------------------------------------------------------------------ on devices */

/* The device whose path `name` begins with, and where the name on it starts; NULL: none. */
static const struct segment_device *device_of(const struct segment_paths *paths, const char *name,
                                              const char **rest)
{
    for (size_t i = 0; i < paths->device_count; i++) {
        const size_t len = strlen(paths->devices[i].path);
        if (strncmp(name, paths->devices[i].path, len) != 0 || name[len] != '/') { continue; }
        *rest = name + len + 1;
        return &paths->devices[i];
    }
    return NULL;
}

/* Index in `open`, or its size. */
static size_t open_index(const struct segment_paths *paths, const struct segment_device *device,
                         int file)
{
    size_t i = 0;
    while (i < ARRAY_COUNT(paths->open) &&
           (paths->open[i].device != device || (device != NULL && paths->open[i].file != file))) {
        i++;
    }
    return i;
}

static const struct segment_device *open_device(const struct segment_paths *paths, int file)
{
    for (size_t i = 0; i < ARRAY_COUNT(paths->open); i++) {
        if (paths->open[i].device != NULL && paths->open[i].file == file) {
            return paths->open[i].device;
        }
    }
    return NULL;
}

static enum status device_open_segment(struct segment_paths *paths,
                                       const struct segment_device *device, const char *name,
                                       int *out_file, uint64_t *out_size_bytes)
{
    const struct files files = posix_files_port(device->files);
    const size_t place = open_index(paths, NULL, 0);
    if (place == ARRAY_COUNT(paths->open)) { return STATUS_BUSY; }
    const enum status status = files_open(files, name, FILES_READ, out_file, out_size_bytes);
    if (status != STATUS_OK) { return status; }
    paths->open[place].device = device;
    paths->open[place].file = *out_file;
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------- the port */

static enum status path_open(void *self, const char *name, enum files_access access, int *out_file,
                             uint64_t *out_size_bytes)
{
    struct segment_paths *const paths = self;
    const char *rest;
    if (access != FILES_READ) { return STATUS_UNSUPPORTED; }
    const struct segment_device *const device = device_of(paths, name, &rest);
    if (device != NULL) {
        return device_open_segment(paths, device, rest, out_file, out_size_bytes);
    }
    int file = open(name, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (file < 0 && errno == EINVAL) { file = open(name, O_RDONLY | O_CLOEXEC); }
    if (file < 0) { return status_from_errno(errno); }
    struct stat stat;
    if (fstat(file, &stat) != 0) {
        const int why = errno;
        close(file);
        return status_from_errno(why);
    }
    *out_file = file;
    *out_size_bytes = (uint64_t)stat.st_size;
    return STATUS_OK;
}

static enum status path_read(void *self, int file, uint64_t position, uint8_t *out,
                             size_t len_bytes)
{
    const struct segment_device *const device = open_device(self, file);
    if (device != NULL) {
        return files_read(posix_files_port(device->files), file, position, out, len_bytes);
    }
    for (size_t done = 0; done < len_bytes;) {
        const ssize_t got = pread(file, out + done, len_bytes - done, (off_t)(position + done));
        if (got < 0 && errno == EINTR) { continue; }
        if (got < 0) { return status_from_errno(errno); }
        if (got == 0) { return STATUS_TRUNCATED; }
        done += (size_t)got;
    }
    return STATUS_OK;
}

static void path_close(void *self, int file)
{
    struct segment_paths *const paths = self;
    const struct segment_device *const device = open_device(paths, file);
    if (device == NULL) {
        close(file);
        return;
    }
    paths->open[open_index(paths, device, file)].device = NULL;
    files_close(posix_files_port(device->files), file);
}

struct files segment_paths_files(struct segment_paths *paths)
{
    static const struct files_ops ops = {
        .open = path_open,
        .read = path_read,
        .close = path_close,
    };
    const struct files files = {&ops, paths};
    return files;
}

/* ------------------------------------------------------------------------------- the list */

static enum status path_push(struct segment_paths *paths, const char *path)
{
    if (paths->count == paths->capacity) {
        const size_t capacity = paths->capacity == 0 ? 64 : paths->capacity * 2;
        void *const grown = realloc(paths->at, capacity * sizeof *paths->at);
        if (grown == NULL) { return STATUS_NO_MEMORY; }
        paths->at = grown;
        paths->capacity = capacity;
    }
    char *const copy = strdup(path);
    if (copy == NULL) { return STATUS_NO_MEMORY; }
    const char *const slash = strrchr(copy, '/');
    const size_t directory_bytes = slash != NULL ? (size_t)(slash - copy) : 0;
    paths->at[paths->count++] = (struct segment_path){copy, directory_bytes, {{0}}, false};
    return STATUS_OK;
}

/* Segments directly in `path`, and, one level down, those of partitions' directories. */
static enum status directory_add(struct segment_paths *paths, const char *path, bool descend)
{
    DIR *const directory = opendir(path);
    if (directory == NULL) { return status_from_errno(errno); }
    enum status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(directory)) != NULL;) {
        char child[4096];
        uint64_t number;
        uint32_t partition;
        const int len = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (len < 0 || (size_t)len >= sizeof child) { continue; }
        if (log_segment_name_parse(entry->d_name, &number)) {
            status = path_push(paths, child);
        } else if (descend && log_directory_name_parse(entry->d_name, &partition)) {
            status = directory_add(paths, child, false);
        }
    }
    const int why = errno;
    closedir(directory);
    errno = why;
    return status;
}

struct device_walk {
    struct segment_paths *paths;
    const struct segment_device *device;
    const char *wanted; /* below the device: "", a partition, or a segment of one */
    uint32_t partition;
    enum status status;
};

static void on_device_segment(void *context, uint64_t number, uint64_t size_bytes)
{
    (void)size_bytes;
    struct device_walk *const walk = context;
    const size_t wanted_bytes = strlen(walk->wanted);
    char name[LOG_NAME_BYTES];
    char path[PATH_MAX];
    log_segment_name(walk->partition, number, name);
    if (strncmp(name, walk->wanted, wanted_bytes) != 0) { return; }
    if (wanted_bytes > 0 && name[wanted_bytes] != '/' && name[wanted_bytes] != 0) { return; }
    const int len = snprintf(path, sizeof path, "%s/%s", walk->device->path, name);
    if (len < 0 || (size_t)len >= sizeof path) { return; }
    if (walk->status == STATUS_OK) { walk->status = path_push(walk->paths, path); }
}

static void on_device_partition(void *context, uint32_t partition)
{
    struct device_walk *const walk = context;
    walk->partition = partition;
    const enum status status = files_list_segments(posix_files_port(walk->device->files), partition,
                                                   on_device_segment, walk);
    if (walk->status == STATUS_OK && status != STATUS_NOT_FOUND) { walk->status = status; }
}

/* `path` becomes one of the devices, unless it is one. */
static enum status device_keep(struct segment_paths *paths, const char *path,
                               const struct segment_device **out)
{
    for (size_t i = 0; i < paths->device_count; i++) {
        *out = &paths->devices[i];
        if (strcmp((*out)->path, path) == 0) { return STATUS_OK; }
    }
    struct segment_device *const grown =
        realloc(paths->devices, (paths->device_count + 1) * sizeof *grown);
    if (grown == NULL) { return STATUS_NO_MEMORY; }
    paths->devices = grown;
    struct segment_device device = {.path = strdup(path)};
    if (device.path == NULL) { return STATUS_NO_MEMORY; }
    const char *const places[] = {path};
    const enum status status = posix_files_create(places, 1, true, &device.files);
    if (status != STATUS_OK) {
        free(device.path);
        return status;
    }
    *out = &paths->devices[paths->device_count];
    paths->devices[paths->device_count++] = device;
    return STATUS_OK;
}

static enum status device_add(struct segment_paths *paths, const char *path, const char *wanted)
{
    struct device_walk walk = {.paths = paths, .wanted = wanted};
    enum status status = device_keep(paths, path, &walk.device);
    if (status != STATUS_OK) { return status; }

    const size_t count = paths->count;
    status =
        files_list_partitions(posix_files_port(walk.device->files), on_device_partition, &walk);
    if (status == STATUS_OK) { status = walk.status; }
    const bool missed = wanted[0] != 0 && paths->count == count;
    if (missed) { errno = ENOENT; }
    return status == STATUS_OK && missed ? STATUS_NOT_FOUND : status;
}

enum status segment_paths_add(struct segment_paths *paths, const char *path)
{
    struct stat stat_of;
    char device[PATH_MAX];
    const char *below;
    if (stat(path, &stat_of) == 0 && S_ISDIR(stat_of.st_mode)) {
        return directory_add(paths, path, true);
    }
    const enum status status = device_path_split(path, device, &below);
    if (status == STATUS_OK) { return device_add(paths, device, below); }
    return status == STATUS_INVALID ? path_push(paths, path) : status;
}

static bool is_known(const struct log_id *log_id)
{
    static const struct log_id unknown = {{0}};
    return !log_id_equal(*log_id, unknown);
}

static bool same_directory(const struct segment_path *left, const struct segment_path *right)
{
    return left->directory_bytes == right->directory_bytes &&
           memcmp(left->path, right->path, left->directory_bytes) == 0;
}

static int by_path(const void *left, const void *right)
{
    return strcmp(((const struct segment_path *)left)->path,
                  ((const struct segment_path *)right)->path);
}

/* The partition's directory and the number: "part-0003/0000000000000017.segment". */
static const char *name_of(const struct segment_path *path)
{
    const char *at = path->path + path->directory_bytes;
    while (at > path->path && at[-1] != '/') { at--; }
    return at;
}

/* Numbers are sixteen digits: the order of names is that of numbers. */
static int by_log(const void *left, const void *right)
{
    const struct segment_path *const a = left;
    const struct segment_path *const b = right;
    const size_t a_bytes = strcspn(name_of(a), "/");
    const size_t b_bytes = strcspn(name_of(b), "/");
    const int partition = a_bytes == b_bytes ? memcmp(name_of(a), name_of(b), a_bytes)
                                             : strcmp(name_of(a), name_of(b));
    if (partition != 0) { return partition; }
    const int log = memcmp(a->log_id.bytes, b->log_id.bytes, sizeof a->log_id.bytes);
    if (log != 0) { return log; }
    const int name = is_known(&a->log_id) ? strcmp(name_of(a), name_of(b)) : 0;
    return name != 0 ? name : by_path(left, right);
}

/* By their headers; one that has none that holds goes with its directory. */
static void learn_logs(struct segment_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) {
        struct segment_header header;
        if (segment_paths_header(paths, paths->at[i].path, &header) == STATUS_OK) {
            paths->at[i].log_id = header.log_id;
            paths->at[i].has_header = true;
        }
    }
    for (size_t i = 0; i < paths->count; i++) {
        for (size_t k = 0; k < paths->count && !is_known(&paths->at[i].log_id); k++) {
            if (!same_directory(&paths->at[i], &paths->at[k])) { continue; }
            paths->at[i].log_id = paths->at[k].log_id;
        }
    }
}

/* A file without a header is none: a path that died keeps the segment that was prepared on it, and
 * the number is used on the next path. */
static bool has_copies(const struct segment_paths *paths)
{
    for (size_t i = 1; i < paths->count; i++) {
        const struct segment_path *const before = &paths->at[i - 1];
        if (!before->has_header || !paths->at[i].has_header) { continue; }
        if (!segment_paths_same_log(before, &paths->at[i])) { continue; }
        if (strcmp(name_of(before), name_of(&paths->at[i])) == 0) { return true; }
    }
    return false;
}

void segment_paths_sort(struct segment_paths *paths)
{
    if (paths->count == 0) { return; }
    learn_logs(paths);
    qsort(paths->at, paths->count, sizeof *paths->at, by_log);
    if (!has_copies(paths)) { return; }
    for (size_t i = 0; i < paths->count; i++) { paths->at[i].log_id = (struct log_id){{0}}; }
    qsort(paths->at, paths->count, sizeof *paths->at, by_path);
}

/* --------------------------------------------------------------------------- how they follow */

enum status segment_paths_header(struct segment_paths *paths, const char *path,
                                 struct segment_header *out)
{
    const struct files files = segment_paths_files(paths);
    int file;
    uint64_t size_bytes;
    enum status status = files_open(files, path, FILES_READ, &file, &size_bytes);
    if (status != STATUS_OK) { return status; }
    struct segment_scan *scan = NULL;
    status = segment_scan_create(files, file, size_bytes, &scan);
    if (status == STATUS_OK) { *out = *segment_scan_header(scan); }
    segment_scan_destroy(scan);
    files_close(files, file);
    return status;
}

bool segment_paths_same_log(const struct segment_path *left, const struct segment_path *right)
{
    if (!is_known(&left->log_id)) { return same_directory(left, right); }
    return log_id_equal(left->log_id, right->log_id);
}

uint64_t segment_paths_last_number(struct segment_paths *paths, size_t index)
{
    enum { LOOK_AHEAD = 16 };
    struct segment_header header;
    if (segment_paths_header(paths, paths->at[index].path, &header) != STATUS_OK) {
        return UINT64_MAX;
    }
    const struct log_id nonce = header.nonce;
    for (size_t i = index + 1; i < paths->count && i <= index + LOOK_AHEAD; i++) {
        if (!segment_paths_same_log(&paths->at[i], &paths->at[index])) { break; }
        if (segment_paths_header(paths, paths->at[i].path, &header) != STATUS_OK) { continue; }
        if (log_id_equal(header.predecessor_nonce, nonce)) {
            return header.predecessor_commit_number;
        }
    }
    return UINT64_MAX;
}

void segment_paths_free(struct segment_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) { free(paths->at[i].path); }
    for (size_t i = 0; i < paths->device_count; i++) {
        posix_files_destroy(paths->devices[i].files);
        free(paths->devices[i].path);
    }
    free(paths->devices);
    free(paths->at);
    *paths = (struct segment_paths){0};
}
