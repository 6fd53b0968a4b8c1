/* Fetch (1), versions 4-17: batches as they are stored, from an offset on.
 *
 * Three phases: parse the wanted partitions; decide whether there is enough to answer, else park;
 * fill the answer partition by partition. Filling stops where a batch has to come from disk and
 * goes on there when it is in memory. Each partition's watermarks are taken once, where its part of
 * the answer begins, so that they fit the records behind them: kafka-go takes "no records, yet the
 * high watermark is further" for a broken answer.
 *
 * Sessions (KIP-227) are refused in the cheap and correct way: session id 0, always every
 * partition. Isolation makes no difference: there are no transactions here. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "serve/kafka_error.h"
#include "serve/kafka_partition.h"
#include "serve/kafka_request.h"
#include "wire/record_batch.h"

enum {
    PARTITIONS_MAX = 16384, /* of one request: all of 64 topics on 256 cores */
    TOPIC_BYTES_MIN = 2,
    PARTITION_BYTES_MIN = 16,
    FORGOTTEN_BYTES_MIN = 2,
    VERSION_SESSIONS = 7,
    VERSION_STORAGE_ERROR = 6,
    VERSION_OFFSET_NOT_AVAILABLE = 9,
    VERSION_ZSTD = 10,
    VERSION_TOPIC_IDS = 13,
    SESSION_EPOCH_INITIAL = 0,
};

struct fetch_topic {
    struct bytes name; /* versions 4-12; borrowed from the frame */
    struct log_id id;  /* versions 13+ */
    int32_t topic;     /* negative: unknown */
    uint32_t partition_count;
};

struct fetch_partition {
    int32_t index;
    int32_t epoch;
    int64_t offset;
    int32_t bytes_max;
};

struct kafka_fetch {
    int32_t wait_ms_max;
    int32_t bytes_min;
    int32_t bytes_max;
    int8_t isolation;
    int32_t session_epoch;

    struct fetch_topic *topics;
    size_t topic_count;
    struct fetch_partition *partitions; /* of all topics, in the order of the request */
    size_t partition_count;
    size_t partition_capacity;

    /* Filling: where it stands. */
    bool filling;
    bool memory_short;      /* when filling began: no records at all */
    size_t answer_room;     /* for records of all partitions, when filling began */
    size_t filled_bytes;    /* of records, all partitions */
    bool told_error;        /* of some partition */
    bool passed_fence;      /* rot: bytes that were weighed, and are not served */
    size_t answer_begin;    /* where the body stands, behind the answer's header */
    size_t topic_at;        /* the next one to begin */
    size_t partition_at;    /* the next one to answer */
    uint32_t topic_left;    /* partitions of the topic that was begun last */
    bool partition_open;    /* what follows is that partition's */
    size_t partition_begin; /* in the answer */
    size_t records_bytes;
    size_t room_bytes; /* for records of this partition */
    uint64_t next_offset;
    struct kafka_partition look;
    struct kafka_records records;
};

/* ------------------------------------------------------------------------------------- parse */

static bool partitions_reserve(struct kafka_fetch *fetch, size_t more)
{
    const size_t wanted = fetch->partition_count + more;
    if (wanted > PARTITIONS_MAX) { return false; }
    if (wanted <= fetch->partition_capacity) { return true; }
    const size_t doubled = fetch->partition_capacity * 2;
    const size_t capacity = wanted > doubled ? wanted : doubled;
    struct fetch_partition *const partitions =
        realloc(fetch->partitions, capacity * sizeof *partitions);
    if (partitions == NULL) { return false; }
    fetch->partitions = partitions;
    fetch->partition_capacity = capacity;
    return true;
}

static void parse_partition(struct kafka_request *request, struct fetch_partition *out)
{
    struct kafka_input *const in = &request->in;
    out->index = kafka_input_i32(in);
    out->epoch = request->version >= 9 ? kafka_input_i32(in) : KAFKA_ANY_EPOCH;
    out->offset = kafka_input_i64(in);
    if (request->version >= 12) { (void)kafka_input_i32(in); } /* last fetched epoch */
    if (request->version >= 5) { (void)kafka_input_i64(in); }  /* the follower's log start */
    out->bytes_max = kafka_input_i32(in);
    kafka_input_tags(in);
}

