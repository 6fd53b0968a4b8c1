/* candidate.h - a rules file that a tool judges by, in the world of a configuration.
 *
 * Purpose  Rules route to topics and ask for listeners: both stand in penstock.yaml. Without one,
 *          what the rules file itself names is taken for granted, and that is said.
 * Owns     World and candidate own their texts and arrays; a candidate borrows its world.
 * Threads  One; cold: reads files, compiles. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/diagnostics.h"
#include "pipeline/rules_load.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

struct candidate_world {
    struct config *config; /* NULL: assumed */
    char **topics;
    size_t topic_count;
    char **listeners; /* "syslog:514" */
    int32_t *listener_topics;
    size_t listener_count;
};

struct candidate {
    const struct candidate_world *world;
    char *path;
    char *text; /* the file's bytes */
    size_t text_bytes;
    struct rule_set *rules;
    struct rules_document *document;
    const struct rules_source *source; /* what it says, in the document's memory */
    uint64_t compile_ns;
};

/* What a command line says. */
struct candidate_options {
    const char *tool; /* "penstock rules test": what is told on stderr begins with it */
    const char *path; /* rules, or a penstock.yaml that names them; NULL: the configuration's */
    const char *config_path; /* NULL: COMMAND_DEFAULT_CONFIG, where there is one */
    bool no_config;          /* assume, whatever configuration there is */
    const char *listener;    /* to be assumed beside the usual ones; NULL: none */
    bool quiet;              /* says nothing of what is assumed */
};

/* World and candidate of a command line. False: *out_code is what to exit with, and diagnostics or
 * stderr say why; both are then empty. */
MUST_CHECK bool candidate_open(const struct candidate_options *options,
                               struct diagnostics *diagnostics, struct candidate_world *world,
                               struct candidate *out, int *out_code);

/* The world alone. `rules_text`: what names topics where there is no configuration. */
void candidate_world_init(struct candidate_world *world, struct config *config,
                          const char *rules_text, size_t rules_bytes, const char *listener);
void candidate_world_deinit(struct candidate_world *world); /* with its configuration */

struct rules_world candidate_world_rules(const struct candidate_world *world);

/* -1: there is none of that name. */
int32_t candidate_world_topic(const struct candidate_world *world, const char *name);
int32_t candidate_world_listener(const struct candidate_world *world, const char *name);

/* Takes `text` (from malloc), whatever becomes of it. False: it has errors. */
MUST_CHECK bool candidate_load(struct candidate *candidate, const struct candidate_world *world,
                               const char *path, char *text, size_t text_bytes,
                               struct diagnostics *diagnostics);
void candidate_deinit(struct candidate *candidate);

/* Whether some test in the tree looks at this kind of field. */
bool candidate_condition_asks(const struct rule_condition *condition, enum rule_field_kind kind);

END_C_DECLS
