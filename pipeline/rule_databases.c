#include "pipeline/rule_databases.h"

#include <hs.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/units.h"
#include "pipeline/rule_cache.h"
#include "pipeline/rule_flags.h"
#include "pipeline/rule_jail.h"

enum {
    RANKING_SECONDS = 5, /* to find the dearest patterns */
    DEAREST = 3,
    REFUSAL_BYTES_MAX = 512,
};

/* Compiling takes several times what it makes; measured: 12,000 patterns of 20 MiB take 0.5 GiB. */
static const uint64_t MEMORY_FACTOR = 8;
static const uint64_t MEMORY_BYTES_MIN = UINT64_C(1) << 30;

/* --------------------------------------------------------------------- messages of the children */

enum message_kind {
    MESSAGE_DATABASE = 1, /* subject: the look */
    MESSAGE_REFUSED,      /* subject: the pattern, or NO_PATTERN; the body is Hyperscan's reason */
    MESSAGE_TOO_LARGE,    /* subject: the look at which the sum of databases was too much */
    MESSAGE_BEGUN,        /* subject: the pattern that is compiled alone now */
    MESSAGE_COST,         /* subject: that pattern; the body is a struct cost_wire */
    MESSAGE_END,
};

enum { NO_PATTERN = UINT32_MAX };

struct message_wire {
    uint8_t kind_le32[4];
    uint8_t subject_le32[4];
    uint8_t body_bytes_le64[8];
};

struct cost_wire {
    uint8_t ns_le64[8];
    uint8_t database_bytes_le64[8];
};

static void send(int out, enum message_kind kind, uint32_t subject, struct bytes body)
{
    struct message_wire wire;
    store_le32(wire.kind_le32, (uint32_t)kind);
    store_le32(wire.subject_le32, subject);
    store_le64(wire.body_bytes_le64, body.len_bytes);
    rule_jail_write(out, bytes_of(&wire, sizeof wire));
    rule_jail_write(out, body);
}

struct message {
    enum message_kind kind;
    uint32_t subject;
    struct bytes body;
};

/* False: no whole message is left. */
static bool take_message(struct bytes *answer, struct message *out)
{
    if (answer->len_bytes < sizeof(struct message_wire)) { return false; }
    const struct message_wire *const wire = (const struct message_wire *)answer->at;
    const uint64_t body_bytes = load_le64(wire->body_bytes_le64);
    if (body_bytes > answer->len_bytes - sizeof *wire) { return false; }
    out->kind = (enum message_kind)load_le32(wire->kind_le32);
    out->subject = load_le32(wire->subject_le32);
    out->body = bytes_of(answer->at + sizeof *wire, (size_t)body_bytes);
    *answer = bytes_slice(*answer, sizeof *wire + (size_t)body_bytes, answer->len_bytes);
    return true;
}

/* ----------------------------------------------------------------------------- compiling, jailed
 */

/* What hs_compile_multi takes: three arrays side by side; and which pattern each is. */
struct pattern_table {
    const char **expressions;
    unsigned *flags;
    unsigned *ids;
    uint32_t *patterns;
    size_t count;
};

static void table_init(struct pattern_table *table, size_t room)
{
    table->expressions = allocate_zeroed(room, sizeof(char *));
    table->flags = allocate_zeroed(room, sizeof(unsigned));
    table->ids = allocate_zeroed(room, sizeof(unsigned));
    table->patterns = allocate_zeroed(room, sizeof(uint32_t));
}

static void table_fill(struct pattern_table *table, const struct rule_plan *plan, uint32_t look)
{
    table->count = 0;
    for (uint32_t i = 0; i < plan->pattern_count; i++) {
        const struct rule_pattern *const pattern = &plan->patterns[i];
        if (pattern->look != look) { continue; }
        table->expressions[table->count] = pattern->translated;
        table->flags[table->count] = RULE_PATTERN_FLAGS;
        table->ids[table->count] = pattern->atom;
        table->patterns[table->count] = i;
        table->count++;
    }
}

