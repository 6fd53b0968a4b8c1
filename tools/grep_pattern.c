/* One pass over the pattern; each take_ function copies one construct whole. Basic and extended
 * syntax differ in which of ( ) { } | + ? need a backslash, and in where * ^ $ are themselves. */
#include "tools/grep_pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "tools/suricata_rule.h"

struct grep_reading {
    struct bytes in;
    size_t at;
    char *out;
    bool basic;
    bool at_front;     /* of the pattern, of a group, or of an alternative */
    bool quantifiable; /* something stands in front that can be repeated, and is not repeated yet */
    size_t depth;
    const char *reason;
};

static bool refuse(struct grep_reading *reading, const char *why)
{
    reading->reason = why;
    return false;
}

static void put(struct grep_reading *reading, const char *text)
{
    reading->out += sprintf(reading->out, "%s", text);
}

static bool is_letter(int byte)
{
    const int lower = byte | 0x20;
    return byte < 0x80 && lower >= 'a' && lower <= 'z';
}

static int peek(const struct grep_reading *reading, size_t ahead)
{
    const size_t at = reading->at + ahead;
    return at < reading->in.len_bytes ? reading->in.at[at] : -1;
}

static bool put_atom(struct grep_reading *reading)
{
    reading->at_front = false;
    reading->quantifiable = true;
    return true;
}

/* A byte that stands for itself. */
static bool put_literal(struct grep_reading *reading, uint8_t byte)
{
    char *const text = pattern_of_bytes(bytes_of(&byte, 1), false);
    put(reading, text);
    free(text);
    return put_atom(reading);
}

/* Bytes of one character of UTF-8, as far as its first byte says; 1 for what is none. */
static size_t character_bytes(const struct grep_reading *reading)
{
    const int first = peek(reading, 0);
    const size_t count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    for (size_t i = 1; i < count; i++) {
        if ((peek(reading, i) & 0xc0) != 0x80 || peek(reading, i) < 0) { return 1; }
    }
    return count;
}

/* One character; in brackets where it has several bytes, so that '*' repeats all of them. */
static bool take_character(struct grep_reading *reading)
{
    const size_t count = character_bytes(reading);
    if (count == 1) { return put_literal(reading, reading->in.at[reading->at++]); }
    char *const text =
        pattern_of_bytes(bytes_slice(reading->in, reading->at, reading->at + count), false);
    reading->at += count;
    put(reading, "(?:");
    put(reading, text);
    put(reading, ")");
    free(text);
    return put_atom(reading);
}

/* --------------------------------------------------------------------------------- expressions */

/* "[:alpha:]" at `at`: its length, 0: none. */
static size_t posix_class_bytes(const struct grep_reading *reading, size_t at)
{
    const struct bytes in = reading->in;
    if (at + 4 > in.len_bytes || memcmp(in.at + at, "[:", 2) != 0) { return 0; }
    for (size_t i = at + 2; i + 1 < in.len_bytes; i++) {
        if (in.at[i] == ':' && in.at[i + 1] == ']') { return i + 2 - at; }
        if (in.at[i] < 'a' || in.at[i] > 'z') { return 0; }
    }
    return 0;
}

/* In brackets a backslash is itself, for POSIX. */
static bool take_bracket(struct grep_reading *reading)
{
    const struct bytes in = reading->in;
    size_t at = reading->at + 1;
    put(reading, "[");
    if (at < in.len_bytes && in.at[at] == '^') {
        put(reading, "^");
        at++;
    }
    for (bool first = true;; first = false) {
        if (at >= in.len_bytes) { return refuse(reading, "a bracket that is not closed"); }
        const uint8_t byte = in.at[at];
        const size_t class_bytes = posix_class_bytes(reading, at);
        if (byte == ']' && !first) { break; }
        if (byte >= 0x80) {
            return refuse(reading, "characters beyond ASCII in brackets: to rules they are bytes");
        }
        if (class_bytes > 0) {
            reading->out += sprintf(reading->out, "%.*s", (int)class_bytes, in.at + at);
            at += class_bytes;
            continue;
        }
        if (byte == '[' && at + 1 < in.len_bytes && strchr(":.=", in.at[at + 1]) != NULL &&
            in.at[at + 1] != 0) {
            return refuse(reading, "[. .], [= =] or a class without a name");
        }
        if (byte == '-' || (byte >= '0' && byte <= '9') || is_letter(byte)) {
            *reading->out++ = (char)byte;
        } else {
            reading->out += sprintf(reading->out, "\\x%02x", byte);
        }
        at++;
    }
    put(reading, "]");
    reading->at = at + 1;
    return put_atom(reading);
}

/* "{2,5}" from behind its opening brace. */
static bool take_interval(struct grep_reading *reading)
{
    const struct bytes in = reading->in;
    size_t at = reading->at;
    char text[32];
    size_t used = 0;
    while (at < in.len_bytes && used + 2 < sizeof text &&
           (in.at[at] == ',' || (in.at[at] >= '0' && in.at[at] <= '9'))) {
        if (in.at[at] == ',' && used == 0) { text[used++] = '0'; }
        text[used++] = (char)in.at[at++];
    }
    text[used] = '\0';
    const char *const end = reading->basic ? "\\}" : "}";
    const size_t end_bytes = strlen(end);
    const bool ends = in.len_bytes - at >= end_bytes && memcmp(in.at + at, end, end_bytes) == 0;
    if (!ends || used == 0 || strcmp(text, "0,") == 0) {
        return refuse(reading, "'{' that begins no count");
    }
    if (!reading->quantifiable) {
        return refuse(reading, "a repetition of nothing, or of another");
    }
    reading->at = at + end_bytes;
    reading->out += sprintf(reading->out, "{%s}", text);
    reading->quantifiable = false;
    return true;
}

