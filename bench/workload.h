/* workload.h - what the worker is given to do: records, rules, and the node's configuration. */
#pragma once

#include "base/compiler.h"
#include "base/status.h"
#include "bench/frames.h"
#include "dataplane/node_config.h"

BEGIN_C_DECLS

struct workload {
    const char *name;
    enum frames_kind kind;
    const char *help;
    const char *rules;    /* YAML, as an operator would write it */
    const char *listener; /* one more; may be NULL */
    const char *lanes;    /* their section; may be NULL */
};

enum { WORKLOAD_COUNT = 4 };

extern const struct workload workloads[WORKLOAD_COUNT];
extern const struct workload workload_contest; /* what all sides of contest.h have */

struct workload_places {
    const char *directory; /* on the disk to be measured: configuration and logs */
    const char *runtime;   /* on a tmpfs */
    uint32_t core;
};

/* Writes penstock.yaml and rules.yaml and loads them as the daemon does. Says itself what is wrong;
 * unload with node_config_deinit. */
MUST_CHECK enum status workload_configure(const struct workload *workload,
                                          const struct workload_places *places,
                                          struct node_config *out);

END_C_DECLS
