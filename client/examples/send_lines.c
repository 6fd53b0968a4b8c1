/* send_lines.c - every line of standard input becomes a record.
 *
 *     send_lines SERVER [TOPIC]
 *
 * Exit status 0: every line has its fate, and all were stored or dropped by a rule.
 * Build: cc send_lines.c $(pkg-config --cflags --libs penstock) */
#include <penstock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "send_lines: %s\n", what);
    exit(1);
}

static struct penstock_producer *connect_to(const char *server, const char *topic)
{
    char error[PENSTOCK_ERROR_BYTES];
    struct penstock_config *config = penstock_config_new();
    if (config == NULL) { die("out of memory"); }
    if (penstock_config_set(config, "servers", server, error, sizeof error) != PENSTOCK_OK) {
        die(error);
    }
    if (topic != NULL &&
        penstock_config_set(config, "topic", topic, error, sizeof error) != PENSTOCK_OK) {
        die(error);
    }
    struct penstock_producer *producer = penstock_producer_new(config, error, sizeof error);
    penstock_config_free(config);
    if (producer == NULL) { die(error); }
    return producer;
}

/* Takes the reports that are there; waits for the first. Returns how many tell of a failure. */
static unsigned take_reports(struct penstock_producer *producer, int timeout_ms)
{
    struct penstock_report reports[256];
    unsigned failures = 0;
    size_t count = penstock_poll(producer, timeout_ms, reports, 256);
    for (size_t i = 0; i < count; i++) {
        if (reports[i].outcome == PENSTOCK_DURABLE || reports[i].outcome == PENSTOCK_DROPPED) {
            continue;
        }
        failures++;
        fprintf(stderr, "send_lines: lane %u, record %llu: %s: %s\n", (unsigned)reports[i].lane,
                (unsigned long long)reports[i].sequence, penstock_outcome_text(reports[i].outcome),
                penstock_reason_text(reports[i].reason));
    }
    return failures;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) { die("usage: send_lines SERVER [TOPIC]"); }
    struct penstock_producer *producer = connect_to(argv[1], argc == 3 ? argv[2] : NULL);
    unsigned failures = 0;
    char *line = NULL;
    size_t capacity = 0;

    ssize_t len;
    while ((len = getline(&line, &capacity, stdin)) >= 0) {
        if (len > 0 && line[len - 1] == '\n') { len--; }
        struct penstock_message message = {.value = line, .value_bytes = (size_t)len};
        enum penstock_result result;
        /* Full: somebody must take reports before there is room again. */
        while ((result = penstock_send(producer, &message)) == PENSTOCK_QUEUE_FULL) {
            failures += take_reports(producer, 100);
        }
        if (result != PENSTOCK_OK) { die(penstock_result_text(result)); }
        failures += take_reports(producer, 0);
    }
    free(line);

    if (penstock_close(producer, 30000) > 0) { fprintf(stderr, "send_lines: timed out\n"); }
    struct penstock_stats stats;
    penstock_stats_of(producer, &stats);
    for (uint64_t left = stats.queue_records; left > 0; left = stats.queue_records) {
        failures += take_reports(producer, 0);
        penstock_stats_of(producer, &stats);
    }
    printf("%llu records, %llu durable, %llu dropped by rules\n",
           (unsigned long long)stats.records_accepted, (unsigned long long)stats.records_durable,
           (unsigned long long)stats.records_dropped);
    penstock_producer_free(producer);
    return failures == 0 ? 0 : 1;
}
