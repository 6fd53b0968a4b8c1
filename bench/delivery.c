/* delivery.c - how long after it is durable does a waiting consumer have a record?
 *
 * A consumer at the tail with one Fetch (version 4) always waiting: min_bytes 1, max_wait 500 ms.
 * Notes when each response was there, finds in the node's live index when each of its batches had
 * become durable (the same CLOCK_MONOTONIC), and prints the quantiles over all records as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/durable_times.h"
#include "bench/fetcher.h"
#include "wire/record_batch.h"

enum {
    EXIT_USAGE = 64,
    SAMPLES_MAX = 1 << 20,
    REFRESH_NS = 100 * NS_PER_MS,
};

struct sample {
    uint64_t latency_ns;
    uint64_t records;
};

struct consumer {
    struct fetcher fetcher;
    const char *topic;
    int64_t next_offset;
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
        struct bytes records;
        const uint16_t error = fetcher_fetch(&consumer->fetcher, consumer->next_offset, &records);
        now_ns = clock_mono_ns();
        if (error != 0) {
            fprintf(stderr, "bench-delivery: fetch error %u\n", error);
            exit(EXIT_FAILURE);
        }
        if (now_ns - refreshed_ns >= REFRESH_NS) {
            durable_times_refresh(&consumer->times);
            refreshed_ns = now_ns;
        }
        take_records(consumer, records, now_ns);
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
        .samples = calloc(SAMPLES_MAX, sizeof(struct sample)),
    };
    if (consumer.samples == NULL) { die("memory"); }
    fetcher_connect(&consumer.fetcher, "bench-delivery", argv[1],
                    (uint16_t)strtoul(argv[2], NULL, 10), consumer.topic);
    durable_times_init(&consumer.times, argv[4], 0);

    consume(&consumer, strtod(argv[6], NULL));

    print_figures(&consumer);
    durable_times_deinit(&consumer.times);
    fetcher_close(&consumer.fetcher);
    free(consumer.samples);
    return EXIT_SUCCESS;
}
