/* rules_kept.h - the copy of a rules file that a node kept when it came into force.
 *
 * Files    <cache>/rules/<epoch as 16 hex digits>.yaml (docs/man/penstock-rules). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { RULES_EPOCH_TEXT_BYTES = 17 };

/* "0123456789abcdef" */
const char *rules_epoch_text(uint64_t epoch, char out[RULES_EPOCH_TEXT_BYTES]);

/* The path of the copy, to be freed. NULL: there is none that can be read. */
MUST_CHECK char *rules_kept_path(const char *cache, uint64_t epoch);

/* The epoch of a file's bytes, as commits name it. */
uint64_t rules_epoch_of(const char *text, size_t len_bytes);

/* Where copies are kept: `cache`, else what the configuration says, else what it says by itself. To
 * be freed. Either may be NULL; a configuration that cannot be read says nothing here. */
MUST_CHECK char *rules_cache_directory(const char *cache, const char *config_path);

END_C_DECLS
