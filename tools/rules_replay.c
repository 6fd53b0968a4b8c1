#include "tools/rules_replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "pipeline/rules_compile.h"
#include "tools/trial_report.h"

/* --------------------------------------------------------------------------------------- sides */

static bool can_be_judged(const struct rule_source *rule)
{
    return !candidate_condition_asks(&rule->when, RULE_FIELD_SOURCE) &&
           !candidate_condition_asks(&rule->when, RULE_FIELD_LISTENER);
}

/* The set without the rules that ask for what is not on disk. */
static bool side_compile(struct replay_side *side, struct diagnostics *diagnostics)
{
    const struct rules_source *const whole = side->candidate.source;
    struct rule_source *const kept = allocate_zeroed(whole->rule_count, sizeof *kept);
    side->original = allocate_zeroed(whole->rule_count, sizeof side->original[0]);
    side->names = allocate_zeroed(whole->rule_count, sizeof side->names[0]);
    side->left_out = allocate_zeroed(whole->rule_count, sizeof side->left_out[0]);
    for (size_t i = 0; i < whole->rule_count; i++) {
        if (!can_be_judged(&whole->rules[i])) {
            side->left_out[side->left_out_count++] = i;
            continue;
        }
        side->original[side->rule_count] = i;
        kept[side->rule_count++] = whole->rules[i];
    }
    struct rules_source source = *whole;
    source.rules = kept;
    source.rule_count = side->rule_count;
    side->rules = rules_compile(&source, whole->file, diagnostics);
    free(kept);
    if (side->rules == NULL) { return false; }
    if (trial_create(side->rules, &side->trial) == STATUS_OK &&
        trial_batch_create(side->rules, &side->batch) == STATUS_OK) {
        return true;
    }
    diagnostics_error(diagnostics, whole->file, "no memory to judge with");
    return false;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct replay_rule *)left)->name,
                  ((const struct replay_rule *)right)->name);
}

/* Every name once. */
static void rules_unite(struct rules_replay *replay)
{
    const struct replay_side *const sides = replay->sides;
    const size_t room = sides[0].rule_count + sides[1].rule_count;
    replay->rules = allocate_zeroed(room, sizeof replay->rules[0]);
    size_t count = 0;
    for (size_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < sides[side].rule_count; i++) {
            replay->rules[count++].name = rule_set_rule_name(sides[side].rules, i);
        }
    }
    if (count > 1) { qsort(replay->rules, count, sizeof replay->rules[0], by_name); }
    for (size_t i = 0; i < count; i++) {
        const bool again = replay->rule_count > 0 &&
                           by_name(&replay->rules[replay->rule_count - 1], &replay->rules[i]) == 0;
        if (!again) { replay->rules[replay->rule_count++] = replay->rules[i]; }
    }
    for (size_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < sides[side].rule_count; i++) {
            const struct replay_rule key = {.name = rule_set_rule_name(sides[side].rules, i)};
            const struct replay_rule *const found =
                bsearch(&key, replay->rules, replay->rule_count, sizeof key, by_name);
            sides[side].names[i] = (size_t)(found - replay->rules);
        }
    }
}

bool rules_replay_begin(struct rules_replay *replay, struct diagnostics *diagnostics)
{
    if (!side_compile(&replay->sides[0], diagnostics)) { return false; }
    if (!side_compile(&replay->sides[1], diagnostics)) { return false; }
    rules_unite(replay);
    return true;
}

/* ------------------------------------------------------------------------------------- judging */

static void example_keep(char **examples, const struct log_export_record *from)
{
    char shown[TRIAL_SHOWN_BYTES + 4];
    char text[TRIAL_SHOWN_BYTES + LOG_TOPIC_NAME_BYTES_MAX + 64];
    for (size_t i = 0; i < REPLAY_EXAMPLES_MAX; i++) {
        if (examples[i] != NULL) { continue; }
        snprintf(text, sizeof text, "%s/%" PRIu32 "/%" PRId64 ": %s", from->topic, from->partition,
                 from->record->offset, trial_shown(from->record->value, shown));
        examples[i] = allocate_text(text);
        return;
    }
}

static void hits_take(struct rules_replay *replay, const struct trial_outcome *outcomes,
                      const struct log_export_record *from)
{
    for (size_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < outcomes[side].matched_count; i++) {
            struct replay_rule *const rule =
                &replay->rules[replay->sides[side].names[outcomes[side].matched[i]]];
            rule->hits[side]++;
            rule->seen[side] = replay->records;
        }
    }
    for (size_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < outcomes[side].matched_count; i++) {
            struct replay_rule *const rule =
                &replay->rules[replay->sides[side].names[outcomes[side].matched[i]]];
            if (rule->seen[1 - side] == replay->records) { continue; }
            uint64_t *const counted = side == REPLAY_CANDIDATE ? &rule->gained : &rule->lost;
            (*counted)++;
            example_keep(rule->examples[side], from);
        }
    }
}

