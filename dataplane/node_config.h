/* node_config.h - a node's whole configuration, checked: the YAML file and the rules beside it.
 *
 * What both daemons and `penstock check` load. Threads: cold; any one. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/diagnostics.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

struct node_config {
    struct config *config;
    struct rule_set *rules;
};

/* False on any error: everything that is wrong with either file is then in `diagnostics`, and `out`
 * holds nothing. Rules are compiled, so this takes as long as Hyperscan does. */
MUST_CHECK bool node_config_load(const char *path, struct node_config *out,
                                 struct diagnostics *diagnostics);
void node_config_unload(struct node_config *config);

END_C_DECLS