static void parse_topic(struct kafka_request *request, struct fetch_topic *topic)
{
    static const struct log_id no_id;
    struct kafka_fetch *const fetch = request->fetch;
    const struct reader *const reader = request->service->catalog->reader;
    struct kafka_input *const in = &request->in;
    if (request->version >= VERSION_TOPIC_IDS) {
        topic->id = kafka_input_uuid(in);
        topic->topic = reader_topic_find_id(reader, topic->id);
    } else {
        topic->id = no_id;
        topic->name = kafka_input_text(in);
        topic->topic =
            reader_topic_find(reader, (const char *)topic->name.at, topic->name.len_bytes);
    }

    const int32_t count = kafka_input_array(in, PARTITION_BYTES_MIN);
    if (!partitions_reserve(fetch, (size_t)count)) {
        kafka_input_fail(in);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        parse_partition(request, &fetch->partitions[fetch->partition_count]);
        fetch->partition_count++;
    }
    topic->partition_count = (uint32_t)count;
    kafka_input_tags(in);
}

static void parse_topics(struct kafka_request *request)
{
    struct kafka_fetch *const fetch = request->fetch;
    struct kafka_input *const in = &request->in;
    const int32_t count = kafka_input_array(in, TOPIC_BYTES_MIN);
    if (count > PARTITIONS_MAX) {
        kafka_input_fail(in);
        return;
    }
    fetch->topics = calloc(count > 0 ? (size_t)count : 1, sizeof *fetch->topics);
    if (fetch->topics == NULL) {
        kafka_input_fail(in);
        return;
    }
    for (int32_t i = 0; i < count && !kafka_input_failed(in); i++) {
        parse_topic(request, &fetch->topics[i]);
        fetch->topic_count++;
    }
}

static void parse_forgotten(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    const int32_t count = kafka_input_array(in, FORGOTTEN_BYTES_MIN);
    for (int32_t i = 0; i < count && !kafka_input_failed(in); i++) {
        if (request->version >= VERSION_TOPIC_IDS) {
            (void)kafka_input_uuid(in);
        } else {
            (void)kafka_input_text(in);
        }
        const int32_t partitions = kafka_input_array(in, sizeof(int32_t));
        cursor_skip(&in->cursor, (size_t)partitions * sizeof(int32_t));
        kafka_input_tags(in);
    }
}

static bool parse_fetch(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    struct kafka_fetch *const fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) { return false; }
    request->fetch = fetch;

    if (request->version <= 14) { (void)kafka_input_i32(in); } /* replica_id */
    fetch->wait_ms_max = kafka_input_i32(in);
    fetch->bytes_min = kafka_input_i32(in);
    fetch->bytes_max = kafka_input_i32(in);
    fetch->isolation = kafka_input_i8(in);
    if (request->version >= VERSION_SESSIONS) {
        (void)kafka_input_i32(in); /* session id */
        fetch->session_epoch = kafka_input_i32(in);
    }
    parse_topics(request);
    if (request->version >= VERSION_SESSIONS) { parse_forgotten(request); }
    if (request->version >= 11) { (void)kafka_input_text(in); } /* rack */
    kafka_input_tags(in);
    return !kafka_input_failed(in);
}

void kafka_fetch_free(struct kafka_fetch *fetch)
{
    if (fetch == NULL) { return; }
    free(fetch->topics);
    free(fetch->partitions);
    free(fetch);
}

/* ------------------------------------------------------------------------------------ decide */

static struct kafka_partition look_at(const struct kafka_request *request,
                                      const struct fetch_topic *topic,
                                      const struct fetch_partition *wanted)
{
    struct kafka_partition look = kafka_partition_look(request->service->catalog->reader,
                                                       topic->topic, wanted->index, wanted->epoch);
    if (topic->topic < 0 && request->version >= VERSION_TOPIC_IDS) {
        look.error = KAFKA_UNKNOWN_TOPIC_ID;
    }
    if (look.error != KAFKA_NONE) { return look; }

    if (wanted->offset < 0 || (uint64_t)wanted->offset < look.marks.log_start) {
        look.error = KAFKA_OFFSET_OUT_OF_RANGE;
    } else if ((uint64_t)wanted->offset > look.marks.high_watermark) {
        /* Beyond an end that we cannot see it may well exist: never make a client reset. */
        look.error = look.complete ? KAFKA_OFFSET_OUT_OF_RANGE
                     : request->version >= VERSION_OFFSET_NOT_AVAILABLE
                         ? KAFKA_OFFSET_NOT_AVAILABLE
                         : KAFKA_NOT_LEADER_OR_FOLLOWER;
    }
    return look;
}

