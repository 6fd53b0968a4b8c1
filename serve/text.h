/* text.h - a growing text: what the admin port answers with.
 *
 * Out of memory is sticky: `failed`, and the text ends where it did. Any one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

BEGIN_C_DECLS

struct text {
    char *at; /* zero-terminated; NULL while empty */
    size_t len_bytes;
    size_t capacity_bytes;
    bool failed;
};

void text_init(struct text *text);
void text_deinit(struct text *text);
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
/* Adds `part` as the inside of a Prometheus label value, HTML text or JSON string. */
void text_label(struct text *text, const char *part);
void text_html(struct text *text, const char *part);
void text_json(struct text *text, const char *part);

END_C_DECLS