static void send_refusal(int out, const struct pattern_table *table,
                         const hs_compile_error_t *refusal)
{
    const bool known = refusal->expression >= 0 && (size_t)refusal->expression < table->count;
    const uint32_t pattern = known ? table->patterns[refusal->expression] : NO_PATTERN;
    struct bytes why = bytes_of_text(refusal->message);
    if (why.len_bytes > REFUSAL_BYTES_MAX) { why.len_bytes = REFUSAL_BYTES_MAX; }
    send(out, MESSAGE_REFUSED, pattern, why);
}

/* Answers whether the rest may be compiled too; *left_bytes is what all databases may still take.
 */
static bool compile_look(const struct pattern_table *table, uint32_t look, uint64_t *left_bytes,
                         int out)
{
    hs_database_t *database = NULL;
    hs_compile_error_t *refusal = NULL;
    const hs_error_t error =
        hs_compile_multi(table->expressions, table->flags, table->ids, (unsigned)table->count,
                         HS_MODE_BLOCK, NULL, &database, &refusal);
    if (error != HS_SUCCESS) {
        send_refusal(out, table, refusal);
        return true; /* go on: all refusals at once */
    }
    char *bytes = NULL;
    size_t len_bytes = 0;
    if (hs_serialize_database(database, &bytes, &len_bytes) != HS_SUCCESS) { abort(); }
    (void)hs_free_database(database); /* refuses no database */
    if (len_bytes > *left_bytes) {
        send(out, MESSAGE_TOO_LARGE, look, bytes_null());
        return false;
    }
    *left_bytes -= len_bytes;
    send(out, MESSAGE_DATABASE, look, bytes_of(bytes, len_bytes));
    free(bytes);
    return true;
}

/* The patterns that redact are made in this process (rule_redact.h); here it is only tried whether
 * that stays within the limits. What is refused is said there. */
static void try_redactors(const struct rule_plan *plan)
{
    for (size_t i = 0; i < plan->source->rule_count; i++) {
        const char *const pattern = plan->source->rules[i].action.redact_pattern;
        struct rule_redactor *redactor = NULL;
        char why[REFUSAL_BYTES_MAX];
        if (pattern == NULL) { continue; }
        if (rule_redactor_create(pattern, why, sizeof why, &redactor) == STATUS_OK) {
            rule_redactor_destroy(redactor);
        }
    }
}

static uint64_t database_bytes_max(const struct rule_plan *plan)
{
    const uint64_t most = plan->source->limits.database_bytes_max;
    return most > 0 ? most : UINT64_MAX;
}

static void compile_all(const void *context, int out)
{
    const struct rule_plan *const plan = context;
    struct pattern_table table;
    table_init(&table, plan->pattern_count);
    uint64_t left_bytes = database_bytes_max(plan);
    try_redactors(plan);
    for (uint32_t look = 0; look < plan->rules->look_count; look++) {
        table_fill(&table, plan, look);
        if (table.count > 0 && !compile_look(&table, look, &left_bytes, out)) { break; }
    }
    send(out, MESSAGE_END, 0, bytes_null());
}

static struct rule_jail_limits jail_limits(const struct rule_plan *plan)
{
    const uint64_t most = plan->source->limits.database_bytes_max;
    return (struct rule_jail_limits){
        .cpu_seconds = plan->source->limits.compile_seconds_max,
        .memory_bytes = most == 0 ? 0 : MEMORY_BYTES_MIN + MEMORY_FACTOR * most,
    };
}

/* --------------------------------------------------------------------------- the dearest patterns
 */

struct cost {
    uint32_t pattern;
    uint64_t ns;
    uint64_t database_bytes;
    bool unfinished;
};

static uint64_t clock_cpu_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) != 0) { return 0; }
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void cost_alone(const struct rule_plan *plan, uint32_t index, int out)
{
    hs_database_t *database = NULL;
    hs_compile_error_t *refusal = NULL;
    struct cost_wire wire = {0};
    size_t bytes = 0;
    send(out, MESSAGE_BEGUN, index, bytes_null());
    const uint64_t begin_ns = clock_cpu_ns();
    const hs_error_t error = hs_compile(plan->patterns[index].translated, RULE_PATTERN_FLAGS,
                                        HS_MODE_BLOCK, NULL, &database, &refusal);
    if (error == HS_SUCCESS && hs_database_size(database, &bytes) != HS_SUCCESS) { bytes = 0; }
    store_le64(wire.ns_le64, clock_cpu_ns() - begin_ns);
    store_le64(wire.database_bytes_le64, bytes);
    if (database != NULL) { send(out, MESSAGE_COST, index, bytes_of(&wire, sizeof wire)); }
    hs_free_compile_error(refusal);
    (void)hs_free_database(database);
}

