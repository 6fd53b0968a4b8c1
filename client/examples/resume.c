/* resume.c - sends a file's lines so that it can be killed at any time and started again: each line
 * is stored once, in order.
 *
 *     resume SERVER STATE FILE [STOP-AFTER]
 *
 * STATE keeps the producer's id. The appliance knows how many records of the lane are durable: the
 * library asks, and this program skips as many lines. STOP-AFTER ends the program in the
 * middle, without goodbye, after so many lines: for trying it out. */
#include <penstock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "resume: %s\n", what);
    exit(1);
}

static void set(struct penstock_config *config, const char *key, const char *value)
{
    char error[PENSTOCK_ERROR_BYTES];
    if (penstock_config_set(config, key, value, error, sizeof error) != PENSTOCK_OK) { die(error); }
}

static struct penstock_producer *connect_to(const char *server, const char *state)
{
    char error[PENSTOCK_ERROR_BYTES];
    char id[4096];
    snprintf(id, sizeof id, "file:%s", state);
    struct penstock_config *config = penstock_config_new();
    if (config == NULL) { die("out of memory"); }
    set(config, "servers", server);
    set(config, "producer.id", id);
    set(config, "lanes", "1"); /* one sequence: the file's */
    set(config, "reports", "none");
    /* All lines can be read again: go on behind what is durable. What is only received could still
     * be lost with the appliance, and is sent again without being stored twice. */
    const struct penstock_lane_start start = {
        .lane = 0, .durable = PENSTOCK_UNKNOWN, .oldest_held = 1, .begin = true};
    if (penstock_config_set_lane(config, &start) != PENSTOCK_OK) { die("no such lane"); }
    struct penstock_producer *producer = penstock_producer_new(config, error, sizeof error);
    penstock_config_free(config);
    if (producer == NULL) { die(error); }
    return producer;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) { die("usage: resume SERVER STATE FILE [STOP-AFTER]"); }
    FILE *file = fopen(argv[3], "r");
    if (file == NULL) { die("cannot open FILE"); }
    const unsigned long long stop = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;
    struct penstock_producer *producer = connect_to(argv[1], argv[2]);

    uint64_t next;
    if (penstock_lane_resume(producer, 0, 30000, &next) != PENSTOCK_OK) { die("cannot resume"); }

    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    unsigned long long sent = 0;
    for (uint64_t sequence = 1; (len = getline(&line, &capacity, file)) >= 0; sequence++) {
        if (sequence < next) { continue; } /* durable in an earlier life */
        if (len > 0 && line[len - 1] == '\n') { len--; }
        const struct penstock_message message = {.value = line, .value_bytes = (size_t)len};
        enum penstock_result result;
        while ((result = penstock_send(producer, &message)) == PENSTOCK_QUEUE_FULL) {
            penstock_flush(producer, 100);
        }
        if (result != PENSTOCK_OK) { die(penstock_result_text(result)); }
        if (++sent == stop) {
            penstock_flush(producer, 50);
            _Exit(0);
        }
    }
    free(line);
    fclose(file);

    const unsigned long long left = penstock_close(producer, 30000);
    printf("went on at line %llu, sent %llu, %llu without a fate\n", (unsigned long long)next, sent,
           left);
    penstock_producer_free(producer);
    return left == 0 ? 0 : 1;
}
