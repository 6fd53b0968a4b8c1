#include "pipeline/rules.h"

#include <hs.h>
#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "pipeline/rule_actions.h"
#include "pipeline/rule_number.h"
#include "pipeline/rule_scratch.h"
#include "pipeline/rule_set.h"

static void set_bit(uint64_t *words, size_t bit)
{
    words[bit / RULE_WORD_BITS] |= UINT64_C(1) << (bit % RULE_WORD_BITS);
}

static bool has_bit(const uint64_t *words, size_t bit)
{
    return (words[bit / RULE_WORD_BITS] >> (bit % RULE_WORD_BITS) & 1) != 0;
}

/* ----------------------------------------------------------------------------------- searching */

static void make_candidate(struct rule_scratch *scratch, uint32_t rule)
{
    set_bit(scratch->candidates, rule);
    set_bit(scratch->touched, rule / RULE_WORD_BITS);
}

/* An atom that several rules wait for, or that steps ask for. */
static void note_shared_atom(struct rule_scratch *scratch, uint32_t atom, uint32_t trigger)
{
    if ((trigger & RULE_TRIGGER_READ) != 0 && !has_bit(scratch->atoms, atom)) {
        set_bit(scratch->atoms, atom);
        scratch->holding[scratch->holding_count++] = atom;
    }
    const uint32_t number = trigger & RULE_TRIGGER_NUMBER;
    if (number == RULE_TRIGGER_NONE) { return; }
    if ((trigger & RULE_TRIGGER_LIST) == 0) {
        make_candidate(scratch, number);
        return;
    }
    const uint32_t *const list = &scratch->trigger_lists[number];
    for (uint32_t i = 0; i < list[0]; i++) { make_candidate(scratch, list[1 + i]); }
}

/* The atom holds for this record. */
static void note_atom(struct rule_scratch *scratch, uint32_t atom)
{
    const uint32_t trigger = scratch->triggers[atom];
    if (LIKELY(trigger < RULE_TRIGGER_PLAIN_END)) {
        if (trigger != RULE_TRIGGER_NONE) { make_candidate(scratch, trigger); }
    } else {
        note_shared_atom(scratch, atom, trigger);
    }
}

/* Not zero ends the search: a storm. */
static int on_match(unsigned atom, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    struct rule_scratch *const scratch = context;
    note_atom(scratch, atom);
    return ++scratch->pattern_matches > scratch->matches_max;
}

/* False: a storm. */
static bool search_look(const struct rule_look *look, struct rule_scratch *scratch,
                        struct bytes bytes)
{
    const int64_t text = rule_table_find(&look->texts, bytes);
    if (text != RULE_TABLE_NONE) { note_atom(scratch, look->text_atoms[text]); }
    if (look->database == NULL) { return true; }
    assert_hot(bytes.len_bytes <= UINT32_MAX);
    /* Beside our own stop it can refuse only what would be our mistake: a wrong or busy scratch,
     * another build's database. */
    const hs_error_t error =
        hs_scan(look->database, (const char *)bytes.at, (unsigned)bytes.len_bytes, 0,
                scratch->hyperscan, on_match, scratch);
    assert(error == HS_SUCCESS || error == HS_SCAN_TERMINATED);
    return error == HS_SUCCESS;
}

/* The record's headers are fewer than the fields of a large rule set, so they are what is gone
 * through. Of several with one name the first counts. */
static bool search_headers(const struct rule_set *rules, struct rule_scratch *scratch,
                           const struct record *record)
{
    for (size_t i = 0; i < record->header_count; i++) {
        const int64_t number = rule_table_find(&rules->header_names, record->headers[i].name);
        if (number == RULE_TABLE_NONE) { continue; }
        const uint32_t look = rules->header_looks[number];
        if (has_bit(scratch->seen, look)) { continue; }
        set_bit(scratch->seen, look);
        scratch->filled[scratch->filled_count++] = look;
        scratch->contents[look] = record->headers[i].value;
        if (bytes_are_null(scratch->contents[look])) { continue; }
        if (!search_look(&rules->looks[look], scratch, scratch->contents[look])) { return false; }
    }
    return true;
}

