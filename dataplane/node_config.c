#include "dataplane/node_config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/yaml.h"
#include "pipeline/rules_load.h"

/* The bytes are read here, once: what is kept of them is what was judged. */
static struct rule_set *load_text(const struct config *config, const struct rules_world *world,
                                  struct diagnostics *diagnostics, struct rules_text *text)
{
    if (config->rules_path == NULL) {
        return rules_load(NULL, config->rules_place, world, diagnostics);
    }
    char *const why = yaml_read_file(config->rules_path, &text->at, &text->len_bytes);
    if (why != NULL) {
        diagnostics_error(diagnostics, config->rules_place, "rules: %s %s", config->rules_path,
                          why);
        free(why);
        return NULL;
    }
    return rules_load_text(text->at, text->len_bytes, config->rules_path, world, diagnostics);
}

struct rule_set *node_config_load_rules(const struct config *config,
                                        struct diagnostics *diagnostics,
                                        struct rules_text *out_text)
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
        .cache_path = config->cache,
    };
    struct rules_text text = {NULL, 0};
    struct rule_set *const rules = load_text(config, &world, diagnostics, &text);
    if (out_text != NULL) {
        *out_text = text;
    } else {
        free(text.at);
    }
    for (size_t i = 0; i < config->listener_count; i++) { free(listener_names[i]); }
    free(listener_names);
    free(listener_topics);
    free(topics);
    return rules;
}

bool node_config_load(const char *path, struct diagnostics *diagnostics, struct node_config *out)
{
    *out = (struct node_config){0};
    out->config = config_load(path, diagnostics);
    if (out->config == NULL) { return false; }

    out->rules = node_config_load_rules(out->config, diagnostics, &out->rules_text);
    if (out->rules == NULL) {
        node_config_deinit(out);
        return false;
    }
    return true;
}

void node_config_deinit(struct node_config *node_config)
{
    rule_set_destroy(node_config->rules);
    free(node_config->rules_text.at);
    config_destroy(node_config->config);
    *node_config = (struct node_config){0};
}
