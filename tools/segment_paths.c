#include "tools/segment_paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/segment_scan.h"

/* ------------------------------------------------------------------------------- the port */

static enum status path_open(void *self, const char *name, enum files_access access, int *out_file,
                             uint64_t *out_size_bytes)
{
    (void)self;
    if (access != FILES_READ) { return STATUS_UNSUPPORTED; }
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
    (void)self;
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
    (void)self;
    close(file);
}

struct files segment_paths_files(void)
{
    static const struct files_ops ops = {
        .open = path_open,
        .read = path_read,
        .close = path_close,
    };
    const struct files files = {&ops, NULL};
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
    paths->at[paths->count++] = (struct segment_path){copy, directory_bytes, {{0}}};
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

enum status segment_paths_add(struct segment_paths *paths, const char *path)
{
    struct stat stat_of;
    if (stat(path, &stat_of) != 0) { return status_from_errno(errno); }
    if (S_ISDIR(stat_of.st_mode)) { return directory_add(paths, path, true); }
    return path_push(paths, path);
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
        if (segment_paths_header(paths->at[i].path, &header) == STATUS_OK) {
            paths->at[i].log_id = header.log_id;
        }
    }
    for (size_t i = 0; i < paths->count; i++) {
        for (size_t k = 0; k < paths->count && !is_known(&paths->at[i].log_id); k++) {
            if (!same_directory(&paths->at[i], &paths->at[k])) { continue; }
            paths->at[i].log_id = paths->at[k].log_id;
        }
    }
}

static bool has_copies(const struct segment_paths *paths)
{
    for (size_t i = 1; i < paths->count; i++) {
        const struct segment_path *const before = &paths->at[i - 1];
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

enum status segment_paths_header(const char *path, struct segment_header *out)
{
    const struct files files = segment_paths_files();
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

uint64_t segment_paths_last_number(const struct segment_paths *paths, size_t index)
{
    enum { LOOK_AHEAD = 16 };
    struct segment_header header;
    if (segment_paths_header(paths->at[index].path, &header) != STATUS_OK) { return UINT64_MAX; }
    const struct log_id nonce = header.nonce;
    for (size_t i = index + 1; i < paths->count && i <= index + LOOK_AHEAD; i++) {
        if (!segment_paths_same_log(&paths->at[i], &paths->at[index])) { break; }
        if (segment_paths_header(paths->at[i].path, &header) != STATUS_OK) { continue; }
        if (log_id_equal(header.predecessor_nonce, nonce)) {
            return header.predecessor_commit_number;
        }
    }
    return UINT64_MAX;
}

void segment_paths_free(struct segment_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) { free(paths->at[i].path); }
    free(paths->at);
    *paths = (struct segment_paths){0};
}
