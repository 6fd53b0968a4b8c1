/* node_config.h - a configuration and the rules that it names, checked together.
 *
 * Purpose  What penstock-ingest starts from and `penstock check` looks at: the one place where
 *          base's configuration and pipeline's rules meet.
 * Owns     Both, until node_config_deinit. Immutable after loading. Threads: loading is cold. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/diagnostics.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

/* A rules file's bytes, as they were judged. */
struct rules_text {
    char *at; /* NULL: there is no rules file */
    size_t len_bytes;
};

struct node_config {
    struct config *config;
    struct rule_set *rules; /* without a rules file it routes by listener; NULL: taken over */
    struct rules_text rules_text;
};

/* Reads both files. False when either has an error: then `out` is empty and `diagnostics` says why.
 * Rules are only looked at below a configuration without errors: they need its topics. */
MUST_CHECK bool node_config_load(const char *path, struct diagnostics *diagnostics,
                                 struct node_config *out);

/* Reads the rules that the configuration names, as they are now, and compiles them (which can take
 * long). NULL when they have an error: `diagnostics` says which. The bytes go to `out_text`, for
 * the caller to free, also then; NULL: they are not wanted. */
MUST_CHECK struct rule_set *node_config_load_rules(const struct config *config,
                                                   struct diagnostics *diagnostics,
                                                   struct rules_text *out_text);

/* An empty one is fine. */
void node_config_deinit(struct node_config *node_config);

END_C_DECLS
