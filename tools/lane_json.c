#include "tools/lane_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "wire/lane_format.h"
#include "wire/log_format.h"

/* ------------------------------------------------------------------------------------- JSON */

static const char *fate_text(uint8_t fate)
{
    switch (fate) {
    case NATIVE_STORED: return "stored";
    case NATIVE_DROPPED: return "dropped";
    case NATIVE_LOST: return "lost";
    case NATIVE_TOO_LARGE: return "too large";
    case NATIVE_NO_TOPIC: return "no topic";
    case NATIVE_NOT_ALLOWED: return "not allowed";
    case NATIVE_QUOTA: return "quota";
    case NATIVE_MALFORMED_RECORD: return "malformed";
    }
    return fate < NATIVE_REFUSED ? "unknown" : "refused";
}

static json_t *lane_run_json(const struct lane_run *run)
{
    json_t *const out = json_pack("{s:s, s:i, s:I}", "fate", fate_text(run->fate), "code",
                                  (int)run->fate, "count", (json_int_t)run->count);
    if (run->topic != LOG_NO_TOPIC) {
        json_object_set_new(out, "topic", json_integer(run->topic));
        json_object_set_new(out, "base_offset", json_integer((json_int_t)run->base_offset));
    }
    return out;
}

/* Hashes are 64 bits, JSON's integers 63: as text. */
static json_t *hash_json(uint64_t hash)
{
    char text[2 * sizeof hash + 1];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_string(text);
}

static json_t *lane_json(const struct lane_item *item)
{
    const struct lane_state *const state = &item->state;
    char producer[2 * NATIVE_PRODUCER_ID_BYTES + 1];
    for (size_t i = 0; i < NATIVE_PRODUCER_ID_BYTES; i++) {
        snprintf(producer + 2 * i, 3, "%02x", state->key.producer.bytes[i]);
    }
    json_t *const fates = json_array();
    for (uint32_t i = 0; i < item->run_count; i++) {
        const struct lane_run run = lane_item_run(item, i);
        json_array_append_new(fates, lane_run_json(&run));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:b, s:b, s:b, s:o}",
                     "producer", producer, "lane", (json_int_t)state->key.number, "home",
                     (json_int_t)state->home, "epoch", (json_int_t)state->epoch, "first_sequence",
                     (json_int_t)item->first_sequence, "last_sequence",
                     (json_int_t)state->last_sequence, "confirmed", (json_int_t)state->confirmed,
                     "hash", hash_json(state->hash), "unstored", hash_json(item->unstored),
                     "active_wall_ms", (json_int_t)state->active_wall_ms, "checkpoint",
                     (item->flags & LANE_CHECKPOINT) != 0, "imported",
                     (item->flags & LANE_IMPORTED) != 0, "forgotten",
                     (item->flags & LANE_FORGOTTEN) != 0, "fates", fates);
}

json_t *lane_json_of_entry(struct bytes entry)
{
    json_t *const lanes = json_array();
    struct lane_item item;
    while (lane_item_decode(&entry, &item) == STATUS_OK) {
        json_array_append_new(lanes, lane_json(&item));
    }
    return lanes;
}

/* ------------------------------------------------------------------------------------- text */

static long long field(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void lane_print(const json_t *lane)
{
    printf("    lane %s/%lld: home %lld, epoch %lld, confirmed %lld, last %lld%s%s%s\n",
           json_string_value(json_object_get(lane, "producer")), field(lane, "lane"),
           field(lane, "home"), field(lane, "epoch"), field(lane, "confirmed"),
           field(lane, "last_sequence"),
           json_is_true(json_object_get(lane, "checkpoint")) ? ", checkpoint" : "",
           json_is_true(json_object_get(lane, "imported")) ? ", imported" : "",
           json_is_true(json_object_get(lane, "forgotten")) ? ", forgotten" : "");
    long long sequence = field(lane, "first_sequence");
    size_t i;
    const json_t *run;
    json_array_foreach(json_object_get(lane, "fates"), i, run)
    {
        const long long count = field(run, "count");
        printf("      sequences %lld..%lld %s", sequence, sequence + count - 1,
               json_string_value(json_object_get(run, "fate")));
        if (json_object_get(run, "topic") != NULL) {
            printf(", topic %lld from offset %lld", field(run, "topic"), field(run, "base_offset"));
        }
        putchar('\n');
        sequence += count;
    }
}

void lane_json_print(const json_t *entry)
{
    printf("    lanes: %zu, %lld bytes%s\n", json_array_size(json_object_get(entry, "lanes")),
           field(entry, "bytes"), json_is_true(json_object_get(entry, "holds")) ? "" : "  DAMAGED");
    size_t i;
    const json_t *lane;
    json_array_foreach(json_object_get(entry, "lanes"), i, lane) { lane_print(lane); }
}
