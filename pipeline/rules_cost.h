/* rules_cost.h - what each pattern of a rules file costs, the dearest first.
 *
 * Purpose  Compiles every pattern alone and looks at what came of it: a database that is large is
 *          slow to search, as it does not stay in the cache, and a pattern that can match any
 *          number of bytes keeps state that a text does not.
 * Bounds   A child process compiles (rule_jail.h), until the deadline: patterns that are more than
 *          a text are first. Those that nobody came to are said to be unmeasured.
 * Threads  Cold; any but a polling core. Allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

enum {
    RULE_COST_WIDTH_ANY = UINT32_MAX, /* of width_max: no end */
    RULE_COST_DEAR_BYTES = 64 * 1024, /* a database of a pattern alone that is worth a look */
};

struct rule_cost {
    size_t rule;         /* index */
    const char *pattern; /* of its condition, borrowed from the source */
    struct file_place place;
    bool is_measured;
    uint64_t database_bytes; /* compiled alone */
    uint32_t width_min;      /* bytes of a match */
    uint32_t width_max;
    uint32_t compile_us; /* to compile it alone */
};

/* One item a pattern, by database_bytes and then width_max, the unmeasured ones last; how many they
 * are. *out goes to free(). */
size_t rules_cost(const struct rules_source *source, uint64_t deadline_mono_ns,
                  struct rule_cost **out);

END_C_DECLS
