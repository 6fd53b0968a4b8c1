/* rules_reading.h - one reading of a rules file: what its parts share.
 *
 * Purpose  Private to rules_load.c and rules_read_*.c. A part reads one kind of YAML node into one
 *          struct of rules_source.h. What is wrong is said with its place, and the reading goes on:
 *          all errors come at once. A struct whose node was refused is of no use, and nobody looks
 *          at it: whoever began the reading asks for the count of errors.
 * Owns     The arena that trees and lists lie in; texts stay the YAML tree's.
 * Threads  Cold; one at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/diagnostics.h"
#include "base/yaml.h"
#include "pipeline/pattern_check.h"
#include "pipeline/rules_load.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

enum { RULES_ERRORS_MAX = 1000 }; /* of one file: what comes behind is not read */

struct rules_reading {
    const struct rules_world *world;
    struct diagnostics *diagnostics;
    struct arena *arena;
    struct file_place file; /* as a whole */
    bool has_file;
    size_t errors_before;
    size_t condition_count;             /* tests so far */
    struct pattern_question *questions; /* patterns to be checked when all is read */
    size_t question_count;
    size_t question_room;
    const char *json_paths[RULES_JSON_PATHS_MAX];
    size_t json_path_count;
    uint64_t bucket_count; /* of all limits so far */
};

/* An error at `place` (a struct file_place). */
#define rules_refuse(reading, place, ...)                                                          \
    diagnostics_error((reading)->diagnostics, place, __VA_ARGS__)

/* Nothing further is read: a file with so many errors, or tests, was made by a program that went
 * wrong, and all that it says would not help. */
static inline bool rules_reading_is_over(const struct rules_reading *reading)
{
    return reading->condition_count > RULES_CONDITIONS_MAX ||
           diagnostics_error_count(reading->diagnostics) - reading->errors_before >=
               RULES_ERRORS_MAX;
}

/* ---- words: rules_read_words.c */

/* "no such topic: 'evnts'; did you mean 'events'?" */
void rules_refuse_unknown(const struct rules_reading *reading, struct file_place place,
                          const char *of_what, const char *word, const char *const *known,
                          size_t known_count);

/* Refuses every key that is not known. `known` ends with NULL. */
void rules_check_keys(const struct rules_reading *reading, const struct yaml_node *map,
                      const char *of_what, const char *const *known);

/* The index of the word in `choices`, which end with NULL; -1, and said, when it is none. */
int rules_read_choice(const struct rules_reading *reading, const struct yaml_node *node,
                      const char *of_what, const char *const *choices);

/* ---- values: rules_read_values.c. False, and said, when refused. */

/* A scalar's text; `what` as in "must be a pattern". NULL when refused: a list, a map, nothing. */
const char *rules_read_scalar(const struct rules_reading *reading, const struct yaml_node *node,
                              const char *what);
MUST_CHECK bool rules_read_integer(const struct rules_reading *reading,
                                   const struct yaml_node *node, const char *name, uint64_t least,
                                   uint64_t most, uint64_t *out);
MUST_CHECK bool rules_read_size(const struct rules_reading *reading, const struct yaml_node *node,
                                const char *name, uint64_t least, uint64_t most, uint64_t *out);
MUST_CHECK bool rules_read_bool(const struct rules_reading *reading, const struct yaml_node *node,
                                const char *name, bool *out);
/* "-12.5"; said when refused */
void rules_read_number(const struct rules_reading *reading, const struct yaml_node *node,
                       const char *name, double *out);
/* "10.0.0.0/8" */
void rules_read_network(const struct rules_reading *reading, const struct yaml_node *node,
                        struct rule_network *out);

/* ---- fields: rules_read_fields.c */

MUST_CHECK bool rules_read_field(struct rules_reading *reading, const struct yaml_node *node,
                                 struct rule_field *out);

/* ---- patterns: rules_read_values.c. The text of a pattern, NULL when it is none. What Hyperscan
 * thinks of it is asked later; `finds_empty` as in pattern_check.h. */

const char *rules_read_pattern(struct rules_reading *reading, const struct yaml_node *node,
                               bool redacts, bool *finds_empty);

/* ---- conditions: rules_read_conditions.c */

void rules_read_condition(struct rules_reading *reading, const struct yaml_node *node,
                          struct rule_condition *out);

/* ---- the whole: rules_read_file.c. `root` NULL: there is no file. */

void rules_read_file(struct rules_reading *reading, const struct yaml_node *root,
                     struct rules_source *out);

/* ---- actions: rules_read_actions.c, rules_read_limits.c */

void rules_read_action(struct rules_reading *reading, const struct yaml_node *node,
                       struct rule_action *out);
/* The file's `default`. */
void rules_read_default(struct rules_reading *reading, const struct yaml_node *node,
                        struct rule_fallback *out);
void rules_read_limit(struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_action *out);

END_C_DECLS
