/* runtime_view.h - a node's shared memory, as the tool sees it: mapped read-only, checked, copied.
 *
 * Purpose  What status and ledger look at. Works while ingest runs, and after it died: the pages
 *          outlive it.
 * Owns     The mappings, until runtime_view_close. Copies (runtime_sample) are the caller's.
 * Threads  One. The writers go on writing: a sample is some turns wide. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/mapped_file.h"
#include "wire/root_page.h"
#include "wire/rules_page.h"
#include "wire/stats_page.h"

#include "base/compiler.h"

BEGIN_C_DECLS

struct runtime_view {
    struct mapped_file root;
    struct mapped_file node; /* may be absent: a start that did not get that far */
    struct mapped_file stats[ROOT_PARTITIONS_MAX];
    size_t partition_count;
    struct mapped_file rules; /* may be absent: likewise */
    struct rules_view rules_view;
};

/* Maps the pages of the runtime directory. On failure nothing is mapped and stderr says why. */
MUST_CHECK enum status runtime_view_open(const char *directory, struct runtime_view *out);
void runtime_view_close(struct runtime_view *view);

struct runtime_partition {
    bool has_stats;
    enum root_log_state log_state;
    enum status why;
    uint64_t durable_number;
    struct stats_page stats;
};

/* What the pages said at one time. */
struct runtime_sample {
    uint64_t taken_ns; /* CLOCK_MONOTONIC */
    char node_name[ROOT_NODE_NAME_BYTES + 1];
    enum root_state state;
    uint64_t incarnation;
    uint64_t heartbeat_ns;
    uint64_t started_ns;
    uint32_t pid;
    bool process_gone; /* no process has that pid; false when the page has none */
    uint32_t worker_count;
    bool has_node;
    struct node_page node;
    size_t partition_count;
    struct runtime_partition *partitions;
};

void runtime_sample_take(const struct runtime_view *view, struct runtime_sample *out);
void runtime_sample_free(struct runtime_sample *sample);

/* Whether penstock-ingest was alive when the sample was taken: not stopped, its process there, its
 * heartbeat not stale (which alone tells of a process that hangs, or of a pid taken over). */
bool runtime_sample_is_running(const struct runtime_sample *sample);

/* "running", "recovering", ..., or "not running" */
const char *runtime_sample_state_text(const struct runtime_sample *sample);

/* The runtime directory that `-c FILE` or `--runtime DIR` mean (either may be NULL); to be freed.
 * NULL: said on stderr, and *out_code is what to exit with. */
char *runtime_directory_find(const char *config_path, const char *directory, int *out_code);

END_C_DECLS