void rule_scratch_read_json(const struct rule_set *rules, struct rule_scratch *scratch)
{
    (void)json_paths_find(rules->json_paths, scratch->contents[RULE_LOOK_VALUE], scratch->json_room,
                          scratch->json_found); /* null says it as well */
    for (size_t i = 0; i < rules->json_names.count; i++) {
        scratch->contents[rules->json_looks[i]] = scratch->json_found[i];
    }
    scratch->json_is_read = true;
}

static bool search_json(const struct rule_set *rules, struct rule_scratch *scratch)
{
    if (!rules->json_is_searched) { return true; }
    rule_scratch_read_json(rules, scratch);
    for (size_t i = 0; i < rules->json_names.count; i++) {
        const struct rule_look *const look = &rules->looks[rules->json_looks[i]];
        if (bytes_are_null(scratch->json_found[i])) { continue; }
        if (!search_look(look, scratch, scratch->json_found[i])) { return false; }
    }
    return true;
}

static void search_networks(const struct rule_set *rules, struct rule_scratch *scratch)
{
    const struct bytes source = scratch->contents[RULE_LOOK_SOURCE];
    if (bytes_are_null(source)) { return; }
    for (size_t i = 0; i < rules->prefix_count; i++) {
        uint8_t key[RULE_NETWORK_BYTES];
        rule_network_key(key, source.at, rules->prefixes[i]);
        const int64_t number = rule_table_find(&rules->networks, bytes_of(key, sizeof key));
        if (number != RULE_TABLE_NONE) { note_atom(scratch, rules->network_atoms[number]); }
    }
}

static bool source_is_known(const struct record *record)
{
    return (load_le64(record->source) | load_le64(record->source + 8)) != 0;
}

/* Finds which atoms hold, and with that which rules are to be asked. False: a storm. */
static bool search_record(const struct rule_set *rules, struct rule_scratch *scratch,
                          const struct record *record)
{
    static const uint8_t nothing[1];
    struct bytes *const contents = scratch->contents;
    scratch->record = record;
    scratch->stamp++;
    contents[RULE_LOOK_VALUE] = record->value.len_bytes == 0 ? bytes_of(nothing, 0) : record->value;
    contents[RULE_LOOK_KEY] = record->key;
    contents[RULE_LOOK_SOURCE] =
        source_is_known(record) ? bytes_of(record->source, sizeof record->source) : bytes_null();

    if (!search_look(&rules->looks[RULE_LOOK_VALUE], scratch, contents[RULE_LOOK_VALUE])) {
        return false;
    }
    if (!bytes_are_null(record->key) &&
        !search_look(&rules->looks[RULE_LOOK_KEY], scratch, record->key)) {
        return false;
    }
    if (rules->header_names.count > 0 && !search_headers(rules, scratch, record)) { return false; }
    if (!search_json(rules, scratch)) { return false; }
    if (rules->prefix_count > 0) { search_networks(rules, scratch); }
    return true;
}

/* Clears what this record set, and nothing else. */
static void forget_record(const struct rule_set *rules, struct rule_scratch *scratch)
{
    for (size_t i = 0; i < scratch->holding_count; i++) {
        scratch->atoms[scratch->holding[i] / RULE_WORD_BITS] = 0;
    }
    for (size_t i = 0; i < rule_words(rule_words(rules->rule_count)); i++) {
        for (uint64_t words = scratch->touched[i]; words != 0; words &= words - 1) {
            scratch->candidates[i * RULE_WORD_BITS + (size_t)__builtin_ctzll(words)] = 0;
        }
        scratch->touched[i] = 0;
    }
    for (size_t i = 0; i < scratch->filled_count; i++) {
        scratch->contents[scratch->filled[i]] = bytes_null();
        scratch->seen[scratch->filled[i] / RULE_WORD_BITS] = 0;
    }
    scratch->holding_count = 0;
    scratch->filled_count = 0;
    scratch->pattern_matches = 0;
    scratch->json_is_read = false;
}

/* -------------------------------------------------------------------------------------- asking */

struct bytes rule_scratch_content(const struct rule_set *rules, struct rule_scratch *scratch,
                                  uint32_t look)
{
    const enum rule_field_kind kind = rules->looks[look].field.kind;
    if (kind == RULE_FIELD_JSON && !scratch->json_is_read) {
        rule_scratch_read_json(rules, scratch);
    }
    if (kind == RULE_FIELD_LISTENER) {
        return bytes_of_text(rules->listener_names[scratch->record->listener]);
    }
    return scratch->contents[look];
}