static int32_t at_least_zero(int32_t value) { return value > 0 ? value : 0; }

/* Bytes that a partition could give now; UINT64_MAX when it has an error to tell. */
static uint64_t weigh_partition(const struct kafka_request *request,
                                const struct fetch_topic *topic,
                                const struct fetch_partition *wanted)
{
    const struct kafka_partition look = look_at(request, topic, wanted);
    if (look.error != KAFKA_NONE) { return UINT64_MAX; }
    if ((uint64_t)wanted->offset == look.marks.high_watermark) { return 0; }
    return reader_available_bytes(request->service->catalog->reader, (size_t)topic->topic,
                                  (uint32_t)wanted->index, (uint64_t)wanted->offset,
                                  (uint64_t)at_least_zero(wanted->bytes_max));
}

static bool has_enough(const struct kafka_request *request)
{
    const struct kafka_fetch *const fetch = request->fetch;
    const int32_t least = fetch->bytes_min < fetch->bytes_max ? fetch->bytes_min : fetch->bytes_max;
    const struct fetch_partition *wanted = fetch->partitions;
    uint64_t sum_bytes = 0;

    for (size_t i = 0; i < fetch->topic_count; i++) {
        for (uint32_t k = 0; k < fetch->topics[i].partition_count; k++) {
            const uint64_t bytes = weigh_partition(request, &fetch->topics[i], wanted);
            if (bytes == UINT64_MAX) { return true; }
            sum_bytes += bytes;
            wanted++;
        }
    }
    return sum_bytes >= (uint64_t)at_least_zero(least);
}

static bool memory_is_short(const struct kafka_request *request)
{
    return request->service->stats->answer_bytes_held >= KAFKA_ANSWERS_BYTES_MAX;
}

/* Whether to answer now. Past the memory of all answers even a fetch with data waits, and is
 * answered without records when its time is over: that is what bounds this process. */
static bool must_answer(struct kafka_request *request)
{
    const struct kafka_fetch *const fetch = request->fetch;
    if (fetch->partition_count == 0 || request->waited) { return true; }
    if (memory_is_short(request)) {
        serve_stats_add(request->service->stats, SERVE_fetches_held_for_memory, 1);
        return fetch->wait_ms_max <= 0;
    }
    return fetch->wait_ms_max <= 0 || has_enough(request);
}

/* -------------------------------------------------------------------------------------- fill */

/* A fair share of the memory left; the first batch is sent whatever its size. */
static size_t answer_room_bytes(const struct kafka_request *request)
{
    const uint64_t held_bytes = request->service->stats->answer_bytes_held;
    if (held_bytes >= KAFKA_ANSWERS_BYTES_MAX) { return 0; }
    const uint64_t share_bytes = (KAFKA_ANSWERS_BYTES_MAX - held_bytes) / 4;
    const uint64_t wanted_bytes = (uint64_t)at_least_zero(request->fetch->bytes_max);
    uint64_t room_bytes = KAFKA_FETCH_BYTES_MAX;
    if (share_bytes < room_bytes) { room_bytes = share_bytes; }
    if (wanted_bytes < room_bytes) { room_bytes = wanted_bytes; }
    return (size_t)room_bytes;
}

/* error, watermarks and what stands between them and the records */
static void answer_partition_head(struct kafka_request *request, int32_t index,
                                  enum kafka_error error, const struct kafka_partition *look)
{
    struct kafka_output *const out = &request->out;
    const bool fine = error == KAFKA_NONE;
    const int64_t high_watermark = fine ? (int64_t)look->marks.high_watermark : -1;
    kafka_output_i32(out, index);
    kafka_output_i16(out, (int16_t)error);
    kafka_output_i64(out, high_watermark);
    kafka_output_i64(out, high_watermark); /* last stable offset: no transactions */
    if (request->version >= 5) {
        kafka_output_i64(out, fine ? (int64_t)look->marks.log_start : -1);
    }
    /* Aborted transactions: null or none, as Kafka does for the two isolations. */
    kafka_output_array(out, request->fetch->isolation == 0 ? -1 : 0);
    if (request->version >= 11) { kafka_output_i32(out, -1); } /* preferred read replica */
}

