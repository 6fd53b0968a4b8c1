#include "serve/text.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

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

void text_add(struct text *text, struct bytes part)
{
    if (part.len_bytes == 0 || !text_reserve(text, part.len_bytes)) { return; }
    memcpy(text->at + text->len_bytes, part.at, part.len_bytes);
    text->len_bytes += part.len_bytes;
    text->at[text->len_bytes] = '\0';
}

static void add_label_character(struct text *text, struct bytes character)
{
    const uint8_t first = character.at[0];
    if (first == '\\' || first == '"') {
        text_printf(text, "\\%c", first);
    } else if (first == '\n') {
        text_printf(text, "\\n");
    } else if (first < ' ' || first == 0x7f) {
        text_printf(text, "\\\\x%02x", first);
    } else {
        text_add(text, character);
    }
}

void text_label_bytes(struct text *text, struct bytes part)
{
    for (size_t i = 0; i < part.len_bytes;) {
        const size_t len_bytes = utf8_character_bytes(part, i);
        if (len_bytes == 0) {
            text_printf(text, "\\\\x%02x", part.at[i++]);
        } else {
            add_label_character(text, bytes_slice(part, i, i + len_bytes));
            i += len_bytes;
        }
    }
}

void text_label(struct text *text, const char *part)
{
    text_label_bytes(text, bytes_of_text(part));
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

static void add_json_character(struct text *text, struct bytes character)
{
    const uint8_t first = character.at[0];
    if (first == '"' || first == '\\') {
        text_printf(text, "\\%c", first);
    } else if (first < 0x20) {
        text_printf(text, "\\u%04x", first);
    } else {
        text_add(text, character);
    }
}

void text_json_bytes(struct text *text, struct bytes part)
{
    for (size_t i = 0; i < part.len_bytes;) {
        const size_t len_bytes = utf8_character_bytes(part, i);
        if (len_bytes == 0) {
            text_printf(text, "\\ufffd");
            i++;
        } else {
            add_json_character(text, bytes_slice(part, i, i + len_bytes));
            i += len_bytes;
        }
    }
}

void text_json(struct text *text, const char *part) { text_json_bytes(text, bytes_of_text(part)); }

void text_base64(struct text *text, struct bytes part)
{
    const size_t digits = (part.len_bytes + 2) / 3 * 4;
    if (part.len_bytes == 0 || !text_reserve(text, digits)) { return; }
    unsigned char *const into = (unsigned char *)text->at + text->len_bytes;
    const int used = EVP_EncodeBlock(into, part.at, (int)part.len_bytes);
    text->len_bytes += (size_t)used;
}

void text_metric_family(struct text *text, const char *name, const char *type, const char *help)
{
    text_printf(text, "# HELP penstock_%s %s\n# TYPE penstock_%s %s\n", name, help, name, type);
}