static bool number_compares(const struct rule_set *rules, struct rule_scratch *scratch,
                            const struct rule_step *step)
{
    struct rule_number_memo *const memo = &scratch->numbers[step->operand];
    if (memo->stamp != scratch->stamp) {
        const struct bytes text = rule_scratch_content(rules, scratch, step->operand);
        memo->stamp = scratch->stamp;
        memo->is_number = !bytes_are_null(text) && rule_number_parse(text, &memo->number);
    }
    return memo->is_number &&
           rule_compares((enum rule_comparison)step->comparison, memo->number, step->number);
}

static bool step_is_true(const struct rule_set *rules, struct rule_scratch *scratch,
                         const struct rule_step *step)
{
    switch ((enum rule_step_kind)step->kind) {
    case RULE_STEP_ATOM: return has_bit(scratch->atoms, step->operand);
    case RULE_STEP_LISTENER:
        return rules->answers[step->operand * rules->listener_count + scratch->record->listener];
    case RULE_STEP_NUMBER: return number_compares(rules, scratch, step);
    case RULE_STEP_PRESENT:
    case RULE_STEP_SIZE: break;
    }
    const struct bytes bytes = rule_scratch_content(rules, scratch, step->operand);
    if (bytes_are_null(bytes)) { return false; }
    return step->kind == RULE_STEP_PRESENT || rule_compares((enum rule_comparison)step->comparison,
                                                            (double)bytes.len_bytes, step->number);
}

/* A path of leaves; every step leads to one that was made before it, so the path ends. */
static bool condition_holds(const struct rule_set *rules, struct rule_scratch *scratch,
                            const struct rule_line *line)
{
    uint32_t at = line->first_step;
    while (at < RULE_STEPS_MAX) {
        const struct rule_step *const step = &rules->steps[at];
        at = step_is_true(rules, scratch, step) ? step->when_true : step->when_false;
    }
    return at == RULE_STEP_HOLDS;
}

/* The candidates among the 64 rules of a word, in order. True: one decided. */
static bool ask_word(const struct rule_set *rules, struct rule_scratch *scratch, size_t word,
                     uint64_t candidates, uint64_t now_ns, struct verdict *verdict)
{
    for (; candidates != 0; candidates &= candidates - 1) {
        const size_t rule = word * RULE_WORD_BITS + (size_t)__builtin_ctzll(candidates);
        const struct rule_line *const line = &rules->lines[rule];
        if (!line->is_sure && !condition_holds(rules, scratch, line)) { continue; }
        if (rule_actions_decide(rules, scratch, rule, now_ns, verdict)) { return true; }
    }
    return false;
}

/* Asks what was triggered, and what is a candidate always, in file order. */
static void ask_rules(const struct rule_set *rules, struct rule_scratch *scratch, size_t listener,
                      uint64_t now_ns, struct verdict *verdict)
{
    const size_t words = rule_words(rules->rule_count);
    const size_t summary = rule_words(words);
    const uint64_t *const always = rules->always + listener * words;
    const uint64_t *const always_words = rules->always_words + listener * summary;
    for (size_t i = 0; i < summary; i++) {
        for (uint64_t left = scratch->touched[i] | always_words[i]; left != 0; left &= left - 1) {
            const size_t word = i * RULE_WORD_BITS + (size_t)__builtin_ctzll(left);
            const uint64_t candidates = scratch->candidates[word] | always[word];
            if (ask_word(rules, scratch, word, candidates, now_ns, verdict)) { return; }
        }
    }
}

/* No rule said where to: the topic that the record names, else what its listener's records get. */
static void fall_back(const struct rule_set *rules, const struct record *record,
                      struct verdict *verdict)
{
    const struct rule_fallback *const fallback = &rules->fallbacks[record->listener];
    if (record->topic != RECORD_NO_TOPIC) {
        verdict->topic_count = 1;
        verdict->topics[0] = (uint16_t)record->topic;
    } else if (fallback->drop) {
        verdict->fate = VERDICT_DROP;
    } else {
        verdict->topic_count = fallback->topic_count;
        memcpy(verdict->topics, fallback->topics, sizeof verdict->topics);
    }
}

