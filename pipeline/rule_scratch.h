/* rule_scratch.h - what a worker needs to judge: layout, private to rules.c and rule_actions.c.
 *
 * Owns     All memory of judging. Between two records `atoms`, `candidates` and `touched` are all
 *          zero: whoever sets a bit writes down where, and only that is cleared.
 * Threads  One owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "pipeline/json_paths.h"
#include "pipeline/record.h"
#include "pipeline/rule_meters.h"
#include "pipeline/rule_set.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

struct hs_scratch; /* hs.h: hs_scratch_t */

enum {
    /* Keys that are set from a JSON string with escapes, and all that are set by rules that redact
     * too, are copied here: of all records of one
     * call together. */
    RULE_KEY_ROOM_BYTES = 256 << 10,
    /* Examples of a rule: its first matches, then one in so many. */
    RULE_EXAMPLES_FIRST = 16,
    RULE_EXAMPLES_ONE_IN = 256,
};

struct rule_number_memo {
    uint64_t stamp; /* of the record that it was read for */
    double number;
    bool is_number;
};

struct rule_scratch {
    const struct rule_set *rules; /* the set that it is for: asserted in each call */
    struct hs_scratch *hyperscan; /* NULL when nothing is searched */

    /* the record being judged */
    const struct record *record;
    uint64_t stamp;         /* its number, from 1 */
    struct bytes *contents; /* by look; null: not there, or JSON that was not read yet */
    uint64_t *seen;         /* a bit a header that was met */
    uint32_t *filled;       /* these headers' looks */
    size_t filled_count;
    bool json_is_read;
    uint64_t *atoms;   /* a bit an atom that holds */
    uint32_t *holding; /* these atoms */
    size_t holding_count;
    uint32_t pattern_matches;
    uint32_t matches_max;
    uint64_t *candidates; /* a bit a rule to be asked */
    uint64_t *touched;    /* a bit a word of `candidates` that is not 0 */
    const uint32_t *triggers;
    const uint32_t *trigger_lists;
    struct rule_number_memo *numbers; /* by look */
    int32_t *held;                    /* rules whose condition held, in the order asked */
    size_t held_count;
    int32_t *changing; /* those of them that change the record */
    size_t changing_count;

    /* of this call */
    struct record_header *headers; /* room for what each record's may become */
    uint8_t *key_room;
    size_t key_room_used;

    /* for good */
    size_t records_max;
    struct json_room *json_room;
    struct bytes *json_found;
    struct rule_counts *counts; /* by rule */
    struct rule_counts *own_counts;
    struct rule_meters *own_meters;
    struct rule_meter **meters; /* by rule; NULL: no limit */
    struct rule_totals totals;
    void (*on_example)(void *context, size_t rule, const struct record *record);
    void *context;
};

/* rules.c: what the record has there. */
struct bytes rule_scratch_content(const struct rule_set *rules, struct rule_scratch *scratch,
                                  uint32_t look);

/* rules.c: reads the value's JSON members, of a value that may have been redacted since. */
void rule_scratch_read_json(const struct rule_set *rules, struct rule_scratch *scratch);

END_C_DECLS
