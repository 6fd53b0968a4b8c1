/* callback.c - reports and events come to callbacks, bytes are not copied.
 *
 *     callback SERVER COUNT
 *
 * Sends COUNT records with a key and a header. Exit status 0: all were stored. */
#include <penstock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct order {
    char key[16];
    char text[64];
    enum penstock_outcome outcome; /* holds when the flush has said 0 */
};

/* On the producer's thread: no waiting here. */
static void on_report(const struct penstock_report *reports, size_t count, void *context)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        struct order *order = reports[i].opaque;
        order->outcome = reports[i].outcome;
    }
}

static void on_event(const struct penstock_event *event, void *context)
{
    (void)context;
    fprintf(stderr, "<%d>%s\n", event->severity, event->text);
}

static struct penstock_producer *connect_to(const char *server)
{
    char error[PENSTOCK_ERROR_BYTES];
    struct penstock_producer *producer = NULL;
    struct penstock_config *config = penstock_config_new();
    if (config == NULL) { return NULL; }
    penstock_config_on_report(config, on_report, NULL);
    penstock_config_on_event(config, on_event, NULL);
    if (penstock_config_set(config, "servers", server, error, sizeof error) == PENSTOCK_OK &&
        penstock_config_set(config, "linger", "5ms", error, sizeof error) == PENSTOCK_OK) {
        producer = penstock_producer_new(config, error, sizeof error);
    }
    penstock_config_free(config);
    if (producer == NULL) { fprintf(stderr, "callback: %s\n", error); }
    return producer;
}

int main(int argc, char **argv)
{
    if (argc != 3) { return 2; }
    const size_t count = strtoul(argv[2], NULL, 10);
    struct order *orders = calloc(count, sizeof *orders);
    struct penstock_producer *producer = orders == NULL ? NULL : connect_to(argv[1]);
    if (producer == NULL) { return 1; }

    const struct penstock_header header = {"origin", "callback.c", 10};
    for (size_t i = 0; i < count; i++) {
        struct order *order = &orders[i];
        order->outcome = PENSTOCK_UNDELIVERED;
        snprintf(order->key, sizeof order->key, "customer-%zu", i % 100);
        snprintf(order->text, sizeof order->text, "order %zu", i);
        const struct penstock_message message = {
            .key = order->key, /* one customer's orders stay in order */
            .key_bytes = strlen(order->key),
            .value = order->text,
            .value_bytes = strlen(order->text),
            .headers = &header,
            .header_count = 1,
            .flags = PENSTOCK_NO_COPY, /* an order outlives its report */
            .opaque = order,
        };
        /* Full: the callback makes room; here is nothing to take. */
        while (penstock_send(producer, &message) == PENSTOCK_QUEUE_FULL) {
            penstock_flush(producer, 100);
        }
    }
    const unsigned long long left = penstock_close(producer, 30000);
    penstock_producer_free(producer);

    size_t durable = 0;
    for (size_t i = 0; i < count; i++) { durable += orders[i].outcome == PENSTOCK_DURABLE; }
    printf("%zu of %zu durable, %llu without a fate\n", durable, count, left);
    free(orders);
    return durable == count ? 0 : 1;
}
