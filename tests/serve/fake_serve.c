/* fake_serve: penstock-serve over batches in memory, to point real Kafka clients at.
 *
 * usage: fake_serve KAFKA_PORT ADMIN_PORT
 * Topic "cold" lies on disk, "events" in the ring, "empty" never had a record. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/logger.h"
#include "serve/server.h"
#include "tests/serve/fake_reader.h"

static void fill(struct reader *reader)
{
    const struct log_id cluster = {
        {0x10, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}};
    const struct log_id events = {{1, 1, 1, 1}};
    const struct log_id cold = {{2, 2, 2, 2}};
    const struct log_id empty = {{3, 3, 3, 3}};
    fake_reader_set_partitions(reader, 2);
    fake_reader_set_cluster_id(reader, cluster);
    fake_reader_add_topic(reader, "events", events);
    fake_reader_add_topic(reader, "cold", cold);
    fake_reader_add_topic(reader, "empty", empty);
    for (int64_t i = 0; i < 100; i++) {
        fake_reader_append(reader, 0, 0, 10, 1700000000000 + i * 1000, 10, 64, true);
        fake_reader_append(reader, 1, 0, 10, 1700000000000 + i * 1000, 10, 1000, false);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) { return 2; }
    const char *const paths[] = {"/nonexistent"};
    const struct server_options options = {
        .node = "fake",
        .runtime = "/nonexistent",
        .storage_paths = paths,
        .storage_path_count = 1,
        .kafka_host = "127.0.0.1",
        .kafka_port = (uint16_t)atoi(argv[1]),
        .admin_host = "127.0.0.1",
        .admin_port = (uint16_t)atoi(argv[2]),
        .cold_read_bytes_per_s = 100 << 20,
        .cache_bytes = 100 << 10,
        .connections_max = 100,
    };
    struct server *server = NULL;
    logger_init("fake_serve", LOG_LEVEL_NOTICE);
    signal(SIGPIPE, SIG_IGN);
    if (server_create(&options, &server) != STATUS_OK) { return 1; }
    fill(fake_reader_latest());
    printf("%u %u\n", server_kafka_port(server), server_admin_port(server));
    fflush(stdout);
    server_run(server);
    server_destroy(server);
    return 0;
}
