/* Produce (0), versions 0-11: always refused. Records enter over UDP.
 *
 * It is in the table because librdkafka does not consume from a broker without it. The code is
 * final for every client, so none retries for ever. */
#include "serve/kafka_error.h"
#include "serve/kafka_request.h"

enum {
    TOPIC_BYTES_MIN = 2,
    PARTITION_BYTES_MIN = 5,
};

static const char why_refused[] =
    "records enter this node over UDP (lines or syslog), not by the Kafka protocol";

static void answer_partition(struct kafka_request *request, int32_t partition)
{
    struct kafka_output *const out = &request->out;
    kafka_output_i32(out, partition);
    kafka_output_i16(out, KAFKA_TOPIC_AUTHORIZATION_FAILED);
    kafka_output_i64(out, -1);                                /* base offset */
    if (request->version >= 2) { kafka_output_i64(out, -1); } /* log append time */
    if (request->version >= 5) { kafka_output_i64(out, -1); } /* log start offset */
    if (request->version >= 8) {
        kafka_output_array(out, 0); /* record errors */
        kafka_output_text(out, bytes_of_text(why_refused));
    }
    kafka_output_tags(out);
}

static void refuse_topic(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    const struct bytes name = kafka_input_text(in);
    const int32_t count = kafka_input_array(in, PARTITION_BYTES_MIN);
    if (kafka_input_failed(in)) { return; }

    kafka_output_text(&request->out, name);
    kafka_output_array(&request->out, count);
    for (int32_t i = 0; i < count; i++) {
        const int32_t partition = kafka_input_i32(in);
        (void)kafka_input_nullable_blob(in); /* records */
        kafka_input_tags(in);
        answer_partition(request, partition);
    }
    kafka_input_tags(in);
    kafka_output_tags(&request->out);
}

enum kafka_turn kafka_produce_step(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    if (request->version >= 3) { (void)kafka_input_nullable_text(in); } /* transactional_id */
    const int16_t acks = kafka_input_i16(in);
    (void)kafka_input_i32(in); /* timeout */
    const int32_t count = kafka_input_array(in, TOPIC_BYTES_MIN);

    kafka_output_array(&request->out, count);
    for (int32_t i = 0; i < count && !kafka_input_failed(in); i++) { refuse_topic(request); }
    kafka_input_tags(in);
    if (kafka_input_failed(in)) { return kafka_request_refuse(request, "Produce malformed"); }

    serve_stats_add(request->service->stats, SERVE_produce_refused, 1);
    /* Nobody reads an answer to acks=0; closing is the one way to say no. */
    if (acks == 0) { return kafka_request_refuse(request, "Produce with acks=0 refused"); }
    if (request->version >= 1) { kafka_output_i32(&request->out, 0); } /* throttle: at the end */
    kafka_output_tags(&request->out);
    return KAFKA_TURN_DONE;
}
