/* text.h - a growing text: what the admin port answers with.
 *
 * Out of memory is sticky: `failed`, and the text ends where it did. Any one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
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
void text_add(struct text *text, struct bytes part);
/* Adds `part` as the inside of a Prometheus label value, HTML text or JSON string. Names are UTF-8
 * text; bytes that are none came from a page that something has scribbled on, and are shown: as
 * \\xNN in a label, which also keeps control characters apart, as U+FFFD in JSON. */
void text_label(struct text *text, const char *part);
void text_label_bytes(struct text *text, struct bytes part);
void text_html(struct text *text, const char *part);
void text_json(struct text *text, const char *part);
void text_json_bytes(struct text *text, struct bytes part);
/* Adds it in base64. */
void text_base64(struct text *text, struct bytes part);
/* HELP and TYPE of a Prometheus family, without its penstock_ in front. */
void text_metric_family(struct text *text, const char *name, const char *type, const char *help);

END_C_DECLS