static void answer_partition_error(struct kafka_request *request, int32_t index,
                                   enum kafka_error error)
{
    const bool old_storage_error =
        error == KAFKA_STORAGE_ERROR && request->version < VERSION_STORAGE_ERROR;
    const enum kafka_error told = old_storage_error ? KAFKA_NOT_LEADER_OR_FOLLOWER : error;
    if (told == KAFKA_OFFSET_OUT_OF_RANGE) {
        serve_stats_add(request->service->stats, SERVE_fetches_out_of_range, 1);
    }
    request->fetch->told_error = true;
    answer_partition_head(request, index, told, NULL);
    kafka_output_no_records(&request->out);
    kafka_output_tags(&request->out);
}

static size_t smaller(size_t left, size_t right) { return left < right ? left : right; }

static void begin_partition(struct kafka_request *request, const struct fetch_topic *topic,
                            const struct fetch_partition *wanted)
{
    struct kafka_fetch *const fetch = request->fetch;
    fetch->partition_begin = request->out.len_bytes;
    fetch->look = look_at(request, topic, wanted);
    if (fetch->look.error != KAFKA_NONE) {
        answer_partition_error(request, wanted->index, fetch->look.error);
        return;
    }

    const size_t answer_left =
        fetch->answer_room - smaller(fetch->answer_room, fetch->filled_bytes);
    fetch->room_bytes = smaller((size_t)at_least_zero(wanted->bytes_max), answer_left);
    fetch->next_offset = (uint64_t)wanted->offset;
    fetch->records_bytes = 0;
    answer_partition_head(request, wanted->index, KAFKA_NONE, &fetch->look);
    const uint64_t expected_bytes =
        reader_available_bytes(request->service->catalog->reader, (size_t)topic->topic,
                               (uint32_t)wanted->index, fetch->next_offset, fetch->room_bytes);
    fetch->records = kafka_output_records_begin(&request->out,
                                                smaller((size_t)expected_bytes, fetch->room_bytes));
    fetch->partition_open = true;
}

/* A gap before the batch is nothing special, unless retention made it since the watermarks were
 * taken: then the client must hear of it, and not be led past it. */
static bool was_retired_meanwhile(const struct kafka_request *request,
                                  const struct fetch_topic *topic,
                                  const struct fetch_partition *wanted,
                                  const struct batch_location *location)
{
    const struct kafka_fetch *const fetch = request->fetch;
    if (location->base_offset <= fetch->next_offset) { return false; }
    struct reader_watermarks marks;
    reader_watermarks(request->service->catalog->reader, (size_t)topic->topic,
                      (uint32_t)wanted->index, &marks);
    return fetch->next_offset < marks.log_start;
}

/* The next batch that belongs into the answer; STATUS_NOT_FOUND: no more of this partition. */
static enum status find_batch(const struct kafka_request *request, const struct fetch_topic *topic,
                              const struct fetch_partition *wanted, struct batch_location *out)
{
    const struct kafka_fetch *const fetch = request->fetch;
    if (fetch->next_offset >= fetch->look.marks.high_watermark) { return STATUS_NOT_FOUND; }
    const enum status status =
        reader_find_offset(request->service->catalog->reader, (size_t)topic->topic,
                           (uint32_t)wanted->index, fetch->next_offset, out);
    if (status == STATUS_IO) { /* its segment's index */
        serve_stats_add(request->service->stats, SERVE_reads_failed, 1);
    }
    if (status != STATUS_OK) { return status; }
    if (out->next_offset <= fetch->next_offset) { return STATUS_CORRUPT; }
    if (was_retired_meanwhile(request, topic, wanted, out)) { return STATUS_STALE; }

    if (out->next_offset > fetch->look.marks.high_watermark) { return STATUS_NOT_FOUND; }
    const bool is_first = fetch->filled_bytes == 0;
    if (is_first && fetch->memory_short) { return STATUS_NOT_FOUND; }
    if (!is_first && out->length_bytes > fetch->room_bytes) { return STATUS_NOT_FOUND; }
    return STATUS_OK;
}