static bool same_verdict(const struct verdict *left, const struct verdict *right)
{
    if (left->fate != VERDICT_STORE || right->fate != VERDICT_STORE) {
        return left->fate == right->fate;
    }
    return left->topic_count == right->topic_count &&
           memcmp(left->topics, right->topics, left->topic_count * sizeof left->topics[0]) == 0;
}

static bool same_contents(const struct record *left, const struct record *right)
{
    if (!bytes_equal(left->key, right->key) || !bytes_equal(left->value, right->value)) {
        return false;
    }
    if (bytes_are_null(left->key) != bytes_are_null(right->key)) { return false; }
    if (left->header_count != right->header_count) { return false; }
    for (size_t i = 0; i < left->header_count; i++) {
        if (!bytes_equal(left->headers[i].name, right->headers[i].name)) { return false; }
        if (!bytes_equal(left->headers[i].value, right->headers[i].value)) { return false; }
    }
    return true;
}

static void change_take(struct rules_replay *replay, const struct verdict *before,
                        const struct verdict *after)
{
    replay->changed++;
    for (size_t i = 0; i < replay->change_count; i++) {
        struct replay_change *const change = &replay->changes[i];
        if (!same_verdict(&change->before, before) || !same_verdict(&change->after, after)) {
            continue;
        }
        change->count++;
        return;
    }
    if (replay->change_count == REPLAY_CHANGES_MAX) {
        replay->changed_beyond++;
        return;
    }
    replay->changes[replay->change_count++] = (struct replay_change){*before, *after, 1};
}

static void cost_take(struct rules_replay *replay)
{
    struct record records[TRIAL_BATCH_RECORDS];
    for (size_t i = 0; i < replay->waiting_count; i++) { records[i] = replay->waiting[i].record; }
    /* Which is first alternates: the second finds the records in the cache. */
    const size_t first = replay->records / TRIAL_BATCH_RECORDS % 2;
    for (size_t i = 0; i < 2 && replay->waiting_count > 0; i++) {
        struct replay_side *const side = &replay->sides[i ^ first];
        side->judge_ns +=
            trial_batch_judge(side->batch, records, replay->waiting_count, replay->clock.now_ns);
    }
    replay->waiting_count = 0;
}

static void judge(struct rules_replay *replay, const struct record *record,
                  const struct log_export_record *from)
{
    struct trial_outcome outcomes[2];
    const uint64_t now_ns = trial_clock_at(&replay->clock, true, record->timestamp_ms);
    for (size_t side = 0; side < 2; side++) {
        trial_judge(replay->sides[side].trial, record, now_ns, &outcomes[side]);
    }
    replay->records++;
    hits_take(replay, outcomes, from);
    if (!same_verdict(&outcomes[0].verdict, &outcomes[1].verdict)) {
        change_take(replay, &outcomes[0].verdict, &outcomes[1].verdict);
    } else if (outcomes[0].verdict.fate == VERDICT_STORE &&
               !same_contents(&outcomes[0].after, &outcomes[1].after)) {
        replay->contents_changed++;
    }
}

bool rules_replay_record(void *context, const struct log_export_record *from)
{
    struct rules_replay *const replay = context;
    struct record_header headers[RECORD_HEADERS_MAX];
    struct record_batch_record stored = *from->record;
    struct record record = {
        .key = stored.key,
        .value = stored.value,
        .timestamp_ms = stored.timestamp_ms,
        .headers = headers,
        .topic = RECORD_NO_TOPIC,
    };
    struct bytes name;
    struct bytes value;
    while (record.header_count < RECORD_HEADERS_MAX &&
           record_batch_next_header(&stored, &name, &value) == STATUS_OK) {
        headers[record.header_count++] = (struct record_header){name, value};
    }
    if (replay->records == 0 || record.timestamp_ms < replay->first_timestamp_ms) {
        replay->first_timestamp_ms = record.timestamp_ms;
    }
    if (replay->records == 0 || record.timestamp_ms > replay->last_timestamp_ms) {
        replay->last_timestamp_ms = record.timestamp_ms;
    }
    judge(replay, &record, from);
    record_copy_take(&replay->waiting[replay->waiting_count++], &record);
    if (replay->waiting_count == TRIAL_BATCH_RECORDS) { cost_take(replay); }
    return true;
}

void rules_replay_end(struct rules_replay *replay) { cost_take(replay); }

static void side_deinit(struct replay_side *side)
{
    trial_destroy(side->trial);
    trial_batch_destroy(side->batch);
    rule_set_destroy(side->rules);
    free(side->original);
    free(side->names);
    free(side->left_out);
    candidate_deinit(&side->candidate);
}

void rules_replay_deinit(struct rules_replay *replay)
{
    for (size_t i = 0; i < replay->rule_count; i++) {
        for (size_t j = 0; j < REPLAY_EXAMPLES_MAX; j++) {
            free(replay->rules[i].examples[0][j]);
            free(replay->rules[i].examples[1][j]);
        }
    }
    free(replay->rules);
    for (size_t i = 0; i < TRIAL_BATCH_RECORDS; i++) { record_copy_deinit(&replay->waiting[i]); }
    side_deinit(&replay->sides[0]);
    side_deinit(&replay->sides[1]);
    *replay = (struct rules_replay){0};
}
