#include "base/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/config_check.h"
#include "base/config_keys.h"
#include "base/invariant.h"
#include "base/yaml.h"

enum { CONFIG_SECTION_KEYS_MAX = 32 };

struct reading {
    struct config *config;
    struct diagnostics *diagnostics;
};

/* The keys that may stand in one section. */
struct section_keys {
    const struct config_key *keys[CONFIG_SECTION_KEYS_MAX];
    const char *names[CONFIG_SECTION_KEYS_MAX];
    size_t count;
};

static struct section_keys keys_of(const struct config_key *section)
{
    struct section_keys out = {.count = 0};
    for (size_t i = 0; i < config_key_count(); i++) {
        const struct config_key *const key = config_keys_at(i);
        if (!config_key_is_in(key, section)) { continue; }
        assert(out.count < CONFIG_SECTION_KEYS_MAX);
        out.keys[out.count] = key;
        out.names[out.count++] = config_key_name(key);
    }
    return out;
}

/* ---- keys that do not belong there --------------------------------------------------- */

static char *path_below(const struct config_key *section, const char *name)
{
    char *path = NULL;
    const int len = section == NULL ? asprintf(&path, "%s", name)
                                    : asprintf(&path, "%s%s.%s", section->facts.path,
                                               section->list ? "[]" : "", name);
    if (len < 0) { abort(); }
    return path;
}

static void refuse_unknown_key(const struct reading *reading, const struct config_key *section,
                               const struct section_keys *known, const struct yaml_node *key)
{
    char *const path = path_below(section, key->text);
    const char *const where = section != NULL ? section->facts.path : "the file";
    const char *const nearest = yaml_nearest(key->text, known->names, known->count);
    if (config_is_for_later(path, NULL)) {
        diagnostics_error(reading->diagnostics, key->place,
                          "'%s' is not in this version; leave it out", path);
    } else if (nearest != NULL) {
        diagnostics_error(reading->diagnostics, key->place,
                          "unknown key '%s' in %s; did you mean '%s'?", key->text, where, nearest);
    } else {
        diagnostics_error(reading->diagnostics, key->place,
                          "unknown key '%s' in %s; docs/configuration.md lists all", key->text,
                          where);
    }
    free(path);
}

static void refuse_unknown_keys(const struct reading *reading, const struct config_key *section,
                                const struct section_keys *known, const struct yaml_node *map)
{
    for (size_t i = 0; i < map->child_count; i++) {
        bool is_known = false;
        for (size_t j = 0; j < known->count && !is_known; j++) {
            is_known = strcmp(known->names[j], map->keys[i]->text) == 0;
        }
        if (!is_known) { refuse_unknown_key(reading, section, known, map->keys[i]); }
    }
}

/* ---- from tree to struct ------------------------------------------------------------- */

static void read_section(const struct reading *reading, const struct config_key *section,
                         const struct yaml_node *map, void *base);

static void read_value(const struct reading *reading, const struct config_key *key,
                       const struct yaml_node *node, void *base)
{
    const struct config_value value = {
        .config = reading->config,
        .key = key,
        .node = node,
        .field = (char *)base + key->offset,
        .diagnostics = reading->diagnostics,
    };
    key->read(&value);
}

static void read_list(const struct reading *reading, const struct config_key *key,
                      const struct yaml_node *node, void *base)
{
    const struct config_list *const list = key->list;
    const char *const name = config_key_name(key);
    if (node->kind != YAML_LIST) {
        diagnostics_error(reading->diagnostics, node->place,
                          "'%s' is no list; begin each item with '- '", name);
        return;
    }
    if (node->child_count < 1 || node->child_count > list->items_max) {
        diagnostics_error(reading->diagnostics, node->place,
                          "'%s' has %zu items; it must have 1 to %zu", name, node->child_count,
                          list->items_max);
        return;
    }

    char *const items = allocate_zeroed(node->child_count, list->item_bytes);
    *(void **)((char *)base + key->offset) = items;
    size_t *const count = (size_t *)(void *)((char *)base + list->count_offset);
    for (size_t i = 0; i < node->child_count; i++) {
        const struct yaml_node *const child = node->children[i];
        void *const item = items + i * list->item_bytes;
        struct file_place place = child->place;
        place.file = reading->config->path; /* the tree's copy goes with the tree */
        if (list->begin != NULL) { list->begin(item, place); }
        (*count)++;
        if (child->kind == YAML_MAP) {
            read_section(reading, key, child, item);
        } else {
            diagnostics_error(reading->diagnostics, child->place,
                              "an item of '%s' is a section: { key: value, ... }", name);
        }
    }
}

static void read_subsection(const struct reading *reading, const struct config_key *key,
                            const struct yaml_node *node, void *base)
{
    if (node->kind != YAML_MAP) {
        diagnostics_error(reading->diagnostics, node->place,
                          "'%s' is a section: { key: value, ... }", config_key_name(key));
        return;
    }
    read_section(reading, key, node, base);
}

