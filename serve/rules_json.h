/* rules_json.h - what each rule did, as JSON: the bodies of /rules and /rules/examples.
 *
 * Counts are exact up to 2^63; the epoch is text, since JSON's numbers lose its low bits. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "wire/rules_page.h"

BEGIN_C_DECLS

/* The newest of one rule: what /rules/examples answers with, at most. */
enum { RULES_JSON_EXAMPLES_MAX = 64 };

struct text; /* serve/text.h */

/* {"epoch", "generation", "loaded", "rules": [{"name", "mode", counts...}]}, in file order. */
void rules_json_write(const struct rules_view *view, struct text *out);

/* {"rule", "mode", "epoch", "examples": [{"time", "worker", "record_bytes", "cut", "key",
 * "value"}]}, the newest first. Bytes that are no UTF-8 stand under "key_base64", "value_base64";
 * no key: neither; a value of null is a tombstone. As `penstock log export` writes records. */
void rules_json_write_examples(const struct rules_view *view, size_t rule, struct text *out);

END_C_DECLS
