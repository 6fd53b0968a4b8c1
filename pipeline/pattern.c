#include "pipeline/pattern.h"

#include <stdbool.h>
#include <string.h>

#include "base/invariant.h"

/* Every copy_ function copies one construct whole and moves `*in` and `*out` past it; the end mark
 * ends every one of them. */

static void copy_bytes(const char **in, char **out, size_t count)
{
    while (count > 0 && **in != '\0') {
        *(*out)++ = *(*in)++;
        count--;
    }
}

/* \Q...\E: all literal; without \E, to the end. */
static void copy_quoted(const char **in, char **out)
{
    copy_bytes(in, out, 2);
    while (**in != '\0' && strncmp(*in, "\\E", 2) != 0) { copy_bytes(in, out, 1); }
    copy_bytes(in, out, 2);
}

/* A backslash and what it takes with it: one byte, but two for a control character (\c$). */
static void copy_escape(const char **in, char **out)
{
    if ((*in)[1] == 'Q') {
        copy_quoted(in, out);
        return;
    }
    copy_bytes(in, out, (*in)[1] == 'c' ? 3 : 2);
}

/* [...]: ']' in front is itself, and [:alpha:] inside has brackets of its own. */
static void copy_class(const char **in, char **out)
{
    copy_bytes(in, out, 1);
    if (**in == '^') { copy_bytes(in, out, 1); }
    if (**in == ']') { copy_bytes(in, out, 1); }
    while (**in != '\0' && **in != ']') {
        const char *const posix_end = strncmp(*in, "[:", 2) == 0 ? strstr(*in + 2, ":]") : NULL;
        if (**in == '\\') {
            copy_escape(in, out);
        } else if (posix_end != NULL && strcspn(*in, "]") > (size_t)(posix_end - *in)) {
            copy_bytes(in, out, (size_t)(posix_end - *in) + 2);
        } else {
            copy_bytes(in, out, 1);
        }
    }
    copy_bytes(in, out, 1);
}

/* (?#...) up to the first ')', which nothing escapes. */
static void copy_comment(const char **in, char **out)
{
    copy_bytes(in, out, strcspn(*in, ")") + 1);
}

/* The flags of "(?i-s)" or "(?i:"; `at` stands at the '('. */
static enum pattern_result judge_group(const char *at)
{
    if (at[1] == '*') { return PATTERN_VERB; }
    if (at[1] != '?') { return PATTERN_OK; }
    const char *const flags = at + 2;
    const size_t count = strspn(flags, "-imsxJUX");
    if (flags[count] != ')' && flags[count] != ':') { return PATTERN_OK; } /* "(?P<name>", "(?=" */
    if (memchr(flags, 'm', count) != NULL) { return PATTERN_MULTILINE; }
    if (memchr(flags, 'x', count) != NULL) { return PATTERN_EXTENDED; }
    return PATTERN_OK;
}

static enum pattern_result copy_group_opening(const char **in, char **out)
{
    const enum pattern_result result = judge_group(*in);
    if (result != PATTERN_OK) { return result; }
    if (strncmp(*in, "(?#", 3) == 0) {
        copy_comment(in, out);
    } else {
        copy_bytes(in, out, 1);
    }
    return PATTERN_OK;
}

enum pattern_result pattern_translate(const char *pattern, char *out)
{
    const char *in = pattern;
    enum pattern_result result = PATTERN_OK;
    while (*in != '\0' && result == PATTERN_OK) {
        switch (*in) {
        case '\\': copy_escape(&in, &out); break;
        case '[': copy_class(&in, &out); break;
        case '(': result = copy_group_opening(&in, &out); break;
        case '$':
            in++;
            *out++ = '\\';
            *out++ = 'z';
            break;
        default: copy_bytes(&in, &out, 1); break;
        }
    }
    *out = '\0';
    return result;
}

/* ------------------------------------------------------------------------ patterns that are texts
 */

/* The value of two hexadecimal digits, -1 for anything else. */
static int read_hex_byte(const char *at)
{
    int value = 0;
    for (size_t i = 0; i < 2; i++) {
        const char digit = at[i];
        const int worth = digit >= '0' && digit <= '9'   ? digit - '0'
                          : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                          : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                         : -1;
        if (worth < 0) { return -1; }
        value = value * 16 + worth;
    }
    return value;
}

/* What an escape stands for, if that is one byte; moves past it. */
static int read_escaped_byte(const char **at)
{
    const char letter = (*at)[1];
    *at += 2;
    switch (letter) {
    case '\0': return -1;
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'x': {
        const int byte = read_hex_byte(*at);
        *at += byte >= 0 ? 2 : 0;
        return byte;
    }
    default: break;
    }
    const bool is_alphanumeric = (letter >= '0' && letter <= '9') ||
                                 (letter >= 'a' && letter <= 'z') ||
                                 (letter >= 'A' && letter <= 'Z') || (unsigned char)letter >= 0x80;
    return is_alphanumeric ? -1 : (unsigned char)letter;
}

bool pattern_read_text(const char *pattern, uint8_t *out, struct pattern_text *text)
{
    *text = (struct pattern_text){.at_begin = *pattern == '^'};
    const char *at = pattern + (text->at_begin ? 1 : 0);
    while (*at != '\0') {
        if (*at == '$' && at[1] == '\0') {
            text->at_end = true;
            return true;
        }
        if (strchr("^$.[|()?*+{", *at) != NULL) { return false; }
        const int byte = *at == '\\' ? read_escaped_byte(&at) : (unsigned char)*at++;
        if (byte < 0) { return false; }
        out[text->len_bytes++] = (uint8_t)byte;
    }
    return true;
}

const char *pattern_result_text(enum pattern_result result)
{
    static const char *const texts[PATTERN_RESULT_COUNT] = {
        [PATTERN_OK] = "ok",
        [PATTERN_MULTILINE] =
            "(?m) is not supported: ^ and $ are the record's ends; write \\n for a line's",
        [PATTERN_EXTENDED] = "(?x) is not supported: write the pattern without spaces and comments",
        [PATTERN_VERB] = "(*...) is not supported: a record is bytes, of no encoding",
    };
    assert((size_t)result < PATTERN_RESULT_COUNT);
    return texts[result];
}
