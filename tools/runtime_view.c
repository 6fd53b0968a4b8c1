#include "tools/runtime_view.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/config.h"
#include "tools/command.h"

enum { PATH_BYTES_MAX = 4096 };

/* ---- mapping ----------------------------------------------------------------------------------
 */

static enum status map_page(const char *directory, const char *name, size_t size_bytes_min,
                            struct mapped_file *out)
{
    char path[PATH_BYTES_MAX];
    const int len = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (len < 0 || (size_t)len >= sizeof path) { return STATUS_INVALID; }
    return mapped_file_open(path, false, size_bytes_min, out);
}

static const struct root_page *root_of(const struct runtime_view *view)
{
    return (const struct root_page *)(const void *)view->root.at;
}

static enum status refused(const char *directory, const char *name, enum status why)
{
    fprintf(stderr, "penstock: %s/%s: %s\n", directory, name, status_text(why));
    return why;
}

static enum status map_root(const char *directory, struct runtime_view *view)
{
    enum status status = map_page(directory, "root", sizeof(struct root_page), &view->root);
    if (status == STATUS_OK) { status = root_page_check(root_of(view), view->root.size_bytes); }
    return status == STATUS_OK ? STATUS_OK : refused(directory, "root", status);
}

static enum status map_node(const char *directory, struct runtime_view *view)
{
    enum status status =
        map_page(directory, NODE_PAGE_FILE_NAME, sizeof(struct node_page), &view->node);
    if (status == STATUS_NOT_FOUND) { return STATUS_OK; }
    if (status == STATUS_OK) {
        status = node_page_check((const struct node_page *)(const void *)view->node.at,
                                 view->node.size_bytes);
    }
    return status == STATUS_OK ? STATUS_OK : refused(directory, NODE_PAGE_FILE_NAME, status);
}

static enum status map_rules(const char *directory, struct runtime_view *view)
{
    struct mapped_file *const file = &view->rules;
    enum status status =
        map_page(directory, RULES_PAGE_FILE_NAME, sizeof(struct rules_page_header), file);
    if (status == STATUS_NOT_FOUND) { return STATUS_OK; }
    if (status == STATUS_OK) {
        status = rules_view_open(file->at, file->size_bytes, &view->rules_view);
    }
    return status == STATUS_OK ? STATUS_OK : refused(directory, RULES_PAGE_FILE_NAME, status);
}

static enum status map_stats(const char *directory, uint32_t partition, struct runtime_view *view)
{
    struct mapped_file *const file = &view->stats[partition];
    char name[STATS_NAME_BYTES];
    stats_page_file_name(partition, name);
    enum status status = map_page(directory, name, sizeof(struct stats_page), file);
    if (status == STATUS_NOT_FOUND) { return STATUS_OK; } /* an orphan since before the reboot */
    if (status == STATUS_OK) {
        status =
            stats_page_check((const struct stats_page *)(const void *)file->at, file->size_bytes);
    }
    return status == STATUS_OK ? STATUS_OK : refused(directory, name, status);
}

static enum status map_all_stats(const char *directory, struct runtime_view *view)
{
    const uint32_t count =
        atomic_load_explicit(&root_of(view)->partition_count, memory_order_acquire);
    if (count > ROOT_PARTITIONS_MAX) { return refused(directory, "root", STATUS_CORRUPT); }
    view->partition_count = count;

    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        status = map_stats(directory, i, view);
    }
    return status;
}

enum status runtime_view_open(const char *directory, struct runtime_view *out)
{
    memset(out, 0, sizeof *out);
    enum status status = map_root(directory, out);
    if (status == STATUS_OK) { status = map_node(directory, out); }
    if (status == STATUS_OK) { status = map_rules(directory, out); }
    if (status == STATUS_OK) { status = map_all_stats(directory, out); }
    if (status != STATUS_OK) { runtime_view_close(out); }
    return status;
}

void runtime_view_close(struct runtime_view *view)
{
    mapped_file_close(&view->root);
    mapped_file_close(&view->node);
    mapped_file_close(&view->rules);
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) { mapped_file_close(&view->stats[i]); }
}

