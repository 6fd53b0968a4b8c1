/* json_text.h - text from outside (a path, a field of a shared page) as a JSON value. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/compiler.h"

BEGIN_C_DECLS

/* Up to the end mark or `capacity`, which the text may fill whole. Bytes that are no UTF-8, which
 * JSON cannot hold, make each byte above 0x7e a '?': the value is never silently absent. */
json_t *json_text_of(const char *text, size_t capacity);

END_C_DECLS
