/* ListOffsets (2), versions 1-9: where a partition begins and ends, and what stood there at a time.
 *
 * A timestamp is answered to the record: the index names the batch, the batch is read and walked.
 * That may need the disk, so the request is answered partition by partition, and one that has to
 * wait is parsed again when it goes on. */
#include <limits.h>
#include <stdlib.h>

#include "serve/kafka_error.h"
#include "serve/kafka_partition.h"
#include "serve/kafka_request.h"
#include "wire/record_batch.h"
#include "wire/record_codec.h"

enum {
    TIMESTAMP_LATEST = -1,
    TIMESTAMP_EARLIEST = -2,
    TIMESTAMP_MAX = -3,            /* since version 7 */
    TIMESTAMP_EARLIEST_LOCAL = -4, /* since version 8: everything is local */
    TIMESTAMP_LATEST_TIERED = -5,  /* since version 9: nothing is tiered */
    VERSION_OFFSET_NOT_AVAILABLE = 5,
    TOPIC_BYTES_MIN = 2,
    PARTITION_BYTES_MIN = 12,
    BATCHES_WALKED_MAX = 4096,
};

struct listed_offset {
    enum kafka_error error;
    int64_t timestamp_ms;
    int64_t offset;
    int32_t leader_epoch;
};

static const struct listed_offset nothing_listed = {KAFKA_NONE, -1, -1, -1};

static struct listed_offset listed_error(enum kafka_error error)
{
    struct listed_offset out = nothing_listed;
    out.error = error;
    return out;
}

static struct listed_offset listed_at(const struct kafka_partition *partition, int64_t timestamp_ms,
                                      uint64_t offset)
{
    const struct listed_offset out = {KAFKA_NONE, timestamp_ms, (int64_t)offset,
                                      (int32_t)partition->marks.leader_epoch};
    return out;
}

/* The first record of the batch whose timestamp is at least `least_ms`. The index promised one; a
 * batch where it is missing does not hold what its header says. */
static enum status walk_to_record(struct record_batch_walk *walk, int64_t least_ms,
                                  struct listed_offset *out)
{
    struct record_batch_record record;
    while (record_batch_next(walk, &record) == STATUS_OK) {
        if (record.timestamp_ms < least_ms) { continue; }
        out->timestamp_ms = record.timestamp_ms;
        out->offset = record.offset;
        return STATUS_OK;
    }
    return STATUS_INVALID;
}

static enum status find_record(struct bytes batch, int64_t least_ms, struct listed_offset *out)
{
    struct record_batch_header header;
    struct record_batch_walk walk;
    uint8_t *unpacked;
    if (record_batch_header_decode(batch, &header) != STATUS_OK) { return STATUS_INVALID; }
    if (record_codec_walk_begin(&walk, batch, &header, &unpacked) != STATUS_OK) {
        return STATUS_INVALID;
    }
    const enum status status = walk_to_record(&walk, least_ms, out);
    free(unpacked);
    return status;
}

/* The end of the answer serves as scratch for the batch, and is cut off again. */
static enum status read_record(struct kafka_request *request, const struct batch_location *location,
                               int64_t least_ms, struct listed_offset *out)
{
    struct kafka_output *const answer = &request->out;
    const size_t mark_bytes = answer->len_bytes;
    uint8_t *const scratch = kafka_output_take(answer, location->length_bytes);
    if (scratch == NULL) { return STATUS_NO_MEMORY; }

    enum status status =
        catalog_read(request->service->catalog, (size_t)request->list_offsets.topic, location,
                     &request->wait, scratch);
    if (status == STATUS_OK) {
        status = find_record(bytes_of(scratch, location->length_bytes), least_ms, out);
    }
    kafka_output_cut(answer, mark_bytes);
    return status;
}

/* STATUS_BUSY: the batch is being read. STATUS_CORRUPT: it is fenced off. */
static enum status list_record(struct kafka_request *request,
                               const struct kafka_partition *partition,
                               const struct batch_location *location, int64_t least_ms,
                               struct listed_offset *out)
{
    *out = listed_at(partition, -1, 0);
    const enum status status = read_record(request, location, least_ms, out);
    if (status == STATUS_BUSY || status == STATUS_CORRUPT) { return status; }
    if (status != STATUS_OK) { *out = listed_error(KAFKA_STORAGE_ERROR); }
    return STATUS_OK;
}

/* The first batch with a record that is not older. Behind a fenced one it is nearly always the
 * next, because time mostly rises with offsets. */
