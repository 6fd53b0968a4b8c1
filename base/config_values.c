#include "base/config_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/config_keys.h"
#include "base/invariant.h"
#include "base/units.h"

enum {
    CONFIG_BLOCK_BYTES = 4096,
    CONFIG_NODE_NAME_MAX = 63,
    CONFIG_TOPIC_NAME_MAX = 249,
};

const char *config_value_name(const struct config_value *value)
{
    return config_key_name(value->key);
}

/* ---- scalars and lists in general ---------------------------------------------------- */

static bool stands_for_nothing(const struct yaml_node *node)
{
    static const char *const nothings[] = {"", "~", "null", "Null", "NULL"};
    if (!node->plain) { return node->text[0] == '\0'; }
    for (size_t i = 0; i < ARRAY_COUNT(nothings); i++) {
        if (strcmp(node->text, nothings[i]) == 0) { return true; }
    }
    return false;
}

const char *config_value_text(const struct config_value *value)
{
    const char *const type = value->key->facts.type;
    if (value->node->kind != YAML_SCALAR) {
        config_refuse(value, "'%s' is a %s here; what belongs here: %s", config_value_name(value),
                      value->node->kind == YAML_LIST ? "list" : "map", type);
        return NULL;
    }
    if (stands_for_nothing(value->node)) {
        config_refuse(value, "'%s' has no value; what belongs here: %s", config_value_name(value),
                      type);
        return NULL;
    }
    return value->node->text;
}

static struct config_value item_of(const struct config_value *list, size_t index)
{
    struct config_value item = *list;
    item.node = list->node->children[index];
    return item;
}

/* Whether the value is a list of as many items as its key may have. */
static bool is_list(const struct config_value *value, size_t count_min, size_t count_max)
{
    if (value->node->kind != YAML_LIST) {
        config_refuse(value, "'%s' is no list; write [%s]", config_value_name(value),
                      value->node->kind == YAML_SCALAR ? value->node->text : "...");
        return false;
    }
    if (value->node->child_count < count_min || value->node->child_count > count_max) {
        config_refuse(value, "'%s' has %zu items; it must have %zu to %zu",
                      config_value_name(value), value->node->child_count, count_min, count_max);
        return false;
    }
    return true;
}

static void strings_add(struct config_strings *strings, const char *text)
{
    strings->items = allocate_again(strings->items, strings->count + 1, sizeof strings->items[0]);
    strings->items[strings->count++] = allocate_text(text);
}

static void refuse_repeated(const struct config_value *item, const char *text,
                            const struct config_strings *earlier)
{
    for (size_t i = 0; i < earlier->count; i++) {
        if (strcmp(earlier->items[i], text) == 0) {
            config_refuse(item, "'%s' a second time in '%s'", text, config_value_name(item));
            return;
        }
    }
}

/* ---- numbers ------------------------------------------------------------------------- */

typedef bool number_parser(const char *text, uint64_t *out);

/* The bounds are written in the table as in a file: one spelling for parser, message and manual. */
static bool is_in_range(const struct config_value *value, uint64_t number, number_parser *parse)
{
    const struct config_key_facts *const facts = &value->key->facts;
    uint64_t least;
    uint64_t most;
    if (facts->least[0] == '\0') { return true; }
    const bool bounds_parse = parse(facts->least, &least) && parse(facts->most, &most);
    assert(bounds_parse);
    if (number >= least && number <= most) { return true; }
    config_refuse(value, "'%s' is %s; it must be from %s to %s", config_value_name(value),
                  value->node->text, facts->least, facts->most);
    return false;
}

static bool begins_with_idle_zero(const char *text)
{
    uint64_t ignored;
    return text[0] == '0' && text[1] != '\0' && units_parse_integer(text, &ignored);
}

