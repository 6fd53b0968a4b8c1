#include "serve/kafka_request.h"

#include <assert.h>
#include <string.h>

#include "serve/kafka_error.h"

enum { FRAME_LENGTH_BYTES = 4 };

enum kafka_turn kafka_request_refuse(struct kafka_request *request, const char *why)
{
    request->why_closed = why;
    return KAFKA_TURN_CLOSE;
}

COLD static enum kafka_turn refuse_key(struct kafka_request *request, int16_t key)
{
    kafka_api_describe_unknown(key, request->why_text, sizeof request->why_text);
    return kafka_request_refuse(request, request->why_text);
}

/* Key and version come first: only they say which form the header has. */
static enum kafka_turn parse_header(struct kafka_request *request, struct bytes frame)
{
    struct kafka_input *const in = &request->in;
    *in = kafka_input_over(frame, false);
    const int16_t key = kafka_input_i16(in);
    request->version = kafka_input_i16(in);
    request->correlation_id = kafka_input_i32(in);
    if (kafka_input_failed(in)) { return kafka_request_refuse(request, "header cut short"); }

    request->api = kafka_api_find(key);
    if (request->api == NULL) { return refuse_key(request, key); }
    const struct kafka_api *const api = request->api;
    const bool known = request->version >= api->version_min && request->version <= api->version_max;
    if (!known && key == KAFKA_API_VERSIONS) { return KAFKA_TURN_DONE; } /* it has its own answer */
    if (!known) { return kafka_request_refuse(request, "API version out of range"); }

    (void)kafka_input_nullable_text(in); /* client_id: never compact */
    in->flexible = request->version >= api->version_flexible;
    kafka_input_tags(in);
    if (kafka_input_failed(in)) { return kafka_request_refuse(request, "header malformed"); }
    return KAFKA_TURN_DONE;
}

/* ApiVersions answers with the old header at every version: the client does not know us yet. */
static void begin_answer(struct kafka_request *request)
{
    struct kafka_output *const out = &request->out;
    kafka_output_i32(out, 0); /* the frame's length: finish_answer */
    kafka_output_i32(out, request->correlation_id);
    out->flexible = request->in.flexible;
    if (request->api->key != KAFKA_API_VERSIONS) { kafka_output_tags(out); }
}

static enum kafka_turn finish_answer(struct kafka_request *request)
{
    struct kafka_output *const out = &request->out;
    if (out->failed) { return kafka_request_refuse(request, "answer too large"); }
    store_be32(out->at, (uint32_t)(out->len_bytes - FRAME_LENGTH_BYTES));
    return KAFKA_TURN_DONE;
}

/* Keeps the sum of all answers' memory, which bounds what fetches may take. */
static enum kafka_turn take_step(struct kafka_request *request)
{
    struct serve_stats *const stats = request->service->stats;
    const size_t held_before = request->out.capacity_bytes;
    const enum kafka_turn turn = request->api->step(request);
    stats->answer_bytes_held += request->out.capacity_bytes - held_before;
    return turn == KAFKA_TURN_DONE ? finish_answer(request) : turn;
}

enum kafka_turn kafka_request_begin(struct kafka_request *request,
                                    const struct kafka_service *service,
                                    struct kafka_address address, void *owner, struct bytes frame,
                                    uint64_t now_ns)
{
    memset(request, 0, sizeof *request);
    request->service = service;
    request->address = address;
    request->wait.owner = owner;
    request->begun_ns = now_ns;
    request->now_ns = now_ns;
    kafka_output_init(&request->out, KAFKA_ANSWER_BYTES_MAX);

    const enum kafka_turn header = parse_header(request, frame);
    if (header != KAFKA_TURN_DONE) { return header; }
    service->stats->requests[kafka_api_index(request->api)]++;
    begin_answer(request);
    service->stats->answer_bytes_held += request->out.capacity_bytes;
    return take_step(request);
}

enum kafka_turn kafka_request_resume(struct kafka_request *request, uint64_t now_ns,
                                     bool must_answer)
{
    request->now_ns = now_ns;
    const bool is_late = request->deadline_ns != 0 && now_ns >= request->deadline_ns;
    if (must_answer || is_late) { request->waited = true; }
    return take_step(request);
}

struct bytes kafka_request_answer(const struct kafka_request *request)
{
    return bytes_of(request->out.at, request->out.len_bytes);
}

void kafka_request_end(struct kafka_request *request)
{
    if (request->service == NULL) { return; }
    request->service->stats->answer_bytes_held -= request->out.capacity_bytes;
    catalog_wait_end(request->service->catalog, &request->wait);
    kafka_fetch_free(request->fetch);
    kafka_output_deinit(&request->out);
    memset(request, 0, sizeof *request);
}

void kafka_cluster_id_text(const struct reader *reader, char out[KAFKA_CLUSTER_ID_TEXT_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const struct log_id unknown;
    const struct log_id id = reader_cluster_id(reader);

    memset(out, 0, KAFKA_CLUSTER_ID_TEXT_BYTES);
    if (log_id_equal(id, unknown)) { return; }
    for (size_t i = 0; i < KAFKA_CLUSTER_ID_TEXT_BYTES - 1; i++) {
        const size_t bit = i * 6;
        const unsigned high = id.bytes[bit / 8];
        const unsigned low = bit / 8 + 1 < sizeof id.bytes ? id.bytes[bit / 8 + 1] : 0;
        out[i] = digits[((high << 8 | low) >> (10 - bit % 8)) & 63];
    }
}
