/* config_check.h - what has to hold between the values of a configuration.
 *
 * Each value alone was checked when it was read (config_values.h) and is zero if it was refused: a
 * relation with such a value says nothing more. Threads: cold. Seen by base/config.c only. */
#pragma once

#include "base/config.h"
#include "base/yaml.h"

BEGIN_C_DECLS

/* `root` is the file's tree: messages point to the value that should change. */
void config_check(const struct config *config, const struct yaml_node *root,
                  struct diagnostics *diagnostics);

/* The largest record that commits of this size leave room for. */
uint64_t config_record_room(uint64_t commit_bytes);

END_C_DECLS
