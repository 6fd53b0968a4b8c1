/* Metadata (3), versions 0-12, and DescribeCluster (60), versions 0-1: one node, which is
 * everything.
 *
 * We never create a topic because someone asked: allow_auto_topic_creation is advice. */
#include <limits.h>
#include <string.h>

#include "serve/kafka_error.h"
#include "serve/kafka_request.h"

enum {
    NO_OPERATIONS_ASKED = INT32_MIN, /* "authorized operations" when they were not asked for */
    /* 1 << (Kafka's AclOperation): DESCRIBE 8; on topics READ 3 too, on the cluster
     * DESCRIBE_CONFIGS no: what is really possible here. */
    TOPIC_OPERATIONS = 1 << 3 | 1 << 8,
    CLUSTER_OPERATIONS = 1 << 8,
    TOPIC_REQUEST_BYTES_MIN = 1, /* a compact name; enough for a bound */
    ENDPOINT_BROKERS = 1,
};

struct metadata_options {
    bool cluster_operations;
    bool topic_operations;
};

static bool is_legal_topic_name(struct bytes name)
{
    if (name.len_bytes == 0 || name.len_bytes > LOG_TOPIC_NAME_BYTES_MAX) { return false; }
    if (bytes_equal_text(name, ".") || bytes_equal_text(name, "..")) { return false; }
    for (size_t i = 0; i < name.len_bytes; i++) {
        const uint8_t c = name.at[i];
        const bool alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alphanumeric && c != '.' && c != '_' && c != '-') { return false; }
    }
    return true;
}

/* node_id, host, port, rack: both APIs have it in this order. */
static void answer_node(struct kafka_request *request, bool with_rack)
{
    struct kafka_output *const out = &request->out;
    kafka_output_i32(out, KAFKA_NODE_ID);
    kafka_output_text(out, bytes_of_text(request->address.host));
    kafka_output_i32(out, request->address.port);
    if (with_rack) { kafka_output_null_text(out); }
    kafka_output_tags(out);
}

static void answer_nodes(struct kafka_output *out)
{
    kafka_output_array(out, 1);
    kafka_output_i32(out, KAFKA_NODE_ID);
}

static void answer_partition(struct kafka_request *request, size_t topic, uint32_t partition)
{
    struct kafka_output *const out = &request->out;
    struct reader_watermarks marks;
    reader_watermarks(request->service->catalog->reader, topic, partition, &marks);

    kafka_output_i16(out, KAFKA_NONE);
    kafka_output_i32(out, (int32_t)partition);
    kafka_output_i32(out, KAFKA_NODE_ID); /* leader */
    if (request->version >= 7) { kafka_output_i32(out, (int32_t)marks.leader_epoch); }
    answer_nodes(out);                                         /* replicas */
    answer_nodes(out);                                         /* in sync */
    if (request->version >= 5) { kafka_output_array(out, 0); } /* offline */
    kafka_output_tags(out);
}

static void answer_topic_head(struct kafka_request *request, enum kafka_error error,
                              struct bytes name, struct log_id id)
{
    struct kafka_output *const out = &request->out;
    kafka_output_i16(out, (int16_t)error);
    kafka_output_text(out, name);
    if (request->version >= 10) { kafka_output_uuid(out, id); }
    if (request->version >= 1) { kafka_output_bool(out, false); } /* internal */
}

static void answer_topic_tail(struct kafka_request *request, int32_t operations)
{
    if (request->version >= 8) { kafka_output_i32(&request->out, operations); }
    kafka_output_tags(&request->out);
}

static void answer_topic(struct kafka_request *request, size_t topic, bool with_operations)
{
    const struct reader *const reader = request->service->catalog->reader;
    const uint32_t partitions = reader_partition_count(reader);
    answer_topic_head(request, KAFKA_NONE, bytes_of_text(reader_topic_name(reader, topic)),
                      reader_topic_id(reader, topic));
    kafka_output_array(&request->out, (int32_t)partitions);
    for (uint32_t i = 0; i < partitions; i++) { answer_partition(request, topic, i); }
    answer_topic_tail(request, with_operations ? TOPIC_OPERATIONS : NO_OPERATIONS_ASKED);
}

static void answer_no_topic(struct kafka_request *request, enum kafka_error error,
                            struct bytes name, struct log_id id)
{
    answer_topic_head(request, error, name, id);
    kafka_output_array(&request->out, 0);
    answer_topic_tail(request, NO_OPERATIONS_ASKED);
}

/* A topic is asked for by its name, or since version 12 by its id with a null name. */
static void answer_asked_topic(struct kafka_request *request, struct bytes name, struct log_id id,
                               bool with_operations)
{
    static const struct log_id no_id;
    const struct reader *const reader = request->service->catalog->reader;
    if (bytes_are_null(name)) {
        const int32_t by_id = reader_topic_find_id(reader, id);
        if (by_id >= 0) {
            answer_topic(request, (size_t)by_id, with_operations);
        } else {
            answer_no_topic(request, KAFKA_UNKNOWN_TOPIC_ID, name, id);
        }
        return;
    }

    const int32_t topic = reader_topic_find(reader, (const char *)name.at, name.len_bytes);
    if (topic >= 0) {
        answer_topic(request, (size_t)topic, with_operations);
    } else if (is_legal_topic_name(name)) {
        answer_no_topic(request, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, name, no_id);
    } else {
        answer_no_topic(request, KAFKA_INVALID_TOPIC, name, no_id);
    }
}

