#include "dataplane/node_config.h"

#include "pipeline/rules_load.h"

static struct rule_set *load_rules(const struct config *config, struct diagnostics *diagnostics)
{
    const char *topics[CONFIG_TOPICS_MAX];
    int32_t listener_topics[CONFIG_LISTENERS_MAX];
    for (size_t i = 0; i < config->topic_count; i++) { topics[i] = config->topics[i].name; }
    for (size_t i = 0; i < config->listener_count; i++) {
        listener_topics[i] = config->listeners[i].topic;
    }

    const struct rules_world world = {
        .topics = topics,
        .topic_count = config->topic_count,
        .listener_topics = listener_topics,
        .listener_count = config->listener_count,
    };
    return rules_load(config->rules_path, &world, diagnostics);
}

bool node_config_load(const char *path, struct node_config *out, struct diagnostics *diagnostics)
{
    out->rules = NULL;
    out->config = config_load(path, diagnostics);
    if (out->config == NULL) { return false; }

    out->rules = load_rules(out->config, diagnostics);
    if (out->rules == NULL) {
        node_config_unload(out);
        return false;
    }
    return true;
}

void node_config_unload(struct node_config *config)
{
    rule_set_destroy(config->rules);
    config_destroy(config->config);
    config->rules = NULL;
    config->config = NULL;
}
