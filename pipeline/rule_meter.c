#include "pipeline/rule_meter.h"

#include <rte_meter.h>
#include <stdlib.h>
#include <string.h>

#include "base/entropy.h"
#include "base/invariant.h"
#include "base/large_array.h"
#include "base/siphash.h"
#include "pipeline/rule_keep.h"

enum {
    SET_BUCKETS = 4,
    /* A bucket is filled once a period, of whole nanoseconds and by whole tokens: at 1000 ns and
     * more, rounding the period costs the rate 0.05 % at most. */
    PERIOD_NS_MIN = 1000,
};

static const uint64_t SECOND_NS = 1000000000;

/* Rates and bursts beyond this are the same as none; and no sum of tokens can wrap. */
static const uint64_t TOKENS_MAX = UINT64_C(1) << 50;

struct rule_bucket {
    uint64_t tag; /* of the key; 0: free */
    struct rte_meter_srtcm meter;
};

/* The one used last stands first. */
struct rule_bucket_set {
    struct rule_bucket buckets[SET_BUCKETS];
};

struct rule_meter {
    struct rte_meter_srtcm_profile profile;
    uint64_t fill_ns; /* an empty bucket is full after that */
    uint64_t now_ns;  /* never goes back */
    struct siphash_key key;
    struct rule_bucket_set *sets; /* by field */
    uint32_t set_count;
    struct rule_bucket bucket; /* not by field */
    struct rule_limit limit;   /* its texts are copies behind this */
    char texts[];              /* the field's name, then the rule's */
};

/* ------------------------------------------------------------------------------------ creating */

/* The first workers have one more each until nothing is left; nobody has nothing. */
static uint64_t part_of(uint64_t whole, struct rule_share share)
{
    const uint64_t part =
        whole / share.worker_count + (share.worker < whole % share.worker_count ? 1 : 0);
    if (part == 0) { return 1; }
    return part < TOKENS_MAX ? part : TOKENS_MAX;
}

/* As rte_meter_srtcm_profile_config does it, with nanoseconds in place of TSC cycles: what the
 * simulator's clock counts too, and what needs no EAL. As few tokens a period as the precision
 * allows, so that a small burst is not overrun between two fillings. */
static struct rte_meter_srtcm_profile profile_of(uint64_t rate, uint64_t burst)
{
    const uint64_t tokens = (rate * PERIOD_NS_MIN + SECOND_NS - 1) / SECOND_NS;
    const struct rte_meter_srtcm_profile profile = {
        .cbs = burst,
        .ebs = 0,
        .cir_period = (tokens * SECOND_NS + rate / 2) / rate,
        .cir_bytes_per_period = tokens,
    };
    return profile;
}

/* Whole periods for the burst, and one that has begun. */
static uint64_t fill_ns_of(const struct rte_meter_srtcm_profile *profile)
{
    const uint64_t periods = profile->cbs / profile->cir_bytes_per_period + 2;
    return periods > UINT64_MAX / profile->cir_period ? UINT64_MAX : periods * profile->cir_period;
}

static void bucket_fill(const struct rule_meter *meter, struct rule_bucket *bucket, uint64_t tag)
{
    bucket->tag = tag;
    bucket->meter.time = meter->now_ns;
    bucket->meter.tc = meter->profile.cbs;
    bucket->meter.te = meter->profile.ebs;
}

static enum status create_sets(struct rule_meter *meter)
{
    assert(meter->limit.buckets >= 1 && meter->limit.buckets <= RULES_LIMIT_BUCKETS_MAX);
    meter->set_count = (meter->limit.buckets + SET_BUCKETS - 1) / SET_BUCKETS;
    meter->sets = large_array_create(meter->set_count, sizeof *meter->sets);
    if (meter->sets == NULL) { return STATUS_NO_MEMORY; }
    return entropy_fill(&meter->key, sizeof meter->key);
}

static void copy_limit(struct rule_meter *meter, const struct rule_limit *limit)
{
    const size_t name_bytes = limit->by_field ? limit->field.name.len_bytes : 0;
    meter->limit = *limit;
    if (name_bytes > 0) { memcpy(meter->texts, limit->field.name.at, name_bytes); }
    meter->limit.field.name = bytes_of(meter->texts, name_bytes);
    meter->limit.rule = strcpy(meter->texts + name_bytes, limit->rule);
}