/* A guess, from the text alone, which patterns to try first: repeats are dear, and more so the
 * larger they are and the more of them there are. */
static uint64_t looks_dear(const char *pattern)
{
    uint64_t score = strlen(pattern);
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at == '*' || *at == '+' || *at == '|') { score += 8; }
        if (*at == '{') { score += 64 + 4 * strtoul(at + 1, NULL, 10); }
        if (*at == ',' && score > 64) { score += strtoul(at + 1, NULL, 10); }
    }
    return score;
}

struct guess {
    uint64_t score;
    uint32_t pattern;
};

static int compare_guesses(const void *left_at, const void *right_at)
{
    const struct guess *const left = left_at;
    const struct guess *const right = right_at;
    if (left->score != right->score) { return left->score > right->score ? -1 : 1; }
    return left->pattern < right->pattern ? -1 : left->pattern > right->pattern;
}

static void rank_patterns(const void *context, int out)
{
    const struct rule_plan *const plan = context;
    struct guess *const guesses = allocate_zeroed(plan->pattern_count, sizeof *guesses);
    for (uint32_t i = 0; i < plan->pattern_count; i++) {
        guesses[i] = (struct guess){looks_dear(plan->patterns[i].translated), i};
    }
    qsort(guesses, plan->pattern_count, sizeof *guesses, compare_guesses);
    for (size_t i = 0; i < plan->pattern_count; i++) { cost_alone(plan, guesses[i].pattern, out); }
}

static bool is_dearer(const struct cost *left, const struct cost *right, bool by_size)
{
    if (left->unfinished != right->unfinished) { return left->unfinished; }
    return by_size ? left->database_bytes > right->database_bytes : left->ns > right->ns;
}

/* Into the first DEAREST, in order. */
static void keep_dearest(struct cost dearest[DEAREST], size_t *count, struct cost cost,
                         bool by_size)
{
    size_t at = *count < DEAREST ? (*count)++ : DEAREST;
    while (at > 0 && is_dearer(&cost, &dearest[at - 1], by_size)) {
        if (at < DEAREST) { dearest[at] = dearest[at - 1]; }
        at--;
    }
    if (at < DEAREST) { dearest[at] = cost; }
}

/* Each pattern alone, as far as a few seconds reach. */
static size_t find_dearest(const struct rule_plan *plan, bool by_size, struct cost out[DEAREST])
{
    const uint32_t most_seconds = plan->source->limits.compile_seconds_max;
    const bool is_short = most_seconds > 0 && most_seconds < RANKING_SECONDS;
    const struct rule_jail_limits limits = {
        .cpu_seconds = is_short ? most_seconds : RANKING_SECONDS,
        .memory_bytes = jail_limits(plan).memory_bytes,
    };
    uint8_t *bytes = NULL;
    size_t len_bytes = 0;
    const enum rule_jail_end end = rule_jail_run(&limits, rank_patterns, plan, &bytes, &len_bytes);
    struct bytes answer = bytes_of(bytes, len_bytes);
    struct message message;
    uint32_t begun = NO_PATTERN;
    size_t count = 0;
    while (take_message(&answer, &message)) {
        if (message.kind == MESSAGE_BEGUN && begun != NO_PATTERN) { /* refused even alone */
            keep_dearest(out, &count, (struct cost){.pattern = begun, .unfinished = true}, by_size);
        }
        begun = message.kind == MESSAGE_BEGUN ? message.subject : NO_PATTERN;
        if (message.kind != MESSAGE_COST || message.body.len_bytes != sizeof(struct cost_wire)) {
            continue;
        }
        const struct cost_wire *const wire = (const struct cost_wire *)message.body.at;
        const struct cost cost = {
            .pattern = message.subject,
            .ns = load_le64(wire->ns_le64),
            .database_bytes = load_le64(wire->database_bytes_le64),
        };
        keep_dearest(out, &count, cost, by_size);
    }
    (void)end; /* however it ended: what was begun last and has no cost is too dear */
    if (begun != NO_PATTERN) {
        keep_dearest(out, &count, (struct cost){.pattern = begun, .unfinished = true}, by_size);
    }
    free(bytes);
    return count;
}

