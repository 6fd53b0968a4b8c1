/* rules_load.h - from a rules file to a compiled rule set: the cold half of the rules.
 *
 * Purpose  Reads YAML, checks it, compiles the patterns with Hyperscan. All errors at once, each
 *          with file:line:col; on any error there is no rule set. Tools that look at what a file
 *          says (rules_lint.h, rules_cost.h) read it without compiling.
 * Owns     A document owns the structs that rules_document_source shows, and their texts.
 * Threads  Cold; any but a polling core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rules.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

struct rules_world {
    const char *const *topics; /* names; a rule may route to these only */
    size_t topic_count;
    const int32_t *listener_topics; /* by listener: topic index, or -1 */
    size_t listener_count;
    const char *const *listener_names; /* by listener: "syslog:514"; NULL: no rule may ask */
    const char *cache_path;            /* directory of compiled databases; NULL: none is kept */
};

struct rules_document; /* opaque: one file, read and checked */

/* Reads text; `name` stands for the file in messages. False, and *out NULL, on any error. The
 * world's texts are borrowed for the document's life; `text` and `name` are not. */
MUST_CHECK bool rules_read_text(const char *text, size_t len_bytes, const char *name,
                                const struct rules_world *world, struct diagnostics *diagnostics,
                                struct rules_document **out);

/* The same of a file. `path` NULL: no rules file; then every listener needs a topic. `named_at`:
 * where the configuration names it, for a file that cannot be read. */
MUST_CHECK bool rules_read(const char *path, struct file_place named_at,
                           const struct rules_world *world, struct diagnostics *diagnostics,
                           struct rules_document **out);

const struct rules_source *rules_document_source(const struct rules_document *document);

/* NULL is fine. */
void rules_document_destroy(struct rules_document *document);

/* Reads and compiles; keeps no document. NULL on any error. */
struct rule_set *rules_load(const char *path, struct file_place named_at,
                            const struct rules_world *world, struct diagnostics *diagnostics);
struct rule_set *rules_load_text(const char *text, size_t len_bytes, const char *name,
                                 const struct rules_world *world, struct diagnostics *diagnostics);

END_C_DECLS