enum status rule_meter_create(const struct rule_limit *limit, struct rule_share share,
                              struct rule_meter **out)
{
    assert(limit->unit != RULE_LIMIT_NONE);
    assert(limit->rate > 0 && limit->burst > 0);
    assert(share.worker < share.worker_count);

    *out = NULL;
    const size_t text_bytes = limit->field.name.len_bytes + strlen(limit->rule) + 1;
    struct rule_meter *const meter = calloc(1, sizeof *meter + text_bytes);
    if (meter == NULL) { return STATUS_NO_MEMORY; }
    copy_limit(meter, limit);
    meter->profile = profile_of(part_of(limit->rate, share), part_of(limit->burst, share));
    meter->fill_ns = fill_ns_of(&meter->profile);
    bucket_fill(meter, &meter->bucket, 0);
    const enum status status = limit->by_field ? create_sets(meter) : STATUS_OK;
    if (status != STATUS_OK) {
        rule_meter_destroy(meter);
        return status;
    }
    *out = meter;
    return STATUS_OK;
}

void rule_meter_destroy(struct rule_meter *meter)
{
    if (meter == NULL) { return; }
    free(meter->sets);
    free(meter);
}

bool rule_meter_is_for(const struct rule_meter *meter, const struct rule_limit *limit)
{
    const struct rule_limit *const own = &meter->limit;
    if (strcmp(own->rule, limit->rule) != 0) { return false; }
    if (own->unit != limit->unit || own->by_field != limit->by_field) { return false; }
    if (own->rate != limit->rate || own->burst != limit->burst) { return false; }
    if (!own->by_field) { return true; }
    return own->buckets == limit->buckets && own->field.kind == limit->field.kind &&
           bytes_equal(own->field.name, limit->field.name);
}

/* -------------------------------------------------------------------------------------- taking */

static bool bucket_take(struct rule_meter *meter, struct rule_bucket *bucket, uint64_t amount)
{
    /* Idle for longer than it takes to fill: forget how long, or the tokens could wrap. */
    if (meter->now_ns - bucket->meter.time > meter->fill_ns) {
        bucket->meter.time = meter->now_ns - meter->fill_ns;
    }
    const enum rte_color color = rte_meter_srtcm_color_blind_check(&bucket->meter, &meter->profile,
                                                                   meter->now_ns, (uint32_t)amount);
    return color == RTE_COLOR_GREEN;
}

/* Moves bucket i to the front; what stood there moves one on. */
static void set_bring_forward(struct rule_bucket_set *set, size_t i)
{
    const struct rule_bucket bucket = set->buckets[i];
    memmove(&set->buckets[1], &set->buckets[0], i * sizeof bucket);
    set->buckets[0] = bucket;
}

/* The set comes from a hash that is the same in every run, so that what makes room for what is too;
 * the tag from a keyed one, so that nobody can find a key that empties another's bucket. */
static struct rule_bucket *find_bucket(struct rule_meter *meter, struct bytes key)
{
    struct rule_bucket_set *const set =
        &meter->sets[(uint32_t)rule_keep_hash(key) % meter->set_count];
    uint64_t tag = siphash24(&meter->key, key);
    if (tag == 0) { tag = 1; }

    size_t i = 0;
    while (i < SET_BUCKETS - 1 && set->buckets[i].tag != tag) { i++; }
    if (set->buckets[i].tag != tag) { bucket_fill(meter, &set->buckets[i], tag); }
    if (i > 0) { set_bring_forward(set, i); }
    return &set->buckets[0];
}

bool rule_meter_take(struct rule_meter *meter, struct bytes key, uint64_t amount, uint64_t now_ns)
{
    assert_hot(amount <= UINT32_MAX);
    if (now_ns > meter->now_ns) { meter->now_ns = now_ns; }
    struct rule_bucket *const bucket =
        meter->sets == NULL ? &meter->bucket : find_bucket(meter, key);
    return bucket_take(meter, bucket, amount);
}
