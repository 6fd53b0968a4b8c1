#include "dataplane/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/logger.h"

const char *runtime_file(const struct runtime *runtime, const char *name, char *out)
{
    snprintf(out, RUNTIME_PATH_BYTES, "%.400s/%.100s", runtime->path, name);
    return out;
}

static enum status check_tmpfs(const char *path)
{
    struct statfs facts;
    if (statfs(path, &facts) != 0) {
        log_error("runtime directory %s: %s", path, strerror(errno));
        return status_from_errno(errno);
    }
    if (facts.f_type != TMPFS_MAGIC && facts.f_type != RAMFS_MAGIC) {
        log_error("runtime directory %s is not on a tmpfs: writing back its pages would stall the "
                  "polling cores; set `runtime` to a directory below /dev/shm or /run",
                  path);
        return STATUS_UNSUPPORTED;
    }
    return STATUS_OK;
}

static enum status take_lock(struct runtime *runtime)
{
    char path[RUNTIME_PATH_BYTES];
    runtime->lock = open(runtime_file(runtime, "lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (runtime->lock < 0) {
        log_error("%s: %s", path, strerror(errno));
        return status_from_errno(errno);
    }
    if (flock(runtime->lock, LOCK_EX | LOCK_NB) != 0) {
        log_error("another penstock-ingest works in %s: stop it first, or give this one a "
                  "`runtime` of its own",
                  runtime->path);
        return STATUS_BUSY;
    }
    return STATUS_OK;
}

/* Maps `name` if it is there and passes `check`, else makes it anew. */
static enum status open_or_make(struct runtime *runtime, const char *name, size_t size_bytes,
                                enum status (*check)(const uint8_t *at, size_t size_bytes),
                                struct mapped_file *file, bool *survived)
{
    char path[RUNTIME_PATH_BYTES];
    runtime_file(runtime, name, path);
    *survived = false;
    enum status status = mapped_file_open(path, true, size_bytes, file);
    if (status == STATUS_OK) {
        status = check(file->at, file->size_bytes);
        if (status == STATUS_OK) {
            *survived = true;
            return STATUS_OK;
        }
        log_warning("%s is of another version (%s): made anew", path, status_text(status));
        mapped_file_close(file);
    }
    status = mapped_file_create(path, size_bytes, file);
    if (status != STATUS_OK) { log_error("%s: %s", path, strerror(errno)); }
    return status;
}

static enum status check_root(const uint8_t *at, size_t size_bytes)
{
    return root_page_check((const struct root_page *)at, size_bytes);
}

static enum status check_node(const uint8_t *at, size_t size_bytes)
{
    return node_page_check((const struct node_page *)at, size_bytes);
}

static enum status check_stats(const uint8_t *at, size_t size_bytes)
{
    return stats_page_check((const struct stats_page *)at, size_bytes);
}

static enum status check_starts(const uint8_t *at, size_t size_bytes)
{
    return topic_starts_check((const struct topic_starts *)at, size_bytes);
}

static enum status open_pages(struct runtime *runtime, const char *node)
{
    bool node_survived;
    enum status status = open_or_make(runtime, "root", sizeof *runtime->root, check_root,
                                      &runtime->root_file, &runtime->root_survived);
    if (status != STATUS_OK) { return status; }
    runtime->root = (struct root_page *)runtime->root_file.at;
    if (!runtime->root_survived) { root_page_init(runtime->root); }
    snprintf(runtime->root->node, sizeof runtime->root->node, "%s", node);
    runtime->ended_in_order = !runtime->root_survived || runtime->root->state == ROOT_STATE_STOPPED;

    status = open_or_make(runtime, NODE_PAGE_FILE_NAME, sizeof *runtime->node, check_node,
                          &runtime->node_file, &node_survived);
    if (status != STATUS_OK) { return status; }
    runtime->node = (struct node_page *)runtime->node_file.at;
    if (!node_survived) { node_page_init(runtime->node); }
    return STATUS_OK;
}

enum status runtime_open(struct runtime *runtime, const char *path, const char *node)
{
    memset(runtime, 0, sizeof *runtime);
    runtime->lock = -1;
    snprintf(runtime->path, sizeof runtime->path, "%s", path);

    enum status status = directory_make(path);
    if (status != STATUS_OK) {
        log_error("runtime directory %s: %s", path, strerror(errno));
        return status;
    }
    status = check_tmpfs(path);
    if (status == STATUS_OK) { status = take_lock(runtime); }
    if (status == STATUS_OK) { status = open_pages(runtime, node); }
    if (status != STATUS_OK) { runtime_close(runtime); }
    return status;
}

void runtime_close(struct runtime *runtime)
{
    mapped_file_close(&runtime->root_file);
    mapped_file_close(&runtime->node_file);
    if (runtime->lock >= 0) { close(runtime->lock); }
    runtime->lock = -1;
}

enum status runtime_stats_page(struct runtime *runtime, uint32_t partition,
                               struct mapped_file *file, struct stats_page **out, bool *survived)
{
    char name[STATS_NAME_BYTES];
    stats_page_file_name(partition, name);
    const enum status status =
        open_or_make(runtime, name, sizeof **out, check_stats, file, survived);
    if (status != STATUS_OK) { return status; }
    *out = (struct stats_page *)file->at;
    if (!*survived) { stats_page_init(*out, partition); }
    return STATUS_OK;
}

enum status runtime_topic_starts(struct runtime *runtime, uint32_t partition, struct log_id log_id,
                                 struct mapped_file *file, struct topic_starts **out)
{
    char name[TOPIC_STARTS_NAME_BYTES];
    bool survived;
    topic_starts_file_name(partition, name);
    const enum status status =
        open_or_make(runtime, name, sizeof **out, check_starts, file, &survived);
    if (status != STATUS_OK) { return status; }
    *out = (struct topic_starts *)file->at;
    if (!survived || !log_id_equal((*out)->log_id, log_id)) {
        topic_starts_init(*out, partition, log_id);
    }
    return STATUS_OK;
}

enum status runtime_commit_ring(struct runtime *runtime, uint32_t partition, struct log_id log_id,
                                uint64_t capacity_bytes, struct mapped_file *file,
                                struct commit_ring_header **out)
{
    char name[COMMIT_RING_NAME_BYTES];
    char path[RUNTIME_PATH_BYTES];
    commit_ring_file_name(partition, name);
    runtime_file(runtime, name, path);
    const enum status status = mapped_file_create(path, sizeof **out + capacity_bytes, file);
    if (status != STATUS_OK) {
        log_error("%s: %s; %llu bytes of memory are needed there", path, strerror(errno),
                  (unsigned long long)capacity_bytes);
        return status;
    }
    *out = (struct commit_ring_header *)file->at;
    commit_ring_init(*out, partition, log_id, runtime->root->incarnation, capacity_bytes);
    return STATUS_OK;
}

void runtime_remove_live_indexes(struct runtime *runtime)
{
    DIR *const directory = opendir(runtime->path);
    if (directory == NULL) { return; }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (strncmp(entry->d_name, "index-", 6) != 0) { continue; }
        if (unlinkat(dirfd(directory), entry->d_name, 0) != 0) {
            log_warning("%s/%s: %s", runtime->path, entry->d_name, strerror(errno));
        }
    }
    closedir(directory);
}