static bool read_integer(const struct config_value *value, uint64_t *out)
{
    const char *const text = config_value_text(value);
    if (text == NULL) { return false; }
    if (begins_with_idle_zero(text)) {
        const char *const digits = text + strspn(text, "0");
        config_refuse(value,
                      "'%s' is %s: a leading zero makes an octal number in some YAML; write %s",
                      config_value_name(value), text, *digits != '\0' ? digits : "0");
        return false;
    }
    const bool digits_alone = text[strspn(text, "0123456789")] == '\0';
    if (digits_alone && !units_parse_integer(text, out)) {
        *out = UINT64_MAX; /* more than 64 bits: beyond every range */
    } else if (!digits_alone) {
        config_refuse(value, "'%s' is '%s'; an integer is expected, in plain digits",
                      config_value_name(value), text);
        return false;
    }
    return is_in_range(value, *out, units_parse_integer);
}

void config_read_integer16(const struct config_value *value)
{
    uint64_t number;
    if (!read_integer(value, &number)) { return; }
    assert(number <= UINT16_MAX); /* the table's range says so */
    *(uint16_t *)value->field = (uint16_t)number;
}

void config_read_integer32(const struct config_value *value)
{
    uint64_t number;
    if (!read_integer(value, &number)) { return; }
    assert(number <= UINT32_MAX);
    *(uint32_t *)value->field = (uint32_t)number;
}

static bool parse_size(const char *text, uint64_t *out) { return units_parse_size(text, out); }

static bool parse_duration(const char *text, uint64_t *out)
{
    return units_parse_duration(text, out);
}

static bool read_size(const struct config_value *value, uint64_t *out)
{
    const char *const text = config_value_text(value);
    if (text == NULL) { return false; }
    if (!parse_size(text, out)) {
        config_refuse(value,
                      "'%s' is '%s'; a size is digits and B, KiB, MiB, GiB, TiB, kB, MB, GB or TB: "
                      "1GiB",
                      config_value_name(value), text);
        return false;
    }
    return is_in_range(value, *out, parse_size);
}

void config_read_size(const struct config_value *value)
{
    uint64_t size_bytes;
    if (read_size(value, &size_bytes)) { *(uint64_t *)value->field = size_bytes; }
}

void config_read_blocks(const struct config_value *value)
{
    uint64_t size_bytes;
    char nearest[UNITS_TEXT_BYTES];
    if (!read_size(value, &size_bytes)) { return; }
    if (size_bytes % CONFIG_BLOCK_BYTES != 0) {
        units_format_size(size_bytes - size_bytes % CONFIG_BLOCK_BYTES, nearest, sizeof nearest);
        config_refuse(value, "'%s' is %s, not whole blocks of 4KiB; %s would be",
                      config_value_name(value), value->node->text, nearest);
        return;
    }
    *(uint64_t *)value->field = size_bytes;
}

void config_read_duration(const struct config_value *value)
{
    uint64_t ns;
    const char *const text = config_value_text(value);
    if (text == NULL) { return; }
    if (!parse_duration(text, &ns)) {
        config_refuse(value, "'%s' is '%s'; a duration is digits and ns, us, ms, s, m, h or d: 2ms",
                      config_value_name(value), text);
        return;
    }
    if (is_in_range(value, ns, parse_duration)) { *(uint64_t *)value->field = ns; }
}

void config_read_cores(const struct config_value *value)
{
    struct config *const config = value->field;
    if (!is_list(value, 1, CONFIG_WORKERS_MAX)) { return; }

    config->workers.cores =
        allocate_zeroed(value->node->child_count, sizeof config->workers.cores[0]);
    for (size_t i = 0; i < value->node->child_count; i++) {
        const struct config_value item = item_of(value, i);
        uint64_t core;
        if (!read_integer(&item, &core)) { continue; }
        for (size_t j = 0; j < config->workers.count; j++) {
            if (config->workers.cores[j] != core) { continue; }
            config_refuse(&item, "core %" PRIu64 " a second time; a worker has a core of its own",
                          core);
            break;
        }
        config->workers.cores[config->workers.count++] = (uint32_t)core;
    }
}

/* ---- words --------------------------------------------------------------------------- */

