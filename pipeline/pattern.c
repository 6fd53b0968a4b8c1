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
