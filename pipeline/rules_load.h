/* rules_load.h - from a rules file to a compiled rule set: the cold half of the rules.
 *
 * Purpose  Reads YAML, checks it, compiles the patterns with Hyperscan. All errors at once, each
 *          with file:line:col; on any error there is no rule set.
 * Threads  Cold; any but a polling core. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

struct rules_world {
    const char *const *topics; /* names; a rule may route to these only */
    size_t topic_count;
    const int32_t *listener_topics; /* by listener: topic index, or -1 */
    size_t listener_count;
    const char *const *listener_names; /* by listener: "syslog:514"; NULL: no rule may ask */
    const char *cache_path;            /* directory of compiled databases; NULL: none is kept */
};

/* `path` NULL: no rules file; then every listener needs a topic. `named_at`: where the
 * configuration names it, for a file that cannot be read. NULL on any error. */
struct rule_set *rules_load(const char *path, struct file_place named_at,
                            const struct rules_world *world, struct diagnostics *diagnostics);

/* The same from text, for tests and fuzzing. */
struct rule_set *rules_load_text(const char *text, size_t len_bytes, const char *name,
                                 const struct rules_world *world, struct diagnostics *diagnostics);

END_C_DECLS
