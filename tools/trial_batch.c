#include "tools/trial_batch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/clock.h"

struct trial_batch {
    const struct rule_set *rules;
    struct rule_scratch *scratch;
    struct record_copy copies[TRIAL_BATCH_RECORDS];
    struct record records[TRIAL_BATCH_RECORDS];
    struct verdict verdicts[TRIAL_BATCH_RECORDS];
};

enum status trial_batch_create(const struct rule_set *rules, struct trial_batch **out)
{
    *out = NULL;
    struct rule_scratch *scratch;
    const struct rule_scratch_options options = {.records_max = TRIAL_BATCH_RECORDS,
                                                 .worker_count = 1};
    const enum status status = rule_scratch_create(rules, &options, &scratch);
    if (status != STATUS_OK) { return status; }
    struct trial_batch *const batch = allocate_zeroed(1, sizeof *batch);
    batch->rules = rules;
    batch->scratch = scratch;
    *out = batch;
    return STATUS_OK;
}

void trial_batch_destroy(struct trial_batch *batch)
{
    if (batch == NULL) { return; }
    rule_scratch_destroy(batch->scratch);
    for (size_t i = 0; i < TRIAL_BATCH_RECORDS; i++) { record_copy_deinit(&batch->copies[i]); }
    free(batch);
}

uint64_t trial_batch_judge(struct trial_batch *batch, const struct record *records, size_t count,
                           uint64_t now_ns)
{
    assert(count <= TRIAL_BATCH_RECORDS);
    for (size_t i = 0; i < count; i++) {
        record_copy_take(&batch->copies[i], &records[i]);
        batch->records[i] = batch->copies[i].record;
    }
    const uint64_t began_ns = clock_mono_ns();
    rules_judge(batch->rules, batch->scratch, batch->records, count, now_ns, batch->verdicts);
    return clock_mono_ns() - began_ns;
}
