#include "tools/trial.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"

struct trial {
    const struct rule_set *rules;
    struct rule_scratch *scratch;
    struct record_copy copy;
    int32_t *matched;
    size_t matched_capacity;
    uint64_t storms;
};

/* Rate limits must find a clock that has run for a while: at 0 nothing has happened yet. */
enum { TRIAL_FIRST_S = 1000 };

enum status trial_create(const struct rule_set *rules, struct trial **out)
{
    *out = NULL;
    struct rule_scratch *scratch;
    const struct rule_scratch_options options = {.records_max = 1, .worker_count = 1};
    const enum status status = rule_scratch_create(rules, &options, &scratch);
    if (status != STATUS_OK) { return status; }
    struct trial *const trial = allocate_zeroed(1, sizeof *trial);
    trial->rules = rules;
    trial->scratch = scratch;
    trial->matched_capacity = rule_set_rule_count(rules);
    trial->matched = allocate_zeroed(trial->matched_capacity, sizeof trial->matched[0]);
    *out = trial;
    return STATUS_OK;
}

void trial_destroy(struct trial *trial)
{
    if (trial == NULL) { return; }
    rule_scratch_destroy(trial->scratch);
    record_copy_deinit(&trial->copy);
    free(trial->matched);
    free(trial);
}

/* ---------------------------------------------------------------------------------- the record */

/* Where the bytes stand in the copy; what lies inside of the value is shared with it. */
static struct bytes piece_copy(struct bytes piece, struct bytes value, struct bytes value_copy,
                               uint8_t **at)
{
    if (bytes_are_null(piece)) { return piece; }
    if (!bytes_are_null(value) && piece.at >= value.at &&
        piece.at + piece.len_bytes <= value.at + value.len_bytes && value.len_bytes > 0) {
        return bytes_of(value_copy.at + (piece.at - value.at), piece.len_bytes);
    }
    uint8_t *const here = *at;
    if (piece.len_bytes > 0) { memcpy(here, piece.at, piece.len_bytes); }
    *at += piece.len_bytes;
    return bytes_of(here, piece.len_bytes);
}

void record_copy_take(struct record_copy *copy, const struct record *from)
{
    size_t room = from->key.len_bytes + from->value.len_bytes + 1;
    for (size_t i = 0; i < from->header_count; i++) {
        room += from->headers[i].name.len_bytes + from->headers[i].value.len_bytes;
    }
    if (room > copy->capacity_bytes) {
        free(copy->memory);
        copy->memory = allocate_zeroed(1, room);
        copy->capacity_bytes = room;
    }
    uint8_t *at = copy->memory;
    copy->record = *from;
    copy->record.value = piece_copy(from->value, bytes_null(), bytes_null(), &at);
    copy->record.key = piece_copy(from->key, from->value, copy->record.value, &at);
    for (size_t i = 0; i < from->header_count; i++) {
        const struct record_header *const header = &from->headers[i];
        copy->headers[i].name = piece_copy(header->name, from->value, copy->record.value, &at);
        copy->headers[i].value = piece_copy(header->value, from->value, copy->record.value, &at);
    }
    copy->record.headers = from->header_count > 0 ? copy->headers : NULL;
}

void record_copy_deinit(struct record_copy *copy)
{
    free(copy->memory);
    copy->memory = NULL;
    copy->capacity_bytes = 0;
}

/* ------------------------------------------------------------------------------------- judging */

void trial_judge(struct trial *trial, const struct record *record, uint64_t now_ns,
                 struct trial_outcome *out)
{
    record_copy_take(&trial->copy, record);
    out->before = record;
    out->after = trial->copy.record;
    rules_judge(trial->rules, trial->scratch, &out->after, 1, now_ns, &out->verdict);
    const uint64_t storms = rule_scratch_totals(trial->scratch).storms;
    out->storm = storms != trial->storms;
    trial->storms = storms;
    out->matched = trial->matched;
    out->matched_count =
        rule_scratch_matched(trial->scratch, trial->matched, trial->matched_capacity);
    assert(out->matched_count <= trial->matched_capacity);
}

uint64_t trial_clock_at(struct trial_clock *clock, bool has_timestamp, int64_t timestamp_ms)
{
    if (!clock->begun) {
        clock->begun = true;
        clock->first_ms = timestamp_ms;
        clock->now_ns = (uint64_t)TRIAL_FIRST_S * NS_PER_S;
    }
    if (!has_timestamp || timestamp_ms <= clock->first_ms) { return clock->now_ns; }
    const uint64_t since_ms = (uint64_t)timestamp_ms - (uint64_t)clock->first_ms;
    const uint64_t since_max_ms = UINT64_MAX / 2 / NS_PER_MS;
    const uint64_t at_ns = (uint64_t)TRIAL_FIRST_S * NS_PER_S +
                           (since_ms < since_max_ms ? since_ms : since_max_ms) * NS_PER_MS;
    if (at_ns > clock->now_ns) { clock->now_ns = at_ns; }
    return clock->now_ns;
}
