/* rules_page.h - what each rule did: shared memory, which ingest fills and anybody may read.
 *
 * File     `rules` in the runtime directory: one a rule set. A new set's is filled beside it and
 *          takes its name whole, so a reader sees the old set's counts or the new one's, never a
 *          mixture. It outlives the process; the next start goes on from it.
 * Layout   header | worker rows | rules | counts, worker by worker | example slots, worker by
 *          worker and rule by rule | names. Where each begins follows from the facts in the header
 *          alone, so that nothing in the file points anywhere but a rule at its name.
 * Meaning  A rule's total is its carried row, what rules of that name and mode counted in earlier
 *          sets, and the sum over the workers. It never falls while there is such a rule.
 *          A rule in shadow mode counts what it would have done.
 * Threads  Each worker writes rows and slots of its own, with plain stores but for the slots'
 *          turns. Readers map read-only and believe nothing: struct rules_view. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "wire/root_page.h"
#include "wire/shared.h"

BEGIN_C_DECLS

#define RULES_PAGE_FILE_NAME "rules"

enum {
    RULES_PAGE_RULES_MAX = 1 << 20,
    RULES_PAGE_NAMES_BYTES_MAX = 64 << 20,
    RULES_PAGE_EXAMPLES_MAX = 16,        /* of a rule and worker */
    RULES_PAGE_EXAMPLE_BYTES_MAX = 1024, /* of one */
};

/* What a worker counts of one rule. Written by that worker alone; others read it torn at worst by
 * an addition. 64 bytes: a rule has a line of its own. */
struct rule_counts {
    uint64_t matches;      /* records for which its condition held when it was asked */
    uint64_t match_bytes;  /* key and value bytes of these */
    uint64_t dropped;      /* by `drop` */
    uint64_t sampled_out;  /* by `keep` */
    uint64_t limited;      /* by `limit` */
    uint64_t redacted;     /* records in which it overwrote something */
    uint64_t headers_full; /* records that had no room for its header, or its unescaped key */
    uint64_t reserved;
};
static_assert(sizeof(struct rule_counts) == 64, "a line");

/* Fixed before the page has its name. */
struct rules_page_facts {
    uint64_t epoch;         /* rule_set_epoch */
    uint64_t generation;    /* rises by one with each page of the runtime directory */
    int64_t loaded_wall_ms; /* since 1970 */
    uint32_t rule_count;
    uint32_t worker_count;
    uint32_t names_bytes;
    uint32_t example_count; /* of each rule, kept by each worker; 0: none */
    uint32_t example_bytes; /* room of one */
    uint32_t reserved;
};

struct rules_page_header {
    uint8_t magic[8]; /* "PENSTRUL" */
    uint32_t version; /* SHARED_VERSION */
    uint32_t reserved;
    struct rules_page_facts facts;
    uint8_t padding[CACHE_PAIR_BYTES - 64];
};
static_assert(sizeof(struct rules_page_header) == CACHE_PAIR_BYTES, "packed");

struct rules_page_worker {
    uint64_t judged; /* records, by this set */
    int64_t wall_ms; /* of the burst that it judges: what examples are dated by */
    uint8_t padding[CACHE_PAIR_BYTES - 16];
};
static_assert(sizeof(struct rules_page_worker) == CACHE_PAIR_BYTES, "packed");

struct rules_page_rule {
    uint32_t name_position; /* in the names */
    uint32_t name_bytes;
    uint32_t is_shadow;
    uint32_t reserved;
    uint64_t carried_judged; /* records judged while there was a rule of that name and mode */
    uint8_t padding[40];
    struct rule_counts carried;
};
static_assert(sizeof(struct rules_page_rule) == CACHE_PAIR_BYTES, "packed");

enum { /* of an example */
       RULES_EXAMPLE_HAS_KEY = 1,
       RULES_EXAMPLE_HAS_VALUE = 2, /* else it is a tombstone */
       RULES_EXAMPLE_CUT = 4,       /* key or value were longer */
};

/* A slot; the bytes, key then value, stand behind it. */
struct rules_page_slot {
    SHARED_ATOMIC(uint64_t) turn; /* odd: being written; 0: never was */
    int64_t wall_ms;
    uint32_t rule;
    uint32_t flags;
    uint32_t key_bytes; /* here; record_bytes says how long the record was */
    uint32_t value_bytes;
    uint64_t record_bytes; /* key and value, whole */
};
static_assert(sizeof(struct rules_page_slot) == 40, "packed");

/* Positions in the file. */
struct rules_page_layout {
    size_t workers;
    size_t rules;
    size_t counts;
    size_t counts_stride; /* from worker to worker */
    size_t examples;
    size_t slot_stride;
    size_t names;
    size_t file_bytes;
};

/* False: the facts are out of bounds. */
MUST_CHECK bool rules_page_layout_of(const struct rules_page_facts *facts,
                                     struct rules_page_layout *out);

/* ---- writing: cold, in zeroed memory of layout.file_bytes, but for the last */

void rules_page_init(uint8_t *at, const struct rules_page_facts *facts);
/* `name` goes to `name_position`, which the caller counts up; it fits in names_bytes. */
void rules_page_name_rule(uint8_t *at, const struct rules_page_layout *layout, size_t rule,
                          bool is_shadow, const char *name, uint32_t name_position);

/* On a polling core: fills the slot of `slots` (count of them, one rule's and worker's) that was
 * written longest ago. A key longer than a quarter of `capacity_bytes` is cut there, then the value
 * where the room ends. */
struct rules_page_sighting {
    uint32_t rule;
    int64_t wall_ms;
    struct bytes key; /* null: none */
    struct bytes value;
};
void rules_page_store_example(uint8_t *slots, size_t count, uint32_t capacity_bytes,
                              const struct rules_page_sighting *sighting);

/* ---- reading */

/* A page as it was checked: what is read later stays inside, whatever the file says by then. */
struct rules_view {
    const uint8_t *at;
    struct rules_page_facts facts;
    struct rules_page_layout layout;
};

/* STATUS_TRUNCATED, STATUS_CORRUPT, STATUS_UNSUPPORTED: as stats_page_check. The mapping outlives
 * the view. */
MUST_CHECK enum status rules_view_open(const uint8_t *at, size_t size_bytes,
                                       struct rules_view *out);

/* Points into the page; empty when what the page says of it cannot be. */
struct bytes rules_view_name(const struct rules_view *view, size_t rule);
bool rules_view_is_shadow(const struct rules_view *view, size_t rule);
/* Lifetime totals: carried, and of all workers. */
struct rule_counts rules_view_counts(const struct rules_view *view, size_t rule);
/* Records judged while there was this rule: what its matches are a share of. */
uint64_t rules_view_judged(const struct rules_view *view, size_t rule);

/* The index of the rule of that name; the view's rule_count: there is none. */
size_t rules_view_find(const struct rules_view *view, struct bytes name);

struct rules_example {
    int64_t wall_ms;
    uint32_t worker;
    uint32_t flags;
    uint32_t key_bytes;
    uint32_t value_bytes;
    uint64_t record_bytes;
    uint8_t bytes[RULES_PAGE_EXAMPLE_BYTES_MAX]; /* key, then value */
};

/* Null where the record had none. Points into the example. */
struct bytes rules_example_key(const struct rules_example *example);
struct bytes rules_example_value(const struct rules_example *example);

/* The rule's newest examples, the newest first, of all workers: at most `capacity`. */
size_t rules_view_examples(const struct rules_view *view, size_t rule, struct rules_example *out,
                           size_t capacity);

END_C_DECLS