static void read_asked_topic(struct kafka_request *request, struct bytes *name, struct log_id *id)
{
    static const struct log_id no_id;
    struct kafka_input *const in = &request->in;
    *id = request->version >= 10 ? kafka_input_uuid(in) : no_id;
    *name = request->version >= 10 ? kafka_input_nullable_text(in) : kafka_input_text(in);
    if (bytes_are_null(*name) && request->version < 12) { kafka_input_fail(in); }
    kafka_input_tags(in);
}

static void skip_asked_topics(struct kafka_request *request, int32_t count)
{
    struct bytes name;
    struct log_id id;
    for (int32_t i = 0; i < count; i++) { read_asked_topic(request, &name, &id); }
}

static void read_options(struct kafka_request *request, struct metadata_options *options)
{
    struct kafka_input *const in = &request->in;
    const int16_t version = request->version;
    memset(options, 0, sizeof *options);
    if (version >= 4) { (void)kafka_input_bool(in); } /* allow_auto_topic_creation */
    if (version >= 8 && version <= 10) { options->cluster_operations = kafka_input_bool(in); }
    if (version >= 8) { options->topic_operations = kafka_input_bool(in); }
    kafka_input_tags(in);
}

static void answer_cluster(struct kafka_request *request)
{
    struct kafka_output *const out = &request->out;
    const int16_t version = request->version;
    char cluster_id[KAFKA_CLUSTER_ID_TEXT_BYTES];
    kafka_cluster_id_text(request->service->catalog->reader, cluster_id);

    if (version >= 3) { kafka_output_i32(out, 0); } /* throttle */
    kafka_output_array(out, 1);
    answer_node(request, version >= 1);
    if (version >= 2) { kafka_output_text(out, bytes_of_text(cluster_id)); }
    if (version >= 1) { kafka_output_i32(out, KAFKA_NODE_ID); } /* controller */
}

static void answer_all_topics(struct kafka_request *request, bool with_operations)
{
    const size_t count = reader_topic_count(request->service->catalog->reader);
    kafka_output_array(&request->out, (int32_t)count);
    for (size_t i = 0; i < count; i++) { answer_topic(request, i, with_operations); }
}

/* The answer repeats what was asked, so the request's topics are walked a second time. */
static void answer_asked_topics(struct kafka_request *request, int32_t count, bool with_operations)
{
    kafka_output_array(&request->out, count);
    for (int32_t i = 0; i < count && !request->out.failed; i++) {
        struct bytes name;
        struct log_id id;
        read_asked_topic(request, &name, &id);
        answer_asked_topic(request, name, id, with_operations);
    }
}

enum kafka_turn kafka_metadata_step(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    struct metadata_options options;
    const int32_t count = request->version >= 1
                              ? kafka_input_nullable_array(in, TOPIC_REQUEST_BYTES_MIN)
                              : kafka_input_array(in, TOPIC_REQUEST_BYTES_MIN);
    const struct kafka_input topics = *in;
    skip_asked_topics(request, count);
    read_options(request, &options);
    if (kafka_input_failed(in)) { return kafka_request_refuse(request, "Metadata malformed"); }

    answer_cluster(request);
    const bool all = count == -1 || (request->version == 0 && count == 0);
    if (all) {
        answer_all_topics(request, options.topic_operations);
    } else {
        *in = topics;
        answer_asked_topics(request, count, options.topic_operations);
    }
    if (request->version >= 8 && request->version <= 10) {
        kafka_output_i32(&request->out,
                         options.cluster_operations ? CLUSTER_OPERATIONS : NO_OPERATIONS_ASKED);
    }
    kafka_output_tags(&request->out);
    return KAFKA_TURN_DONE;
}

enum kafka_turn kafka_describe_cluster_step(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    struct kafka_output *const out = &request->out;
    const bool operations_asked = kafka_input_bool(in);
    const int8_t endpoint = request->version >= 1 ? kafka_input_i8(in) : ENDPOINT_BROKERS;
    kafka_input_tags(in);
    if (kafka_input_failed(in)) {
        return kafka_request_refuse(request, "DescribeCluster malformed");
    }

    const bool brokers = endpoint == ENDPOINT_BROKERS;
    char cluster_id[KAFKA_CLUSTER_ID_TEXT_BYTES];
    kafka_cluster_id_text(request->service->catalog->reader, cluster_id);
    kafka_output_i32(out, 0); /* throttle */
    kafka_output_i16(out, brokers ? KAFKA_NONE : KAFKA_MISMATCHED_ENDPOINT_TYPE);
    kafka_output_null_text(out); /* error message */
    if (request->version >= 1) { kafka_output_i8(out, ENDPOINT_BROKERS); }
    kafka_output_text(out, bytes_of_text(brokers ? cluster_id : ""));
    kafka_output_i32(out, brokers ? KAFKA_NODE_ID : -1); /* controller */
    kafka_output_array(out, brokers ? 1 : 0);
    if (brokers) { answer_node(request, true); }
    kafka_output_i32(out, operations_asked ? CLUSTER_OPERATIONS : NO_OPERATIONS_ASKED);
    kafka_output_tags(out);
    return KAFKA_TURN_DONE;
}
