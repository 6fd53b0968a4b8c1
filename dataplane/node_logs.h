/* node_logs.h - every log of the node at start: found, recovered, its ledger taken up again.
 *
 * Purpose  Finds all partitions on all storage paths, runs recovery on each, settles the cluster
 *          and log identities, fills the root page's slots, and books in each stats page what the
 *          end of the last run cost (records_lost_at_crash).
 * Owns     The resumes, the stats pages' mappings and the locks on the storage paths.
 * Threads  Main core, before workers start. Writes its findings to the log (logger.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "dataplane/runtime.h"
#include "storage/files.h"
#include "storage/log_resume.h"

BEGIN_C_DECLS

struct node_log {
    struct log_resume *resume;
    struct mapped_file stats_file;
    struct stats_page *stats;
};

struct node_logs {
    struct posix_files *posix;
    struct files files;
    int path_locks[64]; /* the configuration takes no more paths */
    size_t path_lock_count;
    size_t count; /* partitions: at least the workers, more when there were more once */
    struct node_log items[ROOT_PARTITIONS_MAX];
};

/* Says itself what is wrong. After it, slots 0..count-1 of the root page are valid. */
MUST_CHECK enum status node_logs_open(struct node_logs *logs, const struct config *config,
                                      struct runtime *runtime);
void node_logs_close(struct node_logs *logs);

/* What a crash left of a ledger, made to add up again. `survived`: the page is that of the run that
 * ended. Exposed for its test. */
void node_logs_settle_ledger(struct stats_page *stats, bool survived,
                             const struct log_resume *resume);

END_C_DECLS