/* KIP-110: who asks with an older version cannot unpack zstd. All else is as old as RecordBatch. */
static bool client_can_unpack(const struct kafka_request *request, struct bytes batch)
{
    struct record_batch_header header;
    if (request->version >= VERSION_ZSTD) { return true; }
    return record_batch_header_decode(batch, &header) != STATUS_OK ||
           record_batch_codec(&header) != RECORD_CODEC_ZSTD;
}

/* Rot is passed over like any other gap in the offsets: an error here would make a client ask for
 * the same batch for ever. */
static enum status append_batch(struct kafka_request *request, const struct fetch_topic *topic,
                                const struct batch_location *location)
{
    struct kafka_fetch *const fetch = request->fetch;
    struct kafka_output *const out = &request->out;
    const size_t mark_bytes = out->len_bytes;
    uint8_t *const at = kafka_output_take(out, location->length_bytes);
    if (at == NULL) { return STATUS_NO_MEMORY; }

    enum status status =
        catalog_read(request->service->catalog, (size_t)topic->topic, location, &request->wait, at);
    if (status == STATUS_OK && !client_can_unpack(request, bytes_of(at, location->length_bytes))) {
        status = STATUS_UNSUPPORTED;
    }
    if (status != STATUS_OK) { kafka_output_cut(out, mark_bytes); }
    if (status == STATUS_CORRUPT) {
        fetch->passed_fence = true;
        fetch->next_offset = location->next_offset;
        return STATUS_OK;
    }
    if (status != STATUS_OK) { return status; }
    fetch->next_offset = location->next_offset;
    fetch->records_bytes += location->length_bytes;
    fetch->filled_bytes += location->length_bytes;
    fetch->room_bytes -= smaller(fetch->room_bytes, location->length_bytes);
    return STATUS_OK;
}

static enum kafka_error error_of(enum status why)
{
    return why == STATUS_UNSUPPORTED ? KAFKA_UNSUPPORTED_COMPRESSION_TYPE : KAFKA_STORAGE_ERROR;
}

/* A batch could not be read, or not by this client. What came before it is sent; the error is told
 * when the client asks for the batch itself. Where retention took it meanwhile, its offset is out
 * of range by now. */
static void end_partition(struct kafka_request *request, const struct fetch_topic *topic,
                          const struct fetch_partition *wanted, enum status why)
{
    struct kafka_fetch *const fetch = request->fetch;
    fetch->partition_open = false;
    if (why == STATUS_NOT_FOUND || fetch->records_bytes > 0) {
        kafka_output_records_end(&request->out, fetch->records);
        kafka_output_tags(&request->out);
        return;
    }
    kafka_output_cut(&request->out, fetch->partition_begin);
    const struct kafka_partition look = look_at(request, topic, wanted);
    answer_partition_error(request, wanted->index,
                           look.error != KAFKA_NONE ? look.error : error_of(why));
}

/* STATUS_BUSY: goes on when the batch is in memory. */
static enum status fill_partition(struct kafka_request *request, const struct fetch_topic *topic,
                                  const struct fetch_partition *wanted)
{
    struct kafka_fetch *const fetch = request->fetch;
    if (!fetch->partition_open) { begin_partition(request, topic, wanted); }

    while (fetch->partition_open && !request->out.failed) {
        struct batch_location location;
        enum status status = find_batch(request, topic, wanted, &location);
        if (status == STATUS_OK) {
            status = append_batch(request, topic, &location);
            if (status == STATUS_BUSY) { return STATUS_BUSY; }
            /* The segment went between lookup and read: not the same as "no more". */
            if (status == STATUS_NOT_FOUND) { status = STATUS_STALE; }
        }
        if (status != STATUS_OK) { end_partition(request, topic, wanted, status); }
    }
    return STATUS_OK;
}

static void begin_topic(struct kafka_request *request, const struct fetch_topic *topic)
{
    struct kafka_output *const out = &request->out;
    if (request->version >= VERSION_TOPIC_IDS) {
        kafka_output_uuid(out, topic->id);
    } else {
        kafka_output_text(out, topic->name);
    }
    kafka_output_array(out, (int32_t)topic->partition_count);
}

