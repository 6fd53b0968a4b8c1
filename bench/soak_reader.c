/* soak_reader.c - a consumer that compares every byte with what it must be.
 *
 * tail: from the newest record on, always. cold: from the oldest on; at the end it begins again.
 * Where its offset has expired it goes on at the oldest (tail: the newest) record: a reset. A
 * record that is not the next one, outside of a reset, is a gap; a wrong byte is told and counted.
 * Runs for SECONDS or until SIGTERM; prints one line of JSON. Exit 1: bytes were wrong, or gaps. */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/fetcher.h"
#include "bench/soak_content.h"
#include "wire/record_batch.h"

enum { EXIT_USAGE = 64 };

struct reading {
    struct fetcher fetcher;
    struct soak_content content;
    bool at_tail;
    int64_t next_offset;
    bool may_jump; /* a reset: the first record may be any */
    uint64_t records;
    uint64_t bytes;
    uint64_t resets;
    uint64_t rounds; /* cold: times that it reached the end */
    uint64_t gaps;
    uint64_t wrong;
    uint64_t errors; /* answers with an error that is no reset */
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void judge_record(struct reading *reading, const struct record_batch_record *record)
{
    if (record->offset < reading->next_offset) { return; } /* a batch may begin before */
    if (record->offset > reading->next_offset && !reading->may_jump) { reading->gaps++; }
    reading->may_jump = false;
    if (!soak_content_holds(&reading->content, (uint64_t)record->offset, record->value)) {
        fprintf(stderr, "bench-soak-reader: wrong bytes at offset %" PRId64 "\n", record->offset);
        reading->wrong++;
    }
    reading->records++;
    reading->bytes += record->value.len_bytes;
    reading->next_offset = record->offset + 1;
}

static void judge_batch(struct reading *reading, struct bytes batch,
                        const struct record_batch_header *header)
{
    struct record_batch_walk walk;
    struct record_batch_record record;
    if (!record_batch_crc_holds(batch)) {
        fprintf(stderr, "bench-soak-reader: a batch at %" PRId64 " breaks its checksum\n",
                header->base_offset);
        reading->wrong++;
        return;
    }
    record_batch_walk_begin(&walk, batch, header);
    enum status status = record_batch_next(&walk, &record);
    for (; status == STATUS_OK; status = record_batch_next(&walk, &record)) {
        judge_record(reading, &record);
    }
    if (status != STATUS_NOT_FOUND) { reading->wrong++; }
}

/* The last batch of an answer may be cut. */
static bool judge_records(struct reading *reading, struct bytes records)
{
    struct record_batch_header header;
    bool any = false;
    while (records.len_bytes > 0 && record_batch_header_decode(records, &header) == STATUS_OK) {
        const size_t length = (size_t)header.length_bytes;
        judge_batch(reading, bytes_slice(records, 0, length), &header);
        records = bytes_slice(records, length, records.len_bytes);
        any = true;
    }
    return any;
}

static void seek(struct reading *reading)
{
    const int64_t found = fetcher_list_offset(&reading->fetcher,
                                              reading->at_tail ? FETCHER_LATEST : FETCHER_EARLIEST);
    if (found < 0) {
        reading->errors++;
        return;
    }
    reading->next_offset = found;
    reading->may_jump = true;
}

static void read_on(struct reading *reading)
{
    struct bytes records;
    const uint16_t error = fetcher_fetch(&reading->fetcher, reading->next_offset, &records);
    if (error == FETCHER_ERROR_OUT_OF_RANGE) {
        reading->resets++;
        seek(reading);
    } else if (error != 0) {
        reading->errors++;
    } else if (!judge_records(reading, records) && !reading->at_tail) {
        reading->rounds++;
        seek(reading);
    }
}

static int finish(struct reading *reading)
{
    printf("{\"records\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"resets\": %" PRIu64
           ", \"rounds\": %" PRIu64 ", \"gaps\": %" PRIu64 ", \"wrong\": %" PRIu64
           ", \"errors\": %" PRIu64 "}\n",
           reading->records, reading->bytes, reading->resets, reading->rounds, reading->gaps,
           reading->wrong, reading->errors);
    fetcher_close(&reading->fetcher);
    return reading->wrong + reading->gaps > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc != 6 || (strcmp(argv[4], "tail") != 0 && strcmp(argv[4], "cold") != 0)) {
        fprintf(stderr, "usage: bench-soak-reader ADDRESS PORT TOPIC tail|cold SECONDS\n"
                        "Partition 0 of TOPIC, as bench-soak-writer writes it.\n");
        return EXIT_USAGE;
    }
    static struct reading reading;
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    reading.at_tail = strcmp(argv[4], "tail") == 0;
    soak_content_init(&reading.content);
    fetcher_connect(&reading.fetcher, "bench-soak-reader", argv[1],
                    (uint16_t)strtoul(argv[2], NULL, 10), argv[3]);
    const uint64_t end_ns = clock_mono_ns() + (uint64_t)(strtod(argv[5], NULL) * NS_PER_S);

    seek(&reading);
    while (stopping == 0 && clock_mono_ns() < end_ns) { read_on(&reading); }

    return finish(&reading);
}