static enum status find_not_older(struct kafka_request *request, uint32_t index,
                                  int64_t timestamp_ms, struct batch_location *out)
{
    struct reader *const reader = request->service->catalog->reader;
    const size_t topic = (size_t)request->list_offsets.topic;
    uint64_t offset = request->list_offsets.behind_fence;
    if (offset == 0) { return reader_find_timestamp(reader, topic, index, timestamp_ms, out); }

    for (int i = 0; i < BATCHES_WALKED_MAX; i++) {
        const enum status status = reader_find_offset(reader, topic, index, offset, out);
        if (status != STATUS_OK || out->max_timestamp_ms >= timestamp_ms) { return status; }
        offset = out->next_offset;
    }
    /* An older one: the client reads more than it asked for, and misses nothing. */
    return STATUS_OK;
}

static enum status list_timestamp(struct kafka_request *request, uint32_t index,
                                  const struct kafka_partition *partition, int64_t timestamp_ms,
                                  struct listed_offset *out)
{
    struct batch_location location;
    enum status found = find_not_older(request, index, timestamp_ms, &location);
    while (found == STATUS_OK) {
        const int64_t least_ms =
            timestamp_ms < location.max_timestamp_ms ? timestamp_ms : location.max_timestamp_ms;
        const enum status listed = list_record(request, partition, &location, least_ms, out);
        if (listed != STATUS_CORRUPT) { return listed; }
        request->list_offsets.behind_fence = location.next_offset;
        found = find_not_older(request, index, timestamp_ms, &location);
    }
    *out = found == STATUS_NOT_FOUND ? nothing_listed : listed_error(KAFKA_STORAGE_ERROR);
    return STATUS_OK;
}

/* The batch with the greatest timestamp: nothing lies behind its time. Time mostly rises with
 * offsets, so the last batch is nearly always it, and the search ends at once; at worst it halves
 * the time that is left 63 times. */
static enum status find_latest_batch(struct kafka_request *request, uint32_t index,
                                     uint64_t high_watermark, struct batch_location *best)
{
    struct reader *const reader = request->service->catalog->reader;
    const size_t topic = (size_t)request->list_offsets.topic;
    enum status status = reader_find_offset(reader, topic, index, high_watermark - 1, best);
    if (status != STATUS_OK) { return status; }

    int64_t beyond_ms = INT64_MAX;
    int64_t probe_ms = best->max_timestamp_ms < INT64_MAX ? best->max_timestamp_ms + 1 : INT64_MAX;
    while (best->max_timestamp_ms < beyond_ms) {
        struct batch_location location;
        status = reader_find_timestamp(reader, topic, index, probe_ms, &location);
        if (status == STATUS_NOT_FOUND) {
            beyond_ms = probe_ms - 1;
        } else if (status == STATUS_OK) {
            *best = location;
        } else {
            return status;
        }
        /* Halfway up, but at least one millisecond behind the best. */
        const uint64_t gap = (uint64_t)beyond_ms - (uint64_t)best->max_timestamp_ms;
        probe_ms = (int64_t)((uint64_t)best->max_timestamp_ms + gap - gap / 2);
    }

    /* Of several batches with that time, the first. */
    return reader_find_timestamp(reader, topic, index, best->max_timestamp_ms, best);
}

static enum status list_max_timestamp(struct kafka_request *request, uint32_t index,
                                      const struct kafka_partition *partition,
                                      struct listed_offset *out)
{
    *out = nothing_listed;
    if (partition->marks.high_watermark == partition->marks.log_start) { return STATUS_OK; }

    struct batch_location location;
    const enum status found =
        find_latest_batch(request, index, partition->marks.high_watermark, &location);
    if (found == STATUS_OK) {
        const enum status listed =
            list_record(request, partition, &location, location.max_timestamp_ms, out);
        if (listed != STATUS_CORRUPT) { return listed; }
        /* Fenced off: the index still knows its time, and a fetch goes on behind it. */
        *out = listed_at(partition, location.max_timestamp_ms, location.base_offset);
        return STATUS_OK;
    }
    if (found != STATUS_NOT_FOUND) { *out = listed_error(KAFKA_STORAGE_ERROR); }
    return STATUS_OK;
}

/* While the end is unknown (ingest is down, its memory is gone), "latest" would go back: clients
 * such as Spark take that for lost data. */
static struct listed_offset list_latest(const struct kafka_request *request,
                                        const struct kafka_partition *partition)
{
    if (partition->complete) { return listed_at(partition, -1, partition->marks.high_watermark); }
    return listed_error(request->version >= VERSION_OFFSET_NOT_AVAILABLE
                            ? KAFKA_OFFSET_NOT_AVAILABLE
                            : KAFKA_LEADER_NOT_AVAILABLE);
}

/* The most negative special timestamp that a version knows. */
static int64_t special_timestamp_min(int16_t version)
{
    if (version >= 9) { return TIMESTAMP_LATEST_TIERED; }
    if (version >= 8) { return TIMESTAMP_EARLIEST_LOCAL; }
    return version >= 7 ? TIMESTAMP_MAX : TIMESTAMP_EARLIEST;
}

