#include "pipeline/json_text.h"

#include <string.h>

#include "base/invariant.h"

/* ------------------------------------------------------------------------------------- escapes */

enum {
    ESCAPE_BYTES = 2,         /* \n */
    UNICODE_ESCAPE_BYTES = 6, /* \u00e4 */
    SURROGATE_HIGH = 0xd800,
    SURROGATE_LOW = 0xdc00,
    SURROGATE_END = 0xe000,
    NO_DIGIT = 0xff,
};

static unsigned hex_digit(uint8_t byte)
{
    const uint8_t lower = byte | 0x20;
    if (byte >= '0' && byte <= '9') { return byte - (unsigned)'0'; }
    if (lower >= 'a' && lower <= 'f') { return lower - (unsigned)'a' + 10; }
    return NO_DIGIT;
}

const uint8_t *json_text_escape(const uint8_t *at, const uint8_t *end)
{
    if (*at != '\\' || end - at < ESCAPE_BYTES) { return NULL; } /* a control character */
    if (at[1] != 'u') {
        const bool known = at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL;
        return known ? at + ESCAPE_BYTES : NULL;
    }
    if (end - at < UNICODE_ESCAPE_BYTES) { return NULL; }
    for (size_t i = 2; i < UNICODE_ESCAPE_BYTES; i++) {
        if (hex_digit(at[i]) == NO_DIGIT) { return NULL; }
    }
    return at + UNICODE_ESCAPE_BYTES;
}

/* The number in a well-formed \uXXXX. */
static uint32_t unicode_escape(const uint8_t *at)
{
    uint32_t code = 0;
    for (size_t i = 2; i < UNICODE_ESCAPE_BYTES; i++) { code = code << 4 | hex_digit(at[i]); }
    return code;
}

static bool is_low_surrogate_escape(const uint8_t *at, const uint8_t *end)
{
    if (end - at < UNICODE_ESCAPE_BYTES || at[0] != '\\' || at[1] != 'u') { return false; }
    const uint32_t code = unicode_escape(at);
    return code >= SURROGATE_LOW && code < SURROGATE_END;
}

static uint8_t *put_utf8(uint32_t code, uint8_t *out)
{
    if (code < 0x80) {
        *out++ = (uint8_t)code;
    } else if (code < 0x800) {
        *out++ = (uint8_t)(0xc0 | code >> 6);
        *out++ = (uint8_t)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (uint8_t)(0xe0 | code >> 12);
        *out++ = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (code & 0x3f));
    } else {
        *out++ = (uint8_t)(0xf0 | code >> 18);
        *out++ = (uint8_t)(0x80 | (code >> 12 & 0x3f));
        *out++ = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (code & 0x3f));
    }
    return out;
}

/* Writes what the \uXXXX at `at` stands for, and answers what lies behind: of it, or of the pair.
 */
static const uint8_t *put_unicode(const uint8_t *at, const uint8_t *end, uint8_t **out)
{
    const uint8_t *const behind = at + UNICODE_ESCAPE_BYTES;
    const uint32_t code = unicode_escape(at);
    if (code < SURROGATE_HIGH || code >= SURROGATE_END) {
        *out = put_utf8(code, *out);
        return behind;
    }
    if (code < SURROGATE_LOW && is_low_surrogate_escape(behind, end)) {
        const uint32_t low = unicode_escape(behind) - SURROGATE_LOW;
        *out = put_utf8(0x10000 + ((code - SURROGATE_HIGH) << 10) + low, *out);
        return behind + UNICODE_ESCAPE_BYTES;
    }
    memcpy(*out, at, UNICODE_ESCAPE_BYTES);
    *out += UNICODE_ESCAPE_BYTES;
    return behind;
}

static uint8_t escape_meaning(uint8_t letter)
{
    switch (letter) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return letter; /* " \ / */
    }
}

size_t json_text_unescape(struct bytes raw, uint8_t *out)
{
    const uint8_t *at = raw.at;
    const uint8_t *const end = at + raw.len_bytes;
    uint8_t *const begin = out;
    while (at < end) {
        const uint8_t *const backslash = memchr(at, '\\', (size_t)(end - at));
        const size_t plain_bytes = (size_t)((backslash == NULL ? end : backslash) - at);
        memcpy(out, at, plain_bytes);
        out += plain_bytes;
        at += plain_bytes;
        if (backslash == NULL) { break; }
        if (at[1] == 'u') {
            at = put_unicode(at, end, &out);
        } else {
            *out++ = escape_meaning(at[1]);
            at += ESCAPE_BYTES;
        }
    }
    return (size_t)(out - begin);
}

