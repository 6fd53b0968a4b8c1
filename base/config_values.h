/* config_values.h - from one YAML value to one field, or to an error that says what would be right.
 *
 * Threads  Cold. Seen by base/config*.c only.
 * Fields   What a reader allocates belongs to the configuration. A value that is refused leaves its
 *          field zero, so that relations between values (config_check.h) can skip it. */
#pragma once

#include "base/config.h"
#include "base/yaml.h"

BEGIN_C_DECLS

struct config_key;

struct config_value {
    const struct config *config; /* what was read so far */
    const struct config_key *key;
    const struct yaml_node *node;
    void *field;
    struct diagnostics *diagnostics;
};

/* What every reader begins with: the text of a scalar; NULL, and an error, when the value is a list
 * or a map or nothing. */
const char *config_value_text(const struct config_value *value);

/* The key's last part, as messages call the value. */
const char *config_value_name(const struct config_value *value);

/* An error at the value's place. */
#define config_refuse(value, ...)                                                                  \
    diagnostics_error((value)->diagnostics, (value)->node->place, __VA_ARGS__)

/* Whether all of it is a-z, A-Z, 0-9 and `others`. */
bool config_text_consists_of(const char *text, const char *others);

typedef void config_value_reader(const struct config_value *value);

config_value_reader config_read_integer16;     /* uint16_t */
config_value_reader config_read_integer32;     /* uint32_t */
config_value_reader config_read_size;          /* uint64_t */
config_value_reader config_read_blocks;        /* uint64_t: a size of whole 4 KiB blocks */
config_value_reader config_read_duration;      /* uint64_t */
config_value_reader config_read_choice;        /* an enum whose values are the choices' indexes */
config_value_reader config_read_cores;         /* the workers' cores and count in struct config */
config_value_reader config_read_arguments;     /* struct config_strings */
config_value_reader config_read_rules_path;    /* the rules' path and place in struct config */
config_value_reader config_read_storage_paths; /* storage.paths and their place, likewise */

/* char * */
config_value_reader config_read_node_name;
config_value_reader config_read_topic_name;
config_value_reader config_read_directory;

config_value_reader config_read_devices;   /* struct config_strings; one string is a list of one */
config_value_reader config_read_network;   /* struct config_port: address and prefix_bits */
config_value_reader config_read_address;   /* uint32_t */
config_value_reader config_read_listen_on; /* struct config_endpoint */
config_value_reader config_read_advertise; /* struct config_endpoint that clients can reach */
config_value_reader config_read_topic;     /* int32_t: index in config->topics */

END_C_DECLS
