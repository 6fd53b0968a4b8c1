/* delivery.c - how long after it is durable does a waiting consumer have a record?
 *
 * A consumer at the tail with one Fetch (version 4) always waiting: min_bytes 1, max_wait 500 ms.
 * Notes when each response was there, finds in the node's live index when each of its batches had
 * become durable (the same CLOCK_MONOTONIC), and prints the quantiles over all records as JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/sink.h"
#include "bench/durable_times.h"
#include "wire/record_batch.h"

enum {
    EXIT_USAGE = 64,
    FETCH_KEY = 1,
    FETCH_VERSION = 4,
    MAX_WAIT_MS = 500,
    RESPONSE_BYTES_MAX = 16 << 20,
    SAMPLES_MAX = 1 << 20,
    REFRESH_NS = 100 * NS_PER_MS,
    CORRELATION = 7,
    RECEIVE_TIMEOUT_S = 10,
};

struct sample {
    uint64_t latency_ns;
    uint64_t records;
};

struct consumer {
    int link;
    const char *topic;
    int64_t next_offset;
    uint8_t *response;
    struct durable_times times;
    struct sample *samples;
    size_t sample_count;
    uint64_t record_count;
    uint64_t unknown_count; /* batches whose time was not found: none, or the figures are partial */
    uint64_t response_count;
};