static void judge_record(const struct rule_set *rules, struct rule_scratch *scratch, size_t index,
                         struct record *record, uint64_t now_ns, struct verdict *verdict)
{
    assert(record->listener < rules->listener_count);
    *verdict = (struct verdict){.fate = VERDICT_STORE, .rule = RULES_NONE};
    scratch->held_count = 0;
    scratch->changing_count = 0;
    if (LIKELY(search_record(rules, scratch, record))) {
        ask_rules(rules, scratch, record->listener, now_ns, verdict);
    } else {
        scratch->totals.storms++;
    }
    if (verdict->fate == VERDICT_STORE && verdict->topic_count == 0) {
        fall_back(rules, record, verdict);
    }
    if (scratch->changing_count > 0 || (scratch->on_example != NULL && scratch->held_count > 0)) {
        rule_actions_change(rules, scratch, index, record);
    }
    forget_record(rules, scratch);
}

void rules_judge(const struct rule_set *rules, struct rule_scratch *scratch, struct record *records,
                 size_t count, uint64_t now_ns, struct verdict *verdicts)
{
    assert(scratch->rules == rules);
    assert(count <= scratch->records_max);
    scratch->key_room_used = 0;
    for (size_t i = 0; i < count; i++) {
        judge_record(rules, scratch, i, &records[i], now_ns, &verdicts[i]);
    }
    scratch->totals.judged += count;
}

/* ----------------------------------------------------------------------------------- the scratch
 */

static enum status allocate_lists(struct rule_scratch *scratch, const struct rule_set *rules,
                                  const struct rule_scratch_options *options)
{
    const size_t words = rule_words(rules->rule_count);
    scratch->contents = calloc(rules->look_count, sizeof *scratch->contents);
    scratch->seen = calloc(rule_words(rules->look_count), sizeof *scratch->seen);
    scratch->filled = calloc(RECORD_HEADERS_MAX, sizeof *scratch->filled);
    scratch->numbers = calloc(rules->look_count, sizeof *scratch->numbers);
    scratch->atoms = calloc(rule_words(rules->atom_count) + 1, sizeof *scratch->atoms);
    scratch->holding = calloc(rules->atom_count + 1, sizeof *scratch->holding);
    scratch->candidates = calloc(words + 1, sizeof *scratch->candidates);
    scratch->touched = calloc(rule_words(words) + 1, sizeof *scratch->touched);
    scratch->held = calloc(rules->rule_count + 1, sizeof *scratch->held);
    scratch->changing = calloc(rules->rule_count + 1, sizeof *scratch->changing);
    scratch->meters = calloc(rules->rule_count + 1, sizeof(struct rule_meter *));
    if (options->counts == NULL) {
        scratch->own_counts = calloc(rules->rule_count + 1, sizeof *scratch->own_counts);
    }
    scratch->counts = options->counts != NULL ? options->counts : scratch->own_counts;
    const bool all =
        scratch->contents != NULL && scratch->seen != NULL && scratch->filled != NULL &&
        scratch->numbers != NULL && scratch->atoms != NULL && scratch->holding != NULL &&
        scratch->candidates != NULL && scratch->touched != NULL && scratch->held != NULL &&
        scratch->changing != NULL && scratch->meters != NULL && scratch->counts != NULL;
    return all ? STATUS_OK : STATUS_NO_MEMORY;
}

/* What only some rule sets need. Touched here, so that no page is missing later. */
static enum status allocate_rooms(struct rule_scratch *scratch, const struct rule_set *rules)
{
    if (rules->json_paths != NULL) {
        scratch->json_room = malloc(sizeof *scratch->json_room);
        scratch->json_found = calloc(rules->json_names.count, sizeof *scratch->json_found);
        if (scratch->json_room == NULL || scratch->json_found == NULL) { return STATUS_NO_MEMORY; }
        json_room_init(scratch->json_room);
    }
    if (rules->sets_keys) {
        scratch->key_room = malloc(RULE_KEY_ROOM_BYTES);
        if (scratch->key_room == NULL) { return STATUS_NO_MEMORY; }
        memset(scratch->key_room, 0, RULE_KEY_ROOM_BYTES);
    }
    if (rules->adds_headers) {
        const size_t bytes = scratch->records_max * RECORD_HEADERS_MAX * sizeof *scratch->headers;
        scratch->headers = malloc(bytes > 0 ? bytes : 1);
        if (scratch->headers == NULL) { return STATUS_NO_MEMORY; }
        memset(scratch->headers, 0, bytes);
    }
    return STATUS_OK;
}