/* "rules.yaml:12 (1.2 s, 40 MiB alone)" */
static void print_cost(const struct rule_plan *plan, const struct cost *cost, FILE *out)
{
    const struct file_place *const place = &plan->patterns[cost->pattern].place;
    fprintf(out, "%s:%u (", place->file, place->line);
    if (cost->unfinished) {
        fputs("alone more than can be had)", out);
    } else {
        fprintf(out, "alone %.2f s, %.2f MiB)", (double)cost->ns / NS_PER_S,
                (double)cost->database_bytes / (1 << 20));
    }
}

static void refuse_as_too_dear(const struct rule_plan *plan, bool by_size, const char *what,
                               struct file_place file, struct diagnostics *diagnostics)
{
    struct cost dearest[DEAREST];
    const size_t count = find_dearest(plan, by_size, dearest);
    char *list = NULL;
    size_t list_bytes = 0;
    FILE *const text = open_memstream(&list, &list_bytes);
    if (text == NULL) { abort(); } /* out of memory, in cold code */
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ", " : "", text);
        print_cost(plan, &dearest[i], text);
    }
    if (fclose(text) != 0) { abort(); }
    if (count > 0) { file = plan->patterns[dearest[0].pattern].place; }
    diagnostics_error(diagnostics, file,
                      "%s; the dearest patterns: %s; make their repeats ({1,1000}, nested * and +) "
                      "and alternatives smaller, or raise the limit",
                      what, count > 0 ? list : "none known");
    free(list);
}

static void refuse_time(const struct rule_plan *plan, struct file_place file,
                        struct diagnostics *diagnostics)
{
    char what[128];
    (void)snprintf(what, sizeof what,
                   "the patterns take more than %us to compile (limits: compile)",
                   plan->source->limits.compile_seconds_max);
    refuse_as_too_dear(plan, false, what, file, diagnostics);
}

static void refuse_size(const struct rule_plan *plan, struct file_place file,
                        struct diagnostics *diagnostics)
{
    char size[UNITS_TEXT_BYTES];
    char what[128];
    units_format_size(plan->source->limits.database_bytes_max, size, sizeof size);
    (void)snprintf(what, sizeof what, "the compiled patterns are larger than %s (limits: database)",
                   size);
    refuse_as_too_dear(plan, true, what, file, diagnostics);
}

static void refuse_memory(const struct rule_plan *plan, struct file_place file,
                          struct diagnostics *diagnostics)
{
    refuse_as_too_dear(plan, true,
                       "the patterns take too much memory to compile (limits: database)", file,
                       diagnostics);
}

/* -------------------------------------------------------------------------------- taking them in
 */

/* What hs.cpp says when memory is out, of a pattern that it does not know then. */
static bool is_out_of_memory(struct bytes why)
{
    return bytes_equal_text(why, "Unable to allocate memory.");
}

static void refuse_pattern(const struct rule_plan *plan, const struct message *message,
                           struct file_place file, struct diagnostics *diagnostics)
{
    if (is_out_of_memory(message->body)) {
        refuse_memory(plan, file, diagnostics);
        return;
    }
    const int len_bytes = (int)message->body.len_bytes;
    const char *const why = (const char *)message->body.at;
    if (message->subject >= plan->pattern_count) { /* Hyperscan's own limits do not say which */
        char what[256];
        (void)snprintf(what, sizeof what, "the patterns do not compile together: %.*s", len_bytes,
                       why);
        refuse_as_too_dear(plan, true, what, file, diagnostics);
        return;
    }
    diagnostics_error(diagnostics, plan->patterns[message->subject].place, "bad pattern: %.*s",
                      len_bytes, why);
}

static size_t database_count(const struct rule_plan *plan)
{
    size_t count = 0;
    for (uint32_t look = 0; look < plan->rules->look_count; look++) {
        for (size_t i = 0; i < plan->pattern_count; i++) {
            if (plan->patterns[i].look != look) { continue; }
            count++;
            break;
        }
    }
    return count;
}