static void die(const char *what)
{
    fprintf(stderr, "bench-delivery: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* --------------------------------------------------------------------------------- the protocol */

static void put_text(struct sink *sink, const char *text)
{
    sink_be16(sink, (uint16_t)strlen(text));
    sink_bytes(sink, bytes_of_text(text));
}

static void send_fetch(struct consumer *consumer)
{
    uint8_t request[512];
    struct sink sink = sink_into(request, sizeof request);
    sink_be32(&sink, 0); /* length, below */
    sink_be16(&sink, FETCH_KEY);
    sink_be16(&sink, FETCH_VERSION);
    sink_be32(&sink, CORRELATION);
    put_text(&sink, "bench");
    sink_be32(&sink, UINT32_MAX); /* no replica */
    sink_be32(&sink, MAX_WAIT_MS);
    sink_be32(&sink, 1); /* min_bytes */
    sink_be32(&sink, RESPONSE_BYTES_MAX / 2);
    sink_u8(&sink, 0);   /* isolation */
    sink_be32(&sink, 1); /* topics */
    put_text(&sink, consumer->topic);
    sink_be32(&sink, 1); /* partitions */
    sink_be32(&sink, 0);
    sink_be64(&sink, (uint64_t)consumer->next_offset);
    sink_be32(&sink, RESPONSE_BYTES_MAX / 2);
    store_be32(request, (uint32_t)sink_used_bytes(&sink) - 4);
    const struct bytes whole = sink_written(&sink);
    if (send(consumer->link, whole.at, whole.len_bytes, MSG_NOSIGNAL) != (ssize_t)whole.len_bytes) {
        die("send");
    }
}

static void receive_exactly(int link, uint8_t *out, size_t len_bytes)
{
    while (len_bytes > 0) {
        const ssize_t taken = recv(link, out, len_bytes, 0);
        if (taken <= 0) { die("the broker hung up, or is silent"); }
        out += taken;
        len_bytes -= (size_t)taken;
    }
}

static struct bytes receive_response(struct consumer *consumer)
{
    uint8_t length[4];
    receive_exactly(consumer->link, length, sizeof length);
    const uint32_t len_bytes = load_be32(length);
    if (len_bytes > RESPONSE_BYTES_MAX) { die("a response too large"); }
    receive_exactly(consumer->link, consumer->response, len_bytes);
    return bytes_of(consumer->response, len_bytes);
}

/* The records of the one partition that was asked for. */
static struct bytes response_records(struct bytes response)
{
    struct cursor in = cursor_over(response);
    cursor_be32(&in); /* correlation */
    cursor_be32(&in); /* throttle */
    cursor_be32(&in); /* one topic */
    cursor_bytes(&in, cursor_be16(&in));
    cursor_be32(&in); /* one partition */
    cursor_be32(&in);
    const uint16_t error = cursor_be16(&in);
    cursor_be64(&in); /* high watermark */
    cursor_be64(&in); /* last stable offset */
    const uint32_t aborted = cursor_be32(&in);
    if (aborted != UINT32_MAX) { cursor_bytes(&in, (size_t)aborted * 16); }
    const uint32_t len_bytes = cursor_be32(&in);
    const struct bytes records =
        len_bytes == UINT32_MAX ? bytes_null() : cursor_bytes(&in, len_bytes);
    if (error != 0 || in.overran) {
        fprintf(stderr, "bench-delivery: fetch error %u%s\n", error, in.overran ? ", cut" : "");
        exit(EXIT_FAILURE);
    }
    return records;
}

/* -------------------------------------------------------------------------------------- samples */

static void take_batch(struct consumer *consumer, const struct record_batch_header *batch,
                       uint64_t arrived_ns)
{
    const uint64_t durable_ns =
        durable_times_find(&consumer->times, consumer->topic, (uint64_t)batch->base_offset);
    if (durable_ns == 0 || consumer->sample_count == SAMPLES_MAX) {
        consumer->unknown_count++;
        return;
    }
    const uint64_t latency_ns = arrived_ns > durable_ns ? arrived_ns - durable_ns : 0;
    consumer->samples[consumer->sample_count++] =
        (struct sample){latency_ns, (uint64_t)batch->record_count};
    consumer->record_count += (uint64_t)batch->record_count;
}

static void take_records(struct consumer *consumer, struct bytes records, uint64_t arrived_ns)
{
    struct record_batch_header batch;
    while (records.len_bytes > 0 && record_batch_header_decode(records, &batch) == STATUS_OK) {
        take_batch(consumer, &batch, arrived_ns);
        consumer->next_offset = batch.base_offset + batch.last_offset_delta + 1;
        records = bytes_slice(records, (size_t)batch.length_bytes, records.len_bytes);
    }
}

static void consume(struct consumer *consumer, double seconds)
{
    const uint64_t end_ns = clock_mono_ns() + (uint64_t)(seconds * NS_PER_S);
    uint64_t refreshed_ns = 0;
    uint64_t now_ns = 0;
    while (now_ns < end_ns) {
        send_fetch(consumer);
        const struct bytes response = receive_response(consumer);
        now_ns = clock_mono_ns();
        if (now_ns - refreshed_ns >= REFRESH_NS) {
            durable_times_refresh(&consumer->times);
            refreshed_ns = now_ns;
        }
        take_records(consumer, response_records(response), now_ns);
        consumer->response_count++;
    }
}

/* --------------------------------------------------------------------------------------- figures
 */

static int by_latency(const void *left, const void *right)
{
    const uint64_t a = ((const struct sample *)left)->latency_ns;
    const uint64_t b = ((const struct sample *)right)->latency_ns;
    return (a > b) - (a < b);
}

/* `samples` sorted: the latency that `share` of all records stayed within. */
static double quantile_us(const struct consumer *consumer, double share)
{
    const uint64_t wanted = (uint64_t)(share * (double)consumer->record_count);
    uint64_t seen = 0;
    for (size_t i = 0; i < consumer->sample_count; i++) {
        seen += consumer->samples[i].records;
        if (seen > wanted || i + 1 == consumer->sample_count) {
            return (double)consumer->samples[i].latency_ns / NS_PER_US;
        }
    }
    return 0;
}

static void print_figures(struct consumer *consumer)
{
    qsort(consumer->samples, consumer->sample_count, sizeof *consumer->samples, by_latency);
    printf("{\"records\": %" PRIu64 ", \"batches\": %zu, \"responses\": %" PRIu64
           ", \"batches_not_found\": %" PRIu64 ", \"p50_us\": %.1f, \"p90_us\": %.1f"
           ", \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
           consumer->record_count, consumer->sample_count, consumer->response_count,
           consumer->unknown_count, quantile_us(consumer, 0.5), quantile_us(consumer, 0.9),
           quantile_us(consumer, 0.99), quantile_us(consumer, 0.999), quantile_us(consumer, 1));
}

static int connect_to(const char *address, uint16_t port)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct timeval timeout = {.tv_sec = RECEIVE_TIMEOUT_S};
    const int on = 1;
    const int link = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link < 0 || inet_pton(AF_INET, address, &target.sin_addr) != 1) { die(address); }
    (void)setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(link, (struct sockaddr *)&target, sizeof target) != 0) { die("connect"); }
    return link;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: bench-delivery ADDRESS PORT TOPIC RUNTIME FIRST_OFFSET SECONDS\n"
                        "Partition 0 of TOPIC; RUNTIME is the node's runtime directory.\n");
        return EXIT_USAGE;
    }
    struct consumer consumer = {
        .topic = argv[3],
        .next_offset = strtoll(argv[5], NULL, 10),
        .response = malloc(RESPONSE_BYTES_MAX),
        .samples = calloc(SAMPLES_MAX, sizeof(struct sample)),
    };
    if (consumer.response == NULL || consumer.samples == NULL) { die("memory"); }
    consumer.link = connect_to(argv[1], (uint16_t)strtoul(argv[2], NULL, 10));
    durable_times_init(&consumer.times, argv[4], 0);

    consume(&consumer, strtod(argv[6], NULL));

    print_figures(&consumer);
    durable_times_deinit(&consumer.times);
    close(consumer.link);
    free(consumer.response);
    free(consumer.samples);
    return EXIT_SUCCESS;
}
