/* json_text.h - the tokens of a JSON text, stepped over one at a time.
 *
 * Purpose  The lexical half of json_paths.c: each function takes the text [at, end) and answers
 *          where it goes on behind one construct, NULL where RFC 8259 is broken or the text ends
 *          too soon. What a function expects at `at` it says; that there is a byte is asked first.
 * Bounds   Every byte is looked at a constant number of times; nothing recurses.
 * Threads  Any; plain values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/endian.h"

BEGIN_C_DECLS

/* What stands between the quotes. */
struct json_string {
    struct bytes raw;
    bool escaped; /* some of it is a backslash and what it stands for */
};

/* Over one escape, at a backslash. */
const uint8_t *json_text_escape(const uint8_t *at, const uint8_t *end);

/* Over a value, at its first byte. Deeper than `levels` counts as broken, and levels <= 64. */
const uint8_t *json_text_value(const uint8_t *at, const uint8_t *end, unsigned levels);

/* Over a number, true, false or null, at its first byte. A comma, a bracket or a space must end it:
 * at the text's end nobody can say that it was all. */
const uint8_t *json_text_scalar(const uint8_t *at, const uint8_t *end);

/* A raw string that json_text_string took, with each escape replaced by what it stands for; half
 * a surrogate pair stays as it is. Writes up to raw.len_bytes, and answers how many. */
size_t json_text_unescape(struct bytes raw, uint8_t *out);

/* Over white space, which may be none; `end` when there is nothing behind it. */
static inline const uint8_t *json_text_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at <= ' ' && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* A set high bit for every byte of `word` that a string cannot just step over: a quote, a
 * backslash, a control character. The lowest one is right; ones above it may be borrowed. */
static inline uint64_t json_text_stops(uint64_t word)
{
    const uint64_t each = 0x0101010101010101;
    const uint64_t high_bits = 0x8080808080808080;
    const uint64_t quotes = word ^ each * '"';
    const uint64_t backslashes = word ^ each * '\\';
    const uint64_t below_quote = (quotes - each) & ~quotes;
    const uint64_t below_backslash = (backslashes - each) & ~backslashes;
    const uint64_t below_space = (word - each * ' ') & ~word;
    return (below_quote | below_backslash | below_space) & high_bits;
}

/* The next byte that json_text_stops names, or `end`. */
static inline const uint8_t *json_text_run(const uint8_t *at, const uint8_t *end)
{
    while ((size_t)(end - at) >= sizeof(uint64_t)) {
        const uint64_t stops = json_text_stops(load_le64(at));
        if (stops != 0) { return at + (size_t)__builtin_ctzll(stops) / 8; }
        at += sizeof(uint64_t);
    }
    while (at < end && *at >= ' ' && *at != '"' && *at != '\\') { at++; }
    return at;
}

/* Over a string, at its opening quote. `out` holds only where it answers not NULL. */
static inline const uint8_t *json_text_string(const uint8_t *at, const uint8_t *end,
                                              struct json_string *out)
{
    const uint8_t *const begin = ++at;
    out->escaped = false;
    for (;;) {
        at = json_text_run(at, end);
        if (at == end) { return NULL; }
        if (*at == '"') { break; }
        at = json_text_escape(at, end);
        if (at == NULL) { return NULL; }
        out->escaped = true;
    }
    out->raw = bytes_of(begin, (size_t)(at - begin));
    return at + 1;
}

/* Over a member's name and its colon, at the opening quote, to the value's first byte. */
static inline const uint8_t *json_text_name(const uint8_t *at, const uint8_t *end,
                                            struct json_string *out)
{
    if (at == end || *at != '"') { return NULL; }
    at = json_text_string(at, end, out);
    if (at == NULL) { return NULL; }
    at = json_text_space(at, end);
    if (at == end || *at != ':') { return NULL; }
    return json_text_space(at + 1, end);
}

END_C_DECLS
