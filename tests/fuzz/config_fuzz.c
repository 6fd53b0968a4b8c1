/* config_fuzz.c - any text is either a configuration or a list of errors, never both or neither. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

/* What every user of a configuration relies on without asking again. */
static void check_promises(const struct config *config)
{
    assert(config->node != NULL && config->runtime != NULL);
    assert(config->workers.count >= 1 && config->workers.count <= CONFIG_WORKERS_MAX);
    assert(config->topic_count >= 1 && config->topic_count <= CONFIG_TOPICS_MAX);
    assert(config->listener_count >= 1 && config->listener_count <= CONFIG_LISTENERS_MAX);
    assert(config->storage.paths.count >= 1);
    assert(config->storage.segment_bytes / config->storage.commit_bytes >= 4);
    assert(config->storage.ring_bytes / config->storage.commit_bytes >= 4);
    assert(config->serve.kafka.host != NULL && config->serve.kafka.port != 0);
    for (size_t i = 0; i < config->port_count; i++) {
        assert(config->ports[i].devices.count >= 1);
        assert(config->ports[i].address != 0);
        assert(config->ports[i].prefix_bits >= 1 && config->ports[i].prefix_bits <= 32);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        assert(config->listeners[i].port != 0);
        assert(config->listeners[i].topic >= CONFIG_NO_TOPIC);
        assert(config->listeners[i].topic < (int32_t)config->topic_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    struct config *const config =
        config_load_text((const char *)at, len_bytes, "fuzz.yaml", diagnostics);

    assert((config == NULL) == (diagnostics_error_count(diagnostics) > 0));
    if (config != NULL) { check_promises(config); }

    config_destroy(config);
    diagnostics_destroy(diagnostics);
    return 0;
}
