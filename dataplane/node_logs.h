/* node_logs.h - the node's partitions on its real storage paths, with their stats pages.
 *
 * Purpose  Locks and opens the storage paths, opens partitions.h over them with the stats pages of
 *          the runtime directory, and writes to the log what recovery found.
 * Owns     The partitions, the stats pages' mappings and the locks on the storage paths.
 * Threads  Main core, before workers start. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "dataplane/partitions.h"
#include "dataplane/runtime.h"
#include "storage/files.h"

BEGIN_C_DECLS

struct node_logs {
    struct posix_files *posix;
    struct files files;
    int path_locks[64]; /* the configuration takes no more paths */
    size_t path_lock_count;
    struct partitions partitions;
    struct mapped_file stats_files[ROOT_PARTITIONS_MAX]; /* by partition */
    struct mapped_file starts_files[ROOT_PARTITIONS_MAX];
};

/* Says itself what is wrong. After it, the root page's slots of all partitions are valid. */
MUST_CHECK enum status node_logs_open(struct node_logs *logs, const struct config *config,
                                      struct runtime *runtime);
void node_logs_close(struct node_logs *logs);

/* Which of the configured paths a partition lies in; `context` is the logs. */
uint32_t node_logs_path_of(void *context, uint32_t partition);

END_C_DECLS