/* ------------------------------------------------------------------------------------- scalars */

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* One digit or more. */
static const uint8_t *digits(const uint8_t *at, const uint8_t *end)
{
    if (at == end || !is_digit(*at)) { return NULL; }
    do {
        at++;
    } while (at < end && is_digit(*at));
    return at;
}

static const uint8_t *number(const uint8_t *at, const uint8_t *end)
{
    if (*at == '-') { at++; }
    if (at < end && *at == '0') {
        at++; /* and no digit behind it: scalar_end refuses that */
    } else {
        at = digits(at, end);
    }
    if (at != NULL && at < end && *at == '.') { at = digits(at + 1, end); }
    if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) { at++; }
        at = digits(at, end);
    }
    return at;
}

static const uint8_t *word(const uint8_t *at, const uint8_t *end, const char *text, size_t bytes)
{
    if ((size_t)(end - at) < bytes || memcmp(at, text, bytes) != 0) { return NULL; }
    return at + bytes;
}

static bool ends_scalar(uint8_t byte)
{
    switch (byte) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case ',':
    case ']':
    case '}': return true;
    default: return false;
    }
}

const uint8_t *json_text_scalar(const uint8_t *at, const uint8_t *end)
{
    switch (*at) {
    case 't': at = word(at, end, "true", 4); break;
    case 'f': at = word(at, end, "false", 5); break;
    case 'n': at = word(at, end, "null", 4); break;
    default: at = number(at, end); break;
    }
    if (at == NULL || at == end || !ends_scalar(*at)) { return NULL; }
    return at;
}

/* -------------------------------------------------------------------------------------- values */

/* Which of the open brackets are objects': a bit a level, the innermost lowest. */
struct json_nest {
    uint64_t objects;
    unsigned depth;
    unsigned depth_max;
};

/* Over an opening bracket. */
static const uint8_t *nest_open(struct json_nest *nest, const uint8_t *at, const uint8_t *end)
{
    if (nest->depth == nest->depth_max) { return NULL; }
    nest->depth++;
    nest->objects = nest->objects << 1 | (*at == '{');
    return json_text_space(at + 1, end);
}

/* To a value's first byte: in an object, over its name. */
static const uint8_t *nest_value(const struct json_nest *nest, const uint8_t *at,
                                 const uint8_t *end)
{
    struct json_string name;
    return (nest->objects & 1) != 0 ? json_text_name(at, end, &name) : at;
}

static uint8_t nest_closing(const struct json_nest *nest)
{
    return (nest->objects & 1) != 0 ? '}' : ']';
}

/* Behind a value: over all brackets that close here, and the comma and the name that lead on to the
 * next value. Depth 0: there is none. */
static const uint8_t *nest_go_on(struct json_nest *nest, const uint8_t *at, const uint8_t *end)
{
    while (nest->depth > 0) {
        at = json_text_space(at, end);
        if (at == end) { return NULL; }
        if (*at == ',') { return nest_value(nest, json_text_space(at + 1, end), end); }
        if (*at != nest_closing(nest)) { return NULL; }
        at++;
        nest->depth--;
        nest->objects >>= 1;
    }
    return at;
}

/* Over a value that holds no others. */
static const uint8_t *leaf(const uint8_t *at, const uint8_t *end)
{
    struct json_string string;
    return *at == '"' ? json_text_string(at, end, &string) : json_text_scalar(at, end);
}

const uint8_t *json_text_value(const uint8_t *at, const uint8_t *end, unsigned levels)
{
    assert_hot(levels <= 64);
    struct json_nest nest = {0, 0, levels};
    do {
        if (at == NULL || at == end) { return NULL; }
        if (*at == '{' || *at == '[') {
            at = nest_open(&nest, at, end);
            if (at == NULL || at == end) { return NULL; }
            if (*at != nest_closing(&nest)) {
                at = nest_value(&nest, at, end);
                continue;
            }
        } else {
            at = leaf(at, end);
            if (at == NULL) { return NULL; }
        }
        at = nest_go_on(&nest, at, end);
    } while (nest.depth > 0);
    return at;
}
