/* `limit`: how much a rule lets through. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "pipeline/rules_reading.h"

enum {
    BUCKETS_DEFAULT = 4096,
    RATE_RECORDS_MAX = 1000000000, /* a second */
    RATE_TEXT_BYTES = 32,
};

static const uint64_t rate_bytes_max = UINT64_C(1) << 40; /* a second */

/* "1000/s" or "10MiB/s". */
static void read_rate(const struct rules_reading *reading, const struct yaml_node *node,
                      enum rule_limit_unit unit, struct rule_action *out)
{
    const bool of_records = unit == RULE_LIMIT_RECORDS;
    const uint64_t most = of_records ? RATE_RECORDS_MAX : rate_bytes_max;
    char amount[RATE_TEXT_BYTES];
    const char *const text =
        rules_read_scalar(reading, node, of_records ? "a rate: 1000/s" : "a rate: 10MiB/s");
    if (text == NULL) { return; }

    const size_t amount_bytes = strcspn(text, "/");
    snprintf(amount, sizeof amount, "%.*s", (int)amount_bytes, text);
    uint64_t rate;
    const bool is_amount =
        amount_bytes < sizeof amount &&
        (of_records ? units_parse_integer(amount, &rate) : units_parse_size(amount, &rate));
    if (!is_amount || strcmp(text + amount_bytes, "/s") != 0) {
        rules_refuse(reading, node->place, "'%s' is no rate; write %s, so much a second", text,
                     of_records ? "1000/s" : "10MiB/s");
        return;
    }
    if (rate < 1 || rate > most) {
        rules_refuse(reading, node->place, "a rate of '%s'; it must be from 1/s to %s", text,
                     of_records ? "1000000000/s" : "1TiB/s");
        return;
    }
    out->limit_unit = unit;
    out->limit_rate = rate;
}

static void read_burst(const struct rules_reading *reading, const struct yaml_node *node,
                       struct rule_action *out)
{
    out->limit_burst = out->limit_rate;
    if (node == NULL) { return; }
    const bool is_read =
        out->limit_unit == RULE_LIMIT_BYTES
            ? rules_read_size(reading, node, "burst", 1, rate_bytes_max, &out->limit_burst)
            : rules_read_integer(reading, node, "burst", 1, RATE_RECORDS_MAX, &out->limit_burst);
    if (!is_read) { out->limit_burst = 0; }
}

static bool is_power_of_two(uint64_t number) { return (number & (number - 1)) == 0; }

static uint64_t power_of_two_behind(uint64_t number)
{
    uint64_t power = 1;
    while (power < number) { power *= 2; }
    return power;
}

/* A set of buckets is found by some bits of a hash: that is why only powers of two will do. */
static void read_buckets(struct rules_reading *reading, const struct yaml_node *node,
                         struct file_place place, struct rule_action *out)
{
    uint64_t buckets = BUCKETS_DEFAULT;
    if (node != NULL) {
        place = node->place;
        if (!rules_read_integer(reading, node, "buckets", RULES_LIMIT_BUCKETS_MIN,
                                RULES_LIMIT_BUCKETS_MAX, &buckets)) {
            return;
        }
    }
    if (!is_power_of_two(buckets)) {
        rules_refuse(reading, place,
                     "'buckets' is %" PRIu64 "; it must be a power of two: %" PRIu64 ", say",
                     buckets, power_of_two_behind(buckets));
        return;
    }
    out->limit_buckets = (uint32_t)buckets;
    const uint64_t before = reading->bucket_count;
    reading->bucket_count += buckets;
    if (before <= RULES_LIMIT_BUCKETS_MAX && reading->bucket_count > RULES_LIMIT_BUCKETS_MAX) {
        rules_refuse(reading, place,
                     "with this limit all rules together have more than %d buckets; give some "
                     "fewer",
                     (int)RULES_LIMIT_BUCKETS_MAX);
    }
}

void rules_read_limit(struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_action *out)
{
    static const char *const keys[] = {"records", "bytes", "burst", "by", "buckets", NULL};
    if (node->kind != YAML_MAP) {
        rules_refuse(reading, node->place, "must be a limit: { records: 1000/s }");
        return;
    }
    rules_check_keys(reading, node, "key of a limit", keys);
    const struct yaml_node *const records = yaml_map_get(node, "records");
    const struct yaml_node *const bytes = yaml_map_get(node, "bytes");
    if ((records == NULL) == (bytes == NULL)) {
        rules_refuse(reading, node->place,
                     "a limit is of records or of bytes: { records: 1000/s } or { bytes: "
                     "10MiB/s }");
        return;
    }
    read_rate(reading, records != NULL ? records : bytes,
              records != NULL ? RULE_LIMIT_RECORDS : RULE_LIMIT_BYTES, out);
    read_burst(reading, yaml_map_get(node, "burst"), out);

    const struct yaml_node *const by = yaml_map_get(node, "by");
    const struct yaml_node *const buckets = yaml_map_get(node, "buckets");
    if (by != NULL) {
        out->limit_by_field = rules_read_field(reading, by, &out->limit_field);
        read_buckets(reading, buckets, by->place, out);
    } else if (buckets != NULL) {
        rules_refuse(reading, buckets->place,
                     "'buckets' are for a limit by a field: { records: 1000/s, by: key }");
    }
}
