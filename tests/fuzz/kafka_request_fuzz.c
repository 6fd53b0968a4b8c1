/* Any bytes as a request frame: header, dispatch, every handler, waiting and cold reads included.
 *
 * No socket and no thread: cold reads are run between the steps. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/kafka_request.h"
#include "tests/serve/fake_reader.h"

enum { STEPS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

/* Made at the first input: to make it for each took most of the time. No input leaves a trace in
 * it. */
static struct furniture {
    struct catalog catalog;
    struct serve_stats stats;
} furniture;

/* One batch of each kind: in the ring, on disk, stale, spoilt in the ring, rotted. */
static struct reader *furnish_reader(void)
{
    const struct reader_options options = {0};
    const struct log_id id = {{1, 1, 1, 1}};
    struct reader *reader = NULL;
    if (reader_create(&options, &reader) != STATUS_OK) { abort(); }
    fake_reader_set_partitions(reader, 2);
    fake_reader_set_leader_epoch(reader, 3);
    const size_t topic = fake_reader_add_topic(reader, "events", id);
    fake_reader_append(reader, topic, 0, 4, 1700000000000, 5, 10, false);
    fake_reader_append(reader, topic, 0, 4, 1700000000100, 5, 10, true);
    fake_reader_append(reader, topic, 0, 4, 1700000000050, 5, 10, true);
    fake_reader_append(reader, topic, 0, 4, 1700000000000, 5, 10, true);
    fake_reader_set_fault(reader, topic, 0, 8, STATUS_STALE, STATUS_OK);
    fake_reader_set_fault(reader, topic, 0, 12, STATUS_CORRUPT, STATUS_OK);
    fake_reader_append(reader, topic, 1, 1, 0, 0, 10, true);
    fake_reader_append(reader, topic, 1, 1, 0, 0, 10, false);
    fake_reader_set_fault(reader, topic, 1, 1, STATUS_OK, STATUS_CORRUPT);
    return reader;
}

static void furnish(struct furniture *out)
{
    struct catalog *const catalog = &out->catalog;
    struct batch_location rotten;
    catalog->reader = furnish_reader();
    catalog->stats = &out->stats;
    const struct cold_reader_options options = {.reader = catalog->reader, .queue_max = 4};
    if (cold_reader_create(&options, &catalog->cold) != STATUS_OK) { abort(); }
    if (reader_find_offset(catalog->reader, 0, 1, 1, &rotten) != STATUS_OK) { abort(); }
    fence_set_add(&catalog->fences, &rotten, "events"); /* here, or an input would log it */
}

/* A read that outlived its request. */
static void finish_reads(struct catalog *catalog)
{
    void *owner = NULL;
    while (cold_reader_step(catalog->cold)) {}
    while (catalog_take_finished(catalog, &owner)) {
        if (owner != NULL) { abort(); }
    }
}

static void run(const struct kafka_service *service, struct bytes frame)
{
    const struct kafka_address address = {"edge-17", 9092};
    struct kafka_request request;
    enum kafka_turn turn =
        kafka_request_begin(&request, service, address, &request, frame, /*now_ns=*/1);

    /* Parked requests are tried once more, then told that their time is over. */
    for (int i = 0; i < STEPS_MAX; i++) {
        void *owner = NULL;
        if (turn != KAFKA_TURN_PARKED && turn != KAFKA_TURN_READING) { break; }
        if (turn == KAFKA_TURN_READING) {
            if (!cold_reader_step(service->catalog->cold)) { abort(); }
            if (!catalog_take_finished(service->catalog, &owner)) { abort(); }
            if (owner != &request) { abort(); }
        }
        turn = kafka_request_resume(&request, 2, /*must_answer=*/i > 0);
    }
    if (turn == KAFKA_TURN_DONE) {
        const struct bytes answer = kafka_request_answer(&request);
        if (answer.len_bytes < 8 || load_be32(answer.at) != answer.len_bytes - 4) { abort(); }
    }
    kafka_request_end(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct catalog *const catalog = &furniture.catalog;
    const struct kafka_service service = {catalog, &furniture.stats};
    if (catalog->reader == NULL) { furnish(&furniture); }
    memset(&furniture.stats, 0, sizeof furniture.stats);
    catalog->cache = block_cache_create(200);
    if (catalog->cache == NULL) { abort(); }

    run(&service, bytes_of(at, len_bytes));

    finish_reads(catalog);
    if (furniture.stats.answer_bytes_held != 0) { abort(); }
    block_cache_destroy(catalog->cache);
    return 0;
}
