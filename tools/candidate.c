#include "tools/candidate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/yaml.h"
#include "pipeline/rules_compile.h"
#include "tools/command.h"

/* --------------------------------------------------------------------------------- name lists */

static int32_t name_find(char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) { return (int32_t)i; }
    }
    return -1;
}

static void name_add(char ***names, size_t *count, size_t names_max, const char *name)
{
    if (*count == names_max || name_find(*names, *count, name) >= 0) { return; }
    *names = allocate_again((void *)*names, *count + 1, sizeof(char *));
    (*names)[(*count)++] = allocate_text(name);
}

static void names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) { free(names[i]); }
    free((void *)names);
}

/* ----------------------------------------------------------------------------- what is assumed */

/* Every scalar of the node: a topic, or a list of them. */
static void add_scalars(const struct yaml_node *node, char ***names, size_t *count, size_t max)
{
    if (node == NULL) { return; }
    if (node->kind == YAML_SCALAR && node->text[0] != '\0') {
        name_add(names, count, max, node->text);
    }
    for (size_t i = 0; node->kind == YAML_LIST && i < node->child_count; i++) {
        if (node->children[i]->kind == YAML_SCALAR) {
            name_add(names, count, max, node->children[i]->text);
        }
    }
}

/* Routes are topics, and what a listener is compared with is a listener. The tree is as deep as
 * base/yaml.h lets it be. */
static void assume_from(struct candidate_world *world, const struct yaml_node *node)
{
    const struct yaml_node *const field = yaml_map_get(node, "field");
    add_scalars(yaml_map_get(node, "route"), &world->topics, &world->topic_count,
                CONFIG_TOPICS_MAX);
    if (field != NULL && field->kind == YAML_SCALAR && strcmp(field->text, "listener") == 0) {
        add_scalars(yaml_map_get(node, "equals"), &world->listeners, &world->listener_count,
                    CONFIG_LISTENERS_MAX);
    }
    for (size_t i = 0; node->kind != YAML_SCALAR && i < node->child_count; i++) {
        assume_from(world, node->children[i]);
    }
}

/* Where nothing decides, and the file has no default: listeners then have topics of their own,
 * which only a configuration names. */
static const char assumed_topic[] = "(its listener's topic)";

static void assume(struct candidate_world *world, const char *text, size_t text_bytes,
                   const char *listener)
{
    static const char *const usual[] = {"lines:5140", "syslog:514", "native:4650"};
    struct diagnostics *const ignored = diagnostics_create(); /* loading says them all again */
    struct yaml *const yaml = yaml_load_text(text, text_bytes, "rules", ignored);
    int32_t fallback = -1;
    for (size_t i = 0; i < ARRAY_COUNT(usual); i++) {
        name_add(&world->listeners, &world->listener_count, CONFIG_LISTENERS_MAX, usual[i]);
    }
    if (listener != NULL) {
        name_add(&world->listeners, &world->listener_count, CONFIG_LISTENERS_MAX, listener);
    }
    if (yaml != NULL) {
        assume_from(world, yaml_root(yaml));
        if (yaml_map_get(yaml_root(yaml), "default") == NULL) {
            fallback = (int32_t)world->topic_count;
            name_add(&world->topics, &world->topic_count, CONFIG_TOPICS_MAX + 1, assumed_topic);
        }
    }
    world->listener_topics = allocate_zeroed(world->listener_count, sizeof(int32_t));
    for (size_t i = 0; i < world->listener_count; i++) { world->listener_topics[i] = fallback; }
    yaml_destroy(yaml);
    diagnostics_destroy(ignored);
}

/* ----------------------------------------------------------------------------------- the world */

static void take_from_config(struct candidate_world *world, const struct config *config)
{
    world->listener_topics = allocate_zeroed(config->listener_count, sizeof(int32_t));
    world->topics = allocate_zeroed(config->topic_count, sizeof(char *));
    world->listeners = allocate_zeroed(config->listener_count, sizeof(char *));
    world->topic_count = config->topic_count;
    world->listener_count = config->listener_count;
    for (size_t i = 0; i < config->topic_count; i++) {
        world->topics[i] = allocate_text(config->topics[i].name);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *const listener = &config->listeners[i];
        char name[32];
        snprintf(name, sizeof name, "%s:%u", config_protocol_name(listener->protocol),
                 listener->port);
        world->listeners[i] = allocate_text(name);
        world->listener_topics[i] = listener->topic;
    }
}

void candidate_world_init(struct candidate_world *world, struct config *config,
                          const char *rules_text, size_t rules_bytes, const char *listener)
{
    *world = (struct candidate_world){.config = config};
    if (config != NULL) {
        take_from_config(world, config);
    } else {
        assume(world, rules_text, rules_bytes, listener);
    }
}

void candidate_world_deinit(struct candidate_world *world)
{
    names_free(world->topics, world->topic_count);
    names_free(world->listeners, world->listener_count);
    free(world->listener_topics);
    config_destroy(world->config);
    *world = (struct candidate_world){0};
}

struct rules_world candidate_world_rules(const struct candidate_world *world)
{
    return (struct rules_world){
        .topics = (const char *const *)world->topics,
        .topic_count = world->topic_count,
        .listener_topics = world->listener_topics,
        .listener_count = world->listener_count,
        .listener_names = (const char *const *)world->listeners,
    };
}

int32_t candidate_world_topic(const struct candidate_world *world, const char *name)
{
    return name_find(world->topics, world->topic_count, name);
}

int32_t candidate_world_listener(const struct candidate_world *world, const char *name)
{
    return name_find(world->listeners, world->listener_count, name);
}