static bool take_repeat(struct grep_reading *reading, const char *mark)
{
    if (!reading->quantifiable) {
        return refuse(reading, "a repetition of nothing, or of another");
    }
    put(reading, mark);
    reading->quantifiable = false;
    return true;
}

static bool take_opening(struct grep_reading *reading)
{
    put(reading, "(?:");
    reading->depth++;
    reading->at_front = true;
    reading->quantifiable = false;
    return true;
}

static bool take_closing(struct grep_reading *reading)
{
    if (reading->depth == 0) { return refuse(reading, "')' without '('"); }
    put(reading, ")");
    reading->depth--;
    return put_atom(reading);
}

static bool take_alternative(struct grep_reading *reading)
{
    put(reading, "|");
    reading->at_front = true;
    reading->quantifiable = false;
    return true;
}

/* What has a backslash in the basic syntax and none in the extended one. */
static bool take_operator(struct grep_reading *reading, int byte)
{
    switch (byte) {
    case '(': return take_opening(reading);
    case ')': return take_closing(reading);
    case '{': return take_interval(reading);
    case '|': return take_alternative(reading);
    case '+': return take_repeat(reading, "+");
    case '?': return take_repeat(reading, "?");
    default: return refuse(reading, "'}' without '{'");
    }
}

static bool is_operator(int byte) { return byte > 0 && strchr("(){|+?", byte) != NULL; }

static bool take_escape(struct grep_reading *reading)
{
    const int byte = peek(reading, 1);
    if (byte < 0) { return refuse(reading, "a backslash at the end"); }
    reading->at += 2;
    if (is_operator(byte) || (byte == '}' && reading->basic)) {
        return reading->basic ? take_operator(reading, byte) : put_literal(reading, (uint8_t)byte);
    }
    if (byte == 'w' || byte == 'W' || byte == 's' || byte == 'S') {
        reading->out += sprintf(reading->out, "\\%c", byte);
        return put_atom(reading);
    }
    if (byte == 'b' || byte == 'B') {
        reading->out += sprintf(reading->out, "\\%c", byte);
        reading->at_front = false;
        reading->quantifiable = false;
        return true;
    }
    if (byte >= '1' && byte <= '9') { return refuse(reading, "a back-reference"); }
    if (byte == '<' || byte == '>') {
        return refuse(reading, "\\< and \\>: say \\b if that will do");
    }
    if (byte == '`' || byte == '\'') { return refuse(reading, "\\` and \\'"); }
    if (byte == '0' || is_letter(byte)) {
        return refuse(reading, "a backslash before what needs none");
    }
    return put_literal(reading, (uint8_t)byte);
}

/* Whether a '$' that was just passed ends the pattern, a group or an alternative. */
static bool is_behind_everything(const struct grep_reading *reading)
{
    const int next = peek(reading, 0);
    if (next < 0) { return true; }
    if (!reading->basic) { return false; }
    return next == '\\' && (peek(reading, 1) == ')' || peek(reading, 1) == '|');
}

static bool take_one(struct grep_reading *reading)
{
    const int byte = peek(reading, 0);
    switch (byte) {
    case '\\': return take_escape(reading);
    case '[': return take_bracket(reading);
    case '.':
        reading->at++;
        put(reading, ".");
        return put_atom(reading);
    case '*':
        reading->at++;
        if (reading->basic && reading->at_front) { return put_literal(reading, '*'); }
        return take_repeat(reading, "*");
    case '^':
        reading->at++;
        if (reading->basic && !reading->at_front) { return put_literal(reading, '^'); }
        put(reading, "^");
        reading->quantifiable = false;
        return true; /* still at the front: POSIX' "^*" is a literal star */
    case '$':
        reading->at++;
        if (reading->basic && !is_behind_everything(reading)) { return put_literal(reading, '$'); }
        put(reading, "$");
        reading->at_front = false;
        reading->quantifiable = false;
        return true;
    default: break;
    }
    if (!reading->basic && is_operator(byte)) {
        reading->at++;
        return take_operator(reading, byte);
    }
    return take_character(reading);
}

static bool is_ascii(struct bytes bytes)
{
    for (size_t i = 0; i < bytes.len_bytes; i++) {
        if (bytes.at[i] >= 0x80) { return false; }
    }
    return true;
}

char *grep_pattern(struct bytes line, enum grep_syntax syntax, bool ignore_case,
                   const char **out_reason)
{
    *out_reason = NULL;
    if (ignore_case && !is_ascii(line)) {
        *out_reason = "characters beyond ASCII, whose case rules cannot ignore";
        return NULL;
    }
    if (line.len_bytes == 0) { return allocate_text(".*"); }
    if (syntax == GREP_FIXED) { return pattern_of_bytes(line, ignore_case); }

    /* The longest any byte becomes: a character of two bytes in brackets, "(?:\xc3\xa9)". */
    char *const out = allocate_zeroed(line.len_bytes + 2, 8);
    struct grep_reading reading = {
        .in = line, .out = out, .basic = syntax == GREP_BASIC, .at_front = true};
    put(&reading, ignore_case ? "(?i)" : "");
    bool good = true;
    while (good && reading.at < line.len_bytes) { good = take_one(&reading); }
    if (good && reading.depth > 0) { good = refuse(&reading, "'(' without ')'"); }
    if (good) { return out; }
    *out_reason = reading.reason;
    free(out);
    return NULL;
}