void config_read_choice(const struct config_value *value)
{
    const char *const *const choices = value->key->choices;
    const char *const text = config_value_text(value);
    size_t count = 0;
    if (text == NULL) { return; }
    for (; choices[count] != NULL; count++) {
        if (strcmp(choices[count], text) != 0) { continue; }
        *(unsigned *)value->field = (unsigned)count;
        return;
    }

    if (config_is_for_later(value->key->facts.path, text)) {
        config_refuse(value, "%s '%s' is not in this version; it is %s", config_value_name(value),
                      text, value->key->facts.type);
        return;
    }
    const char *const nearest = yaml_nearest(text, choices, count);
    if (nearest != NULL) {
        config_refuse(value, "unknown %s '%s'; did you mean '%s'?", config_value_name(value), text,
                      nearest);
    } else {
        config_refuse(value, "unknown %s '%s'; it is %s", config_value_name(value), text,
                      value->key->facts.type);
    }
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool config_text_consists_of(const char *text, const char *others)
{
    for (; *text != '\0'; text++) {
        if (!is_letter_or_digit(*text) && strchr(others, *text) == NULL) { return false; }
    }
    return true;
}

void config_read_node_name(const struct config_value *value)
{
    const char *const text = config_value_text(value);
    if (text == NULL) { return; }
    if (strlen(text) > CONFIG_NODE_NAME_MAX || !is_letter_or_digit(text[0]) ||
        !config_text_consists_of(text, "-._")) {
        config_refuse(value,
                      "'%s' is no node name; 1 to %d of a-z, A-Z, 0-9, '-', '.', '_', the first a "
                      "letter or digit",
                      text, CONFIG_NODE_NAME_MAX);
        return;
    }
    *(char **)value->field = allocate_text(text);
}

void config_read_topic_name(const struct config_value *value)
{
    const char *const text = config_value_text(value);
    if (text == NULL) { return; }
    const bool dots = strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
    if (dots || strlen(text) > CONFIG_TOPIC_NAME_MAX || !config_text_consists_of(text, "._-")) {
        config_refuse(value,
                      "'%s' is no topic name; 1 to %d of a-z, A-Z, 0-9, '.', '_', '-', and not '.' "
                      "or '..'",
                      text, CONFIG_TOPIC_NAME_MAX);
    }
    /* Kept all the same: whoever names it is told about this mistake, not about a second one. */
    *(char **)value->field = allocate_text(text);
}

void config_read_topic(const struct config_value *value)
{
    const char *const text = config_value_text(value);
    if (text == NULL || value->config->topic_count == 0) { return; } /* no topics: said there */
    const int32_t topic = config_topic_find(value->config, text);
    if (topic != CONFIG_NO_TOPIC) {
        *(int32_t *)value->field = topic;
        return;
    }

    const char *names[CONFIG_TOPICS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < value->config->topic_count; i++) {
        if (value->config->topics[i].name != NULL) {
            names[count++] = value->config->topics[i].name;
        }
    }
    const char *const nearest = yaml_nearest(text, names, count);
    if (nearest != NULL) {
        config_refuse(value, "topic '%s' is not declared; did you mean '%s'?", text, nearest);
    } else {
        config_refuse(value, "topic '%s' is not declared; add { name: %s } to topics", text, text);
    }
}

/* ---- paths, devices, arguments ------------------------------------------------------- */

/* One spelling a directory: "//a/" is "/a". */
static char *without_idle_slashes(const char *text)
{
    char *const path = allocate_text(text);
    char *end = path;
    for (; *text != '\0'; text++) {
        if (*text != '/' || end == path || end[-1] != '/') { *end++ = *text; }
    }
    if (end > path + 1 && end[-1] == '/') { end--; }
    *end = '\0';
    return path;
}

/* The directory, to be freed; NULL when it was refused. */
static char *absolute_path(const struct config_value *value)
{
    const char *const text = config_value_text(value);
    if (text == NULL) { return NULL; }
    if (text[0] != '/') {
        config_refuse(value, "'%s' does not begin with '/'; an absolute directory is expected",
                      text);
        return NULL;
    }
    return without_idle_slashes(text);
}

void config_read_directory(const struct config_value *value)
{
    char *const path = absolute_path(value);
    if (path != NULL) { *(char **)value->field = path; }
}

void config_read_storage_paths(const struct config_value *value)
{
    struct config *const config = value->field;
    struct config_strings *const paths = &config->storage.paths;
    config->storage.paths_place = value->node->place;
    config->storage.paths_place.file = config->path; /* the tree's copy goes with the tree */
    if (!is_list(value, 1, CONFIG_PATHS_MAX)) { return; }
    for (size_t i = 0; i < value->node->child_count; i++) {
        const struct config_value item = item_of(value, i);
        char *const path = absolute_path(&item);
        if (path == NULL) { continue; }
        refuse_repeated(&item, path, paths);
        strings_add(paths, path);
        free(path);
    }
}

void config_read_rules_path(const struct config_value *value)
{
    struct config *const config = value->field;
    const char *const text = config_value_text(value);
    const char *const own = config->path;
    if (text == NULL) { return; }

    const char *const slash = strrchr(own, '/');
    const int folder_len = text[0] == '/' || slash == NULL ? 0 : (int)(slash - own + 1);
    char *path = NULL;
    if (asprintf(&path, "%.*s%s", folder_len, own, text) < 0) { abort(); }
    config->rules_path = path;
    config->rules_place = value->node->place;
    config->rules_place.file = own; /* the tree's copy goes with the tree */
}

/* 0000:3b:00.0, or 3b:00.0; DPDK takes arguments behind a comma. */
static bool is_pci_address(const char *text)
{
    static const char *const shapes[] = {"xxxx:xx:xx.7", "xx:xx.7"};
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        const char *at = text;
        const char *shape = shapes[i];
        for (; *shape != '\0' && *at != '\0'; shape++, at++) {
            const bool hex = strchr("0123456789abcdefABCDEF", *at) != NULL;
            if (*shape == 'x' ? !hex : *shape == '7' ? *at < '0' || *at > '7' : *at != *shape) {
                break;
            }
        }
        if (*shape == '\0' && (*at == '\0' || *at == ',')) { return true; }
    }
    return false;
}

