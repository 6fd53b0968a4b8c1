#include "serve/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_FIRST = 4096 };

void text_init(struct text *text) { memset(text, 0, sizeof *text); }

void text_deinit(struct text *text)
{
    free(text->at);
    text_init(text);
}

/* Room for `len_bytes` and the end mark. */
static bool text_reserve(struct text *text, size_t len_bytes)
{
    if (text->failed) { return false; }
    if (len_bytes < text->capacity_bytes - text->len_bytes) { return true; }
    const size_t wanted = text->len_bytes + len_bytes + 1;
    const size_t doubled = text->capacity_bytes * 2 + TEXT_BYTES_FIRST;
    const size_t capacity = wanted > doubled ? wanted : doubled;
    char *const at = realloc(text->at, capacity);
    if (at == NULL) {
        text->failed = true;
        return false;
    }
    text->at = at;
    text->capacity_bytes = capacity;
    return true;
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int len_bytes = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len_bytes < 0 || !text_reserve(text, (size_t)len_bytes)) { return; }

    va_start(arguments, format);
    vsnprintf(text->at + text->len_bytes, text->capacity_bytes - text->len_bytes, format,
              arguments);
    va_end(arguments);
    text->len_bytes += (size_t)len_bytes;
}

void text_label(struct text *text, const char *part)
{
    for (; *part != '\0'; part++) {
        switch (*part) {
        case '\\': text_printf(text, "\\\\"); break;
        case '"': text_printf(text, "\\\""); break;
        case '\n': text_printf(text, "\\n"); break;
        /* Names are ASCII; anything else came from a page that something has scribbled on. */
        default: text_printf(text, "%c", *part >= ' ' && *part <= '~' ? *part : '?'); break;
        }
    }
}

void text_html(struct text *text, const char *part)
{
    for (; *part != '\0'; part++) {
        switch (*part) {
        case '&': text_printf(text, "&amp;"); break;
        case '<': text_printf(text, "&lt;"); break;
        case '>': text_printf(text, "&gt;"); break;
        case '"': text_printf(text, "&quot;"); break;
        default: text_printf(text, "%c", *part); break;
        }
    }
}

void text_json(struct text *text, const char *part)
{
    for (; *part != '\0'; part++) {
        const unsigned char c = (unsigned char)*part;
        if (c == '"' || c == '\\') {
            text_printf(text, "\\%c", c);
        } else if (c < 0x20) {
            text_printf(text, "\\u%04x", c);
        } else {
            text_printf(text, "%c", c);
        }
    }
}
