/* runtime.h - the runtime directory: one ingest at a time, and the pages that outlive it.
 *
 * Purpose  Makes the directory (on a tmpfs: a page that waits for a disk would stall a polling
 *          core), locks it against a second ingest, opens or makes root, node and stats pages.
 * Owns     The lock and the mappings.
 * Threads  Main core, at start and stop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "wire/commit_ring.h"
#include "wire/root_page.h"
#include "wire/stats_page.h"
#include "wire/topic_starts.h"

BEGIN_C_DECLS

enum { RUNTIME_PATH_BYTES = 512 };

struct runtime {
    char path[RUNTIME_PATH_BYTES];
    int lock;
    struct mapped_file root_file;
    struct mapped_file node_file;
    struct root_page *root;
    struct node_page *node;
    bool root_survived; /* the page is of an earlier start since boot: its slots are a witness */
    bool ended_in_order;
};

/* Says itself (logger.h) what is wrong and what to do. STATUS_BUSY: another ingest runs.
 * STATUS_UNSUPPORTED: not a tmpfs. */
MUST_CHECK enum status runtime_open(struct runtime *runtime, const char *path, const char *node);
void runtime_close(struct runtime *runtime);

/* The page of a partition, as an earlier start left it or new; `*survived` tells which. */
MUST_CHECK enum status runtime_stats_page(struct runtime *runtime, uint32_t partition,
                                          struct mapped_file *file, struct stats_page **out,
                                          bool *survived);

/* Where topics of the log begin by limits of their own: as an earlier start left it, if it was of
 * this log; else new. */
MUST_CHECK enum status runtime_topic_starts(struct runtime *runtime, uint32_t partition,
                                            struct log_id log_id, struct mapped_file *file,
                                            struct topic_starts **out);

/* A new commit ring, replacing an older one of that name. */
MUST_CHECK enum status runtime_commit_ring(struct runtime *runtime, uint32_t partition,
                                           struct log_id log_id, uint64_t capacity_bytes,
                                           struct mapped_file *file,
                                           struct commit_ring_header **out);

/* Removes live indexes that an earlier start left: their segments are sealed by now. */
void runtime_remove_live_indexes(struct runtime *runtime);

/* "<runtime>/<name>"; returns `out`, of RUNTIME_PATH_BYTES. */
const char *runtime_file(const struct runtime *runtime, const char *name, char *out);

END_C_DECLS
