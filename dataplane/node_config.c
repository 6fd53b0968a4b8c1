#include "dataplane/node_config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "pipeline/rules_load.h"

static struct rule_set *load_rules(const struct config *config, struct diagnostics *diagnostics)
{
    const char **const topics = allocate_zeroed(config->topic_count, sizeof topics[0]);
    int32_t *const listener_topics =
        allocate_zeroed(config->listener_count, sizeof listener_topics[0]);
    for (size_t i = 0; i < config->topic_count; i++) { topics[i] = config->topics[i].name; }
    char **const listener_names = allocate_zeroed(config->listener_count, sizeof listener_names[0]);
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *const listener = &config->listeners[i];
        char name[32];
        snprintf(name, sizeof name, "%s:%u", config_protocol_name(listener->protocol),
                 listener->port);
        listener_topics[i] = listener->topic;
        listener_names[i] = allocate_text(name);
    }

    const struct rules_world world = {
        .topics = topics,
        .topic_count = config->topic_count,
        .listener_topics = listener_topics,
        .listener_count = config->listener_count,
        .listener_names = (const char *const *)listener_names,
    };
    struct rule_set *const rules =
        rules_load(config->rules_path, config->rules_place, &world, diagnostics);
    for (size_t i = 0; i < config->listener_count; i++) { free(listener_names[i]); }
    free(listener_names);
    free(listener_topics);
    free(topics);
    return rules;
}

bool node_config_load(const char *path, struct diagnostics *diagnostics, struct node_config *out)
{
    *out = (struct node_config){NULL, NULL};
    out->config = config_load(path, diagnostics);
    if (out->config == NULL) { return false; }

    out->rules = load_rules(out->config, diagnostics);
    if (out->rules == NULL) {
        node_config_deinit(out);
        return false;
    }
    return true;
}

void node_config_deinit(struct node_config *node_config)
{
    rule_set_destroy(node_config->rules);
    config_destroy(node_config->config);
    *node_config = (struct node_config){NULL, NULL};
}