/* All databases, or none. The bytes are whole: a child's answer up to its end, or a cache file with
 * its checksum. */
static bool take_databases(struct rule_plan *plan, struct bytes answer)
{
    struct rule_set *const rules = plan->rules;
    struct message message;
    size_t taken = 0;
    bool good = true;
    while (good && take_message(&answer, &message) && message.kind == MESSAGE_DATABASE) {
        good = message.subject < rules->look_count &&
               rules->looks[message.subject].database == NULL &&
               hs_deserialize_database((const char *)message.body.at, message.body.len_bytes,
                                       &rules->looks[message.subject].database) == HS_SUCCESS;
        taken++;
    }
    if (good && taken == database_count(plan)) { return true; }
    for (size_t i = 0; i < rules->look_count; i++) {
        (void)hs_free_database(rules->looks[i].database); /* NULL is fine */
        rules->looks[i].database = NULL;
    }
    return false;
}

/* Says every refusal in a child's answer; false: there was one, or no end. */
static bool check_answer(const struct rule_plan *plan, struct bytes answer, struct file_place file,
                         struct diagnostics *diagnostics)
{
    struct message message;
    bool good = true;
    bool ended = false;
    while (take_message(&answer, &message)) {
        if (message.kind == MESSAGE_REFUSED) {
            refuse_pattern(plan, &message, file, diagnostics);
            good = false;
        } else if (message.kind == MESSAGE_TOO_LARGE) {
            refuse_size(plan, file, diagnostics);
            good = false;
        }
        ended = message.kind == MESSAGE_END;
    }
    if (!ended) { refuse_memory(plan, file, diagnostics); }
    return good && ended;
}

/* ------------------------------------------------------------------------------ cache or compile
 */

static bool compile_in_jail(struct rule_plan *plan, const struct rule_cache_key *key,
                            struct file_place file, struct diagnostics *diagnostics)
{
    const struct rule_jail_limits limits = jail_limits(plan);
    uint8_t *bytes = NULL;
    size_t len_bytes = 0;
    const enum rule_jail_end end = rule_jail_run(&limits, compile_all, plan, &bytes, &len_bytes);
    const struct bytes answer = bytes_of(bytes, len_bytes);
    bool good = false;
    switch (end) {
    case RULE_JAIL_DONE: good = check_answer(plan, answer, file, diagnostics); break;
    case RULE_JAIL_OUT_OF_TIME: refuse_time(plan, file, diagnostics); break;
    case RULE_JAIL_TOO_LARGE: refuse_size(plan, file, diagnostics); break;
    case RULE_JAIL_DIED: refuse_memory(plan, file, diagnostics); break;
    case RULE_JAIL_NO_CHILD:
        diagnostics_error(diagnostics, file, "no process to compile the patterns in: %m");
        break;
    }
    if (good && !take_databases(plan, answer)) {
        diagnostics_error(diagnostics, file, "Hyperscan does not take its own databases back");
        good = false;
    }
    if (good && plan->source->cache_path != NULL) {
        rule_cache_store(plan->source->cache_path, key, answer, file, diagnostics);
    }
    free(bytes);
    return good;
}

static bool take_from_cache(struct rule_plan *plan, const struct rule_cache_key *key)
{
    if (plan->source->cache_path == NULL) { return false; }
    uint8_t *bytes = NULL;
    const size_t len_bytes =
        rule_cache_load(plan->source->cache_path, key, database_bytes_max(plan), &bytes);
    const bool taken = len_bytes > 0 && take_databases(plan, bytes_of(bytes, len_bytes));
    free(bytes);
    return taken;
}

static bool has_redactor(const struct rules_source *source)
{
    for (size_t i = 0; i < source->rule_count; i++) {
        if (source->rules[i].action.redact_pattern != NULL) { return true; }
    }
    return false;
}

bool rule_databases_fill(struct rule_plan *plan, struct file_place file,
                         struct diagnostics *diagnostics)
{
    if (plan->pattern_count == 0 && !has_redactor(plan->source)) { return true; }
    const struct rule_cache_key key = rule_cache_key_of(plan);
    if (take_from_cache(plan, &key)) { return true; }
    return compile_in_jail(plan, &key, file, diagnostics);
}