/* --------------------------------------------------------------------------------- a candidate */

bool candidate_load(struct candidate *candidate, const struct candidate_world *world,
                    const char *path, char *text, size_t text_bytes,
                    struct diagnostics *diagnostics)
{
    const struct rules_world rules_world = candidate_world_rules(world);
    *candidate = (struct candidate){
        .world = world, .path = allocate_text(path), .text = text, .text_bytes = text_bytes};
    if (!rules_read_text(text, text_bytes, path, &rules_world, diagnostics, &candidate->document)) {
        candidate_deinit(candidate);
        return false;
    }
    candidate->source = rules_document_source(candidate->document);
    const uint64_t began_ns = clock_mono_ns();
    candidate->rules = rules_compile(candidate->source, candidate->source->file, diagnostics);
    candidate->compile_ns = clock_mono_ns() - began_ns;
    if (candidate->rules == NULL) {
        candidate_deinit(candidate);
        return false;
    }
    return true;
}

void candidate_deinit(struct candidate *candidate)
{
    rules_document_destroy(candidate->document);
    rule_set_destroy(candidate->rules);
    free(candidate->text);
    free(candidate->path);
    *candidate = (struct candidate){0};
}

bool candidate_condition_asks(const struct rule_condition *condition, enum rule_field_kind kind)
{
    if (condition->kind == RULE_CONDITION_TEST) { return condition->field.kind == kind; }
    for (size_t i = 0; i < condition->child_count; i++) {
        if (candidate_condition_asks(&condition->children[i], kind)) { return true; }
    }
    return false;
}

/* ---------------------------------------------------------------------------- of a command line */

/* What only a penstock.yaml has. */
static bool is_configuration(const char *text, size_t text_bytes)
{
    static const char *const keys[] = {"node",      "workers", "ports",
                                       "listeners", "topics",  "storage"};
    struct diagnostics *const ignored = diagnostics_create();
    struct yaml *const yaml = yaml_load_text(text, text_bytes, "file", ignored);
    bool found = false;
    for (size_t i = 0; yaml != NULL && !found && i < ARRAY_COUNT(keys); i++) {
        found = yaml_map_get(yaml_root(yaml), keys[i]) != NULL;
    }
    yaml_destroy(yaml);
    diagnostics_destroy(ignored);
    return found;
}

static char *read_file(const char *path, struct diagnostics *diagnostics, size_t *len_bytes,
                       int *out_code)
{
    char *text = NULL;
    char *const why = yaml_read_file(path, &text, len_bytes);
    if (why == NULL) { return text; }
    diagnostics_error(diagnostics, (struct file_place){path, 0, 0}, "%s", why);
    free(why);
    *out_code = COMMAND_UNREADABLE;
    return NULL;
}

static void tell_assumed(const struct candidate_options *options,
                         const struct candidate_world *world)
{
    if (options->quiet || world->config != NULL) { return; }
    fprintf(stderr,
            "%s: no configuration (--config FILE): the topics that the file names are "
            "taken to be there",
            options->tool);
    for (size_t i = 0; i < world->topic_count; i++) {
        if (strcmp(world->topics[i], assumed_topic) == 0) { continue; }
        fprintf(stderr, "%s %s", i == 0 ? ":" : ",", world->topics[i]);
    }
    fprintf(stderr, "\n");
}

/* The configuration that is meant; NULL with *out_code COMMAND_OK: none. */
static struct config *config_of(const struct candidate_options *options, const char *named,
                                struct diagnostics *diagnostics, int *out_code)
{
    const char *path = named != NULL ? named : options->config_path;
    *out_code = COMMAND_OK;
    if (path == NULL && !options->no_config && command_can_read(COMMAND_DEFAULT_CONFIG)) {
        path = COMMAND_DEFAULT_CONFIG;
    }
    if (path == NULL) { return NULL; }
    struct config *const config = config_load(path, diagnostics);
    if (config == NULL) {
        *out_code = command_can_read(path) ? COMMAND_FINDING : COMMAND_UNREADABLE;
    }
    return config;
}

bool candidate_open(const struct candidate_options *options, struct diagnostics *diagnostics,
                    struct candidate_world *world, struct candidate *out, int *out_code)
{
    size_t text_bytes = 0;
    char *text = NULL;
    const char *path = options->path;
    const char *configuration = NULL;
    *world = (struct candidate_world){0};
    *out = (struct candidate){0};
    if (path != NULL) {
        text = read_file(path, diagnostics, &text_bytes, out_code);
        if (text == NULL) { return false; }
        if (is_configuration(text, text_bytes)) {
            configuration = path;
            path = NULL;
            free(text);
            text = NULL;
        }
    }
    struct config *const config = config_of(options, configuration, diagnostics, out_code);
    bool good = *out_code == COMMAND_OK;
    if (good && path == NULL && (config == NULL || config->rules_path == NULL)) {
        fprintf(stderr, "%s: %s\n", options->tool,
                config == NULL ? "no rules file given, and no configuration that names one"
                               : "the configuration names no rules file");
        *out_code = config == NULL ? COMMAND_USAGE : COMMAND_UNREADABLE;
        good = false;
    }
    if (good && path == NULL) {
        path = config->rules_path;
        text = read_file(path, diagnostics, &text_bytes, out_code);
        good = text != NULL;
    }
    if (!good) {
        config_destroy(config);
        free(text);
        return false;
    }
    candidate_world_init(world, config, text, text_bytes, options->listener);
    tell_assumed(options, world);
    if (candidate_load(out, world, path, text, text_bytes, diagnostics)) { return true; }
    candidate_world_deinit(world);
    *out_code = COMMAND_FINDING;
    return false;
}