/* ---- sampling ---------------------------------------------------------------------------------
 */

static void sample_partition(const struct runtime_view *view, size_t index,
                             struct runtime_partition *out)
{
    const struct root_partition *const slot = &root_of(view)->partitions[index];
    out->log_state = (enum root_log_state)atomic_load_explicit(&slot->state, memory_order_relaxed);
    out->why = (enum status)atomic_load_explicit(&slot->why, memory_order_relaxed);
    out->durable_number = atomic_load_explicit(&slot->durable_number, memory_order_relaxed);
    out->has_stats = view->stats[index].at != NULL;
    if (out->has_stats) { memcpy(&out->stats, view->stats[index].at, sizeof out->stats); }
}

/* A killed process leaves its last heartbeat behind. EPERM: alive, and another user's. */
static bool process_is_gone(uint32_t pid)
{
    if (pid == 0 || pid > INT32_MAX) { return false; } /* none was written: the heartbeat decides */
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

void runtime_sample_take(const struct runtime_view *view, struct runtime_sample *out)
{
    const struct root_page *const root = root_of(view);
    memset(out, 0, sizeof *out);
    memcpy(out->node_name, root->node, sizeof root->node); /* one byte longer: always ends */
    out->state = (enum root_state)atomic_load_explicit(&root->state, memory_order_relaxed);
    out->incarnation = atomic_load_explicit(&root->incarnation, memory_order_relaxed);
    out->heartbeat_ns = atomic_load_explicit(&root->heartbeat_ns, memory_order_relaxed);
    out->started_ns = atomic_load_explicit(&root->started_ns, memory_order_relaxed);
    out->pid = atomic_load_explicit(&root->pid, memory_order_relaxed);
    out->process_gone = process_is_gone(out->pid);
    out->worker_count = atomic_load_explicit(&root->worker_count, memory_order_relaxed);
    out->has_node = view->node.at != NULL;
    if (out->has_node) { memcpy(&out->node, view->node.at, sizeof out->node); }
    /* Checked when mapped, but the writer may have changed it since. */
    if (out->node.port_count > NODE_PORTS_MAX) { out->node.port_count = NODE_PORTS_MAX; }

    out->partition_count = view->partition_count;
    out->partitions = allocate_zeroed(view->partition_count, sizeof out->partitions[0]);
    for (size_t i = 0; i < view->partition_count; i++) {
        sample_partition(view, i, &out->partitions[i]);
    }
    out->taken_ns = clock_mono_ns(); /* behind the copies: no heartbeat lies in the future */
}

void runtime_sample_free(struct runtime_sample *sample)
{
    free(sample->partitions);
    sample->partitions = NULL;
    sample->partition_count = 0;
}

bool runtime_sample_is_running(const struct runtime_sample *sample)
{
    if (sample->state == ROOT_STATE_STOPPED || sample->process_gone) { return false; }
    return sample->taken_ns - sample->heartbeat_ns < ROOT_HEARTBEAT_STALE_NS;
}

const char *runtime_sample_state_text(const struct runtime_sample *sample)
{
    if (sample->state == ROOT_STATE_STOPPED) { return "stopped"; }
    if (!runtime_sample_is_running(sample)) { return "not running"; }
    return root_state_text(sample->state);
}

/* ---- where it is ------------------------------------------------------------------------------
 */

char *runtime_directory_find(const char *config_path, const char *directory, int *out_code)
{
    if (directory != NULL) { return allocate_text(directory); }

    const char *const path = config_path != NULL ? config_path : COMMAND_DEFAULT_CONFIG;
    struct diagnostics *const diagnostics = diagnostics_create();
    struct config *const config = config_load(path, diagnostics);
    char *const found = config != NULL ? allocate_text(config->runtime) : NULL;
    if (found == NULL) { diagnostics_print(diagnostics, stderr); }
    *out_code = command_can_read(path) ? COMMAND_BAD_FILE : COMMAND_UNREADABLE;
    config_destroy(config);
    diagnostics_destroy(diagnostics);
    return found;
}