static bool is_vdev(const char *text)
{
    static const char *const prefixes[] = {"net_", "eth_", "virtio_user"};
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0) { return true; }
    }
    return false;
}

static void add_device(const struct config_value *value)
{
    const char *const text = config_value_text(value);
    if (text == NULL) { return; }
    if (!is_pci_address(text) && !is_vdev(text)) {
        const char *const hint =
            strchr(text, '=') != NULL ? "; inside a list a device with commas needs quotes" : "";
        config_refuse(value,
                      "'%s' is neither a PCI address (0000:3b:00.0) nor a vdev "
                      "(net_af_packet0,iface=eth1)%s",
                      text, hint);
        return;
    }
    strings_add(value->field, text);
}

void config_read_devices(const struct config_value *value)
{
    if (value->node->kind == YAML_SCALAR) {
        add_device(value);
        return;
    }
    if (!is_list(value, 1, CONFIG_WORKERS_MAX)) { return; }
    for (size_t i = 0; i < value->node->child_count; i++) {
        const struct config_value item = item_of(value, i);
        add_device(&item);
    }
}

/* EAL's ways to say which CPUs to take: -l 1-3, -l1-3, -c 0xf, --lcores=..., and so on. */
static bool chooses_cores(const char *argument)
{
    static const char *const long_names[] = {"--lcores", "--main-lcore", "--master-lcore",
                                             "--lcore"};
    if (argument[0] == '-' && argument[1] != '\0' && strchr("lcsS", argument[1]) != NULL) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(long_names); i++) {
        const size_t len = strlen(long_names[i]);
        if (strncmp(argument, long_names[i], len) != 0) { continue; }
        if (argument[len] == '\0' || argument[len] == '=') { return true; }
    }
    return false;
}

void config_read_arguments(const struct config_value *value)
{
    enum { ARGUMENTS_MAX = 64 };
    if (!is_list(value, 0, ARGUMENTS_MAX)) { return; }
    for (size_t i = 0; i < value->node->child_count; i++) {
        const struct config_value item = item_of(value, i);
        const char *const text = config_value_text(&item);
        if (text == NULL) { continue; }
        if (chooses_cores(text)) {
            config_refuse(&item, "'%s' chooses cores; workers.cores does that", text);
            continue;
        }
        strings_add(value->field, text);
    }
}