static enum status fill_topic(struct kafka_request *request, const struct fetch_topic *topic)
{
    struct kafka_fetch *const fetch = request->fetch;
    while (fetch->topic_left > 0) {
        const struct fetch_partition *const wanted = &fetch->partitions[fetch->partition_at];
        if (fill_partition(request, topic, wanted) == STATUS_BUSY) { return STATUS_BUSY; }
        fetch->partition_at++;
        fetch->topic_left--;
    }
    kafka_output_tags(&request->out);
    return STATUS_OK;
}

static enum kafka_turn fill_answer(struct kafka_request *request)
{
    struct kafka_fetch *const fetch = request->fetch;
    while (fetch->topic_at < fetch->topic_count && !request->out.failed) {
        const struct fetch_topic *const topic = &fetch->topics[fetch->topic_at];
        if (!fetch->partition_open && fetch->topic_left == 0) {
            begin_topic(request, topic);
            fetch->topic_left = topic->partition_count;
        }
        if (fill_topic(request, topic) == STATUS_BUSY) { return KAFKA_TURN_READING; }
        fetch->topic_at++;
    }
    kafka_output_tags(&request->out);
    return KAFKA_TURN_DONE;
}

static void answer_head(struct kafka_request *request, enum kafka_error error, size_t topic_count)
{
    kafka_output_i32(&request->out, 0); /* throttle */
    if (request->version >= VERSION_SESSIONS) {
        kafka_output_i16(&request->out, (int16_t)error);
        kafka_output_i32(&request->out, 0); /* session id: none */
    }
    kafka_output_array(&request->out, (int32_t)topic_count);
}

/* A session that we never made, or made before a restart: the client starts over with a full
 * fetch. */
static enum kafka_turn answer_no_session(struct kafka_request *request)
{
    answer_head(request, KAFKA_FETCH_SESSION_ID_NOT_FOUND, 0);
    kafka_output_tags(&request->out);
    return KAFKA_TURN_DONE;
}

static void begin_answer(struct kafka_request *request)
{
    struct kafka_fetch *const fetch = request->fetch;
    fetch->answer_begin = request->out.len_bytes;
    answer_head(request, KAFKA_NONE, fetch->topic_count);
    fetch->memory_short = memory_is_short(request);
    fetch->answer_room = answer_room_bytes(request);
    fetch->filling = true;
}

static enum kafka_turn park(struct kafka_request *request)
{
    if (request->deadline_ns == 0) {
        const uint64_t wait_ns = (uint64_t)request->fetch->wait_ms_max * NS_PER_MS;
        request->deadline_ns = request->begun_ns + wait_ns;
        serve_stats_add(request->service->stats, SERVE_fetches_parked, 1);
    }
    return KAFKA_TURN_PARKED;
}

/* Nothing but rot lies behind the offsets asked for: as good as no data. To answer at once would
 * make the client ask again at once. */
static bool is_fenced_empty(const struct kafka_request *request)
{
    const struct kafka_fetch *const fetch = request->fetch;
    return fetch->passed_fence && fetch->filled_bytes == 0 && !fetch->told_error;
}

/* Back to before begin_answer; the memory of the batches that were tried goes too. */
static void take_back_answer(struct kafka_request *request)
{
    struct kafka_fetch *const fetch = request->fetch;
    kafka_output_cut(&request->out, fetch->answer_begin);
    kafka_output_shrink(&request->out);
    fetch->filling = false;
    fetch->passed_fence = false;
    fetch->topic_at = 0;
    fetch->partition_at = 0;
}

enum kafka_turn kafka_fetch_step(struct kafka_request *request)
{
    if (request->fetch == NULL && !parse_fetch(request)) {
        return kafka_request_refuse(request, "Fetch malformed");
    }
    struct kafka_fetch *const fetch = request->fetch;
    if (fetch->session_epoch > SESSION_EPOCH_INITIAL) { return answer_no_session(request); }
    if (!fetch->filling) {
        if (!must_answer(request)) { return park(request); }
        begin_answer(request);
    }
    const enum kafka_turn turn = fill_answer(request);
    if (turn != KAFKA_TURN_DONE || request->out.failed) { return turn; }
    if (request->waited || fetch->wait_ms_max <= 0 || !is_fenced_empty(request)) { return turn; }
    take_back_answer(request);
    return park(request);
}