/* Defaults are written in the table as they would be in a file, and read by the same code. */
static void read_absent(const struct reading *reading, const struct config_key *key,
                        const struct yaml_node *map, void *base)
{
    const char *const default_text = key->facts.default_text;
    if (strcmp(default_text, "-") == 0) {
        diagnostics_error(reading->diagnostics, map->place, "missing key '%s' (%s): %s",
                          key->facts.path, key->facts.type, key->facts.help);
        return;
    }
    if (key->read == NULL && key->list == NULL) {
        const struct yaml_node nothing = {.kind = YAML_MAP, .place = map->place};
        read_section(reading, key, &nothing, base);
        return;
    }
    if (default_text[0] == '\0') { return; }
    const struct yaml_node node = {
        .kind = YAML_SCALAR, .place = map->place, .text = default_text, .plain = true};
    read_value(reading, key, &node, base);
}

/* In the table's order, not the file's: topics are known before listeners name them. */
static void read_section(const struct reading *reading, const struct config_key *section,
                         const struct yaml_node *map, void *base)
{
    const struct section_keys known = keys_of(section);
    refuse_unknown_keys(reading, section, &known, map);
    for (size_t i = 0; i < known.count; i++) {
        const struct config_key *const key = known.keys[i];
        const struct yaml_node *const node = yaml_map_get(map, known.names[i]);
        if (node == NULL) {
            read_absent(reading, key, map, base);
        } else if (key->list != NULL) {
            read_list(reading, key, node, base);
        } else if (key->read != NULL) {
            read_value(reading, key, node, base);
        } else {
            read_subsection(reading, key, node, base);
        }
    }
}

/* ---- the module's face --------------------------------------------------------------- */

/* `errors_before` the tree was read: its errors count as ours. */
static struct config *config_of_tree(struct yaml *yaml, const char *path, size_t errors_before,
                                     struct diagnostics *diagnostics)
{
    if (yaml == NULL) { return NULL; }

    struct config *config = allocate_zeroed(1, sizeof *config);
    const struct yaml_node *const root = yaml_root(yaml);
    config->path = allocate_text(path);
    if (root->kind == YAML_MAP) {
        const struct reading reading = {config, diagnostics};
        read_section(&reading, NULL, root, config);
        config_check(config, root, diagnostics);
    } else {
        diagnostics_error(diagnostics, root->place,
                          "a configuration is a map of keys; it begins with 'node: name', say");
    }
    yaml_destroy(yaml);

    if (diagnostics_error_count(diagnostics) == errors_before) { return config; }
    config_destroy(config);
    return NULL;
}

struct config *config_load(const char *path, struct diagnostics *diagnostics)
{
    const size_t errors_before = diagnostics_error_count(diagnostics);
    return config_of_tree(yaml_load(path, diagnostics), path, errors_before, diagnostics);
}

struct config *config_load_text(const char *text, size_t len_bytes, const char *name,
                                struct diagnostics *diagnostics)
{
    const size_t errors_before = diagnostics_error_count(diagnostics);
    struct yaml *const yaml = yaml_load_text(text, len_bytes, name, diagnostics);
    return config_of_tree(yaml, name, errors_before, diagnostics);
}

static void free_strings(struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++) { free(strings->items[i]); }
    free(strings->items);
}

void config_destroy(struct config *config)
{
    if (config == NULL) { return; }
    for (size_t i = 0; i < config->port_count; i++) { free_strings(&config->ports[i].devices); }
    for (size_t i = 0; i < config->topic_count; i++) { free(config->topics[i].name); }
    free(config->ports);
    free(config->topics);
    free(config->listeners);
    free(config->workers.cores);
    free_strings(&config->dpdk.extra_arguments);
    free_strings(&config->storage.paths);
    free(config->serve.kafka.host);
    free(config->serve.advertise.host);
    free(config->serve.admin.host);
    free(config->rules_path);
    free(config->runtime);
    free(config->cache);
    free(config->node);
    free(config->path);
    free(config);
}

int32_t config_topic_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->topic_count; i++) {
        const char *const topic = config->topics[i].name;
        if (topic != NULL && strcmp(topic, name) == 0) { return (int32_t)i; }
    }
    return CONFIG_NO_TOPIC;
}

bool config_has_protocol(const struct config *config, enum config_protocol protocol)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].protocol == protocol) { return true; }
    }
    return false;
}

uint64_t config_lanes_bytes(const struct config *config)
{
    enum { LEAST_BYTES = 16384, BLOCK_BYTES = 4096 };
    if (!config_has_protocol(config, CONFIG_PROTOCOL_NATIVE)) { return 0; }
    const uint64_t quarter_bytes = config->storage.commit_bytes / 4 / BLOCK_BYTES * BLOCK_BYTES;
    return quarter_bytes < LEAST_BYTES ? LEAST_BYTES : quarter_bytes;
}

uint64_t config_max_record_bytes(const struct config *config)
{
    const uint64_t most_bytes = config_record_room(config->storage.commit_bytes);
    return config->lanes.max_record_bytes < most_bytes ? config->lanes.max_record_bytes
                                                       : most_bytes;
}