static enum status allocate_hyperscan(struct rule_scratch *scratch, const struct rule_set *rules)
{
    for (size_t i = 0; i < rules->look_count; i++) { /* grows to what the largest needs */
        if (rules->looks[i].database == NULL) { continue; }
        const hs_error_t error = hs_alloc_scratch(rules->looks[i].database, &scratch->hyperscan);
        if (error != HS_SUCCESS) { return error == HS_NOMEM ? STATUS_NO_MEMORY : STATUS_INVALID; }
    }
    for (size_t i = 0; i < rules->deed_count; i++) {
        if (rules->deeds[i].redactor == NULL) { continue; }
        const enum status status =
            rule_redactor_scratch(rules->deeds[i].redactor, &scratch->hyperscan);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

static enum status find_meters(struct rule_scratch *scratch, const struct rule_set *rules,
                               const struct rule_scratch_options *options)
{
    struct rule_meters *meters = options->meters;
    if (meters == NULL) {
        enum status status = rule_meters_create(&scratch->own_meters);
        if (status != STATUS_OK) { return status; }
        meters = scratch->own_meters;
        status = rule_meters_prepare(meters, rules, options->worker, options->worker_count);
        if (status != STATUS_OK) { return status; }
    }
    for (size_t i = 0; i < rules->rule_count; i++) {
        const struct rule_deed *const deed = rules->lines[i].deed;
        if (deed == NULL || deed->limit_unit == RULE_LIMIT_NONE) { continue; }
        scratch->meters[i] = rule_meters_find(meters, rules, i);
    }
    return STATUS_OK;
}

static void take_over(struct rule_scratch *scratch, const struct rule_set *rules,
                      const struct rule_scratch_options *options)
{
    scratch->rules = rules;
    scratch->triggers = rules->triggers;
    scratch->trigger_lists = rules->trigger_lists;
    scratch->matches_max = rules->matches_max > 0 ? rules->matches_max : UINT32_MAX;
    scratch->records_max = options->records_max;
    scratch->on_example = rules->example_count > 0 ? options->on_example : NULL;
    scratch->context = options->context;
}

enum status rule_scratch_create(const struct rule_set *rules,
                                const struct rule_scratch_options *options,
                                struct rule_scratch **out)
{
    assert(options->worker_count > 0);
    assert(options->worker < options->worker_count);
    *out = NULL;
    struct rule_scratch *const scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) { return STATUS_NO_MEMORY; }
    take_over(scratch, rules, options);
    enum status status = allocate_lists(scratch, rules, options);
    if (status == STATUS_OK) { status = allocate_rooms(scratch, rules); }
    if (status == STATUS_OK) { status = allocate_hyperscan(scratch, rules); }
    if (status == STATUS_OK) { status = find_meters(scratch, rules, options); }
    if (status != STATUS_OK) {
        rule_scratch_destroy(scratch);
        return status;
    }
    *out = scratch;
    return STATUS_OK;
}

void rule_scratch_destroy(struct rule_scratch *scratch)
{
    if (scratch == NULL) { return; }
    (void)hs_free_scratch(scratch->hyperscan); /* refuses only a scratch in use */
    rule_meters_destroy(scratch->own_meters);
    free(scratch->contents);
    free(scratch->seen);
    free(scratch->filled);
    free(scratch->numbers);
    free(scratch->atoms);
    free(scratch->holding);
    free(scratch->candidates);
    free(scratch->touched);
    free(scratch->held);
    free(scratch->changing);
    free(scratch->meters);
    free(scratch->own_counts);
    free(scratch->json_room);
    free(scratch->json_found);
    free(scratch->key_room);
    free(scratch->headers);
    free(scratch);
}

struct rule_totals rule_scratch_totals(const struct rule_scratch *scratch)
{
    return scratch->totals;
}

size_t rule_scratch_matched(const struct rule_scratch *scratch, int32_t *out, size_t capacity)
{
    for (size_t i = 0; i < scratch->held_count && i < capacity; i++) { out[i] = scratch->held[i]; }
    return scratch->held_count;
}