static enum status list_partition(struct kafka_request *request, int32_t index, int32_t epoch,
                                  int64_t timestamp_ms, struct listed_offset *out)
{
    const struct kafka_partition partition = kafka_partition_look(
        request->service->catalog->reader, request->list_offsets.topic, index, epoch);
    *out = listed_error(partition.error);
    if (partition.error != KAFKA_NONE) { return STATUS_OK; }
    if (timestamp_ms >= 0) {
        return list_timestamp(request, (uint32_t)index, &partition, timestamp_ms, out);
    }
    if (timestamp_ms < special_timestamp_min(request->version)) {
        *out = listed_error(KAFKA_UNSUPPORTED_VERSION);
        return STATUS_OK;
    }

    switch (timestamp_ms) {
    case TIMESTAMP_LATEST: *out = list_latest(request, &partition); break;
    case TIMESTAMP_EARLIEST:
    case TIMESTAMP_EARLIEST_LOCAL:
        *out = listed_at(&partition, -1, partition.marks.log_start);
        break;
    case TIMESTAMP_MAX: return list_max_timestamp(request, (uint32_t)index, &partition, out);
    default: *out = nothing_listed; break; /* latest tiered */
    }
    return STATUS_OK;
}

static void answer_listed(struct kafka_request *request, int32_t index,
                          const struct listed_offset *listed)
{
    struct kafka_output *const out = &request->out;
    kafka_output_i32(out, index);
    kafka_output_i16(out, (int16_t)listed->error);
    kafka_output_i64(out, listed->timestamp_ms);
    kafka_output_i64(out, listed->offset);
    if (request->version >= 4) { kafka_output_i32(out, listed->leader_epoch); }
    kafka_output_tags(out);
}

/* STATUS_BUSY leaves the input where it was: in front of this partition. */
static enum status step_partition(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    const struct kafka_input before = *in;
    const int32_t index = kafka_input_i32(in);
    const int32_t epoch = request->version >= 4 ? kafka_input_i32(in) : KAFKA_ANY_EPOCH;
    const int64_t timestamp_ms = kafka_input_i64(in);
    kafka_input_tags(in);
    if (kafka_input_failed(in)) { return STATUS_INVALID; }

    struct listed_offset listed;
    const enum status status = list_partition(request, index, epoch, timestamp_ms, &listed);
    if (status == STATUS_BUSY) {
        *in = before;
        return STATUS_BUSY;
    }
    answer_listed(request, index, &listed);
    request->list_offsets.behind_fence = 0;
    request->list_offsets.partitions_left--;
    return STATUS_OK;
}

static void begin_topic(struct kafka_request *request)
{
    struct kafka_list_offsets *const state = &request->list_offsets;
    const struct bytes name = kafka_input_text(&request->in);
    state->partitions_left = kafka_input_array(&request->in, PARTITION_BYTES_MIN);
    if (kafka_input_failed(&request->in)) { return; }

    state->topic =
        reader_topic_find(request->service->catalog->reader, (const char *)name.at, name.len_bytes);
    kafka_output_text(&request->out, name);
    kafka_output_array(&request->out, state->partitions_left);
    state->in_topic = true;
}

static void end_topic(struct kafka_request *request)
{
    kafka_input_tags(&request->in);
    kafka_output_tags(&request->out);
    request->list_offsets.in_topic = false;
    request->list_offsets.topics_left--;
}

static void begin_list(struct kafka_request *request)
{
    struct kafka_list_offsets *const state = &request->list_offsets;
    (void)kafka_input_i32(&request->in); /* replica_id */
    if (request->version >= 2) {
        (void)kafka_input_i8(&request->in);
    } /* isolation: no transactions */
    state->topics_left = kafka_input_array(&request->in, TOPIC_BYTES_MIN);
    if (request->version >= 2) { kafka_output_i32(&request->out, 0); } /* throttle */
    kafka_output_array(&request->out, state->topics_left);
    state->begun = true;
}

enum kafka_turn kafka_list_offsets_step(struct kafka_request *request)
{
    struct kafka_list_offsets *const state = &request->list_offsets;
    if (!state->begun) { begin_list(request); }

    while (state->topics_left > 0 && !kafka_input_failed(&request->in) && !request->out.failed) {
        if (!state->in_topic) { begin_topic(request); }
        if (state->partitions_left == 0) {
            end_topic(request);
        } else if (step_partition(request) == STATUS_BUSY) {
            return KAFKA_TURN_READING;
        }
    }
    kafka_input_tags(&request->in);
    if (kafka_input_failed(&request->in)) {
        return kafka_request_refuse(request, "ListOffsets malformed");
    }
    kafka_output_tags(&request->out);
    return KAFKA_TURN_DONE;
}
