/* A signature is `action proto addresses (option; option: value; ...)`. Options are taken one after
 * the other; a modifier speaks of the content in front of it. */
#include "tools/suricata_rule.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

enum { OPTION_NAME_BYTES_MAX = 64 };

/* One content or pcre while its modifiers are read. */
struct search {
    bool open;
    bool negated;
    bool is_content;
    bool ignore_case;
    bool at_start;
    bool at_end;
    uint8_t *bytes; /* content: decoded; pcre: the finished pattern, as text */
    size_t len_bytes;
};

struct parsing {
    struct suricata_rule *out;
    struct search search;
};

/* ------------------------------------------------------------------------------- small takings */

static bool refuse(struct suricata_rule *out, const char *format, ...) PRINTF_LIKE(2, 3);

static bool refuse(struct suricata_rule *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->reason, sizeof out->reason, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_blank(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }

static struct bytes trimmed(struct bytes text)
{
    while (text.len_bytes > 0 && is_blank(text.at[0])) {
        text = bytes_slice(text, 1, text.len_bytes);
    }
    while (text.len_bytes > 0 && is_blank(text.at[text.len_bytes - 1])) {
        text = bytes_slice(text, 0, text.len_bytes - 1);
    }
    return text;
}

static char *text_of(struct bytes bytes)
{
    char *const out = allocate_zeroed(1, bytes.len_bytes + 1);
    if (bytes.len_bytes > 0) { memcpy(out, bytes.at, bytes.len_bytes); }
    return out;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') { return byte - '0'; }
    const uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* -------------------------------------------------------------------------------- the patterns */

static bool is_plain(uint8_t byte)
{
    const uint8_t lower = byte | 0x20;
    return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') || byte == ' ' ||
           byte == '_' || byte == '/' || byte == '=' || byte == ':' || byte == ',' || byte == ';' ||
           byte == '-' || byte == '<' || byte == '>' || byte == '@' || byte == '%' || byte == '&';
}

char *pattern_of_bytes(struct bytes bytes, bool ignore_case)
{
    char *const out = allocate_zeroed(bytes.len_bytes * 4 + sizeof "(?i)", 1);
    char *at = out + sprintf(out, "%s", ignore_case ? "(?i)" : "");
    for (size_t i = 0; i < bytes.len_bytes; i++) {
        if (is_plain(bytes.at[i])) {
            *at++ = (char)bytes.at[i];
        } else {
            at += sprintf(at, "\\x%02x", bytes.at[i]);
        }
    }
    return out;
}

static bool search_finish(struct parsing *parsing)
{
    struct search *const search = &parsing->search;
    struct suricata_rule *const out = parsing->out;
    if (!search->open) { return true; }
    if (out->pattern_count == SURICATA_PATTERNS_MAX) {
        return refuse(out, "more than %d patterns", (int)SURICATA_PATTERNS_MAX);
    }
    struct suricata_pattern *const pattern = &out->patterns[out->pattern_count++];
    pattern->negated = search->negated;
    if (search->is_content) {
        char *const literal = pattern_of_bytes(bytes_of(search->bytes, search->len_bytes), false);
        const size_t room = strlen(literal) + sizeof "(?i)^$";
        pattern->text = allocate_zeroed(1, room);
        snprintf(pattern->text, room, "%s%s%s%s", search->ignore_case ? "(?i)" : "",
                 search->at_start ? "^" : "", literal, search->at_end ? "$" : "");
        free(literal);
    } else {
        pattern->text = text_of(bytes_of(search->bytes, search->len_bytes));
    }
    free(search->bytes);
    *search = (struct search){0};
    return true;
}

/* ------------------------------------------------------------------------------------- content */

/* `!` in front and the quotes around; `*out` is what stands between them. */
static bool take_quoted(struct parsing *parsing, struct bytes value, const char *option,
                        struct bytes *out)
{
    parsing->search.negated = false;
    if (value.len_bytes > 0 && value.at[0] == '!') {
        parsing->search.negated = true;
        value = trimmed(bytes_slice(value, 1, value.len_bytes));
    }
    if (value.len_bytes < 2 || value.at[0] != '"' || value.at[value.len_bytes - 1] != '"') {
        return refuse(parsing->out, "%s: no text in quotes", option);
    }
    *out = bytes_slice(value, 1, value.len_bytes - 1);
    if (out->len_bytes == 0) { return refuse(parsing->out, "%s: nothing in the quotes", option); }
    return true;
}

/* "|0d 0A|": from behind the first bar; moves past the second. */
static bool take_hex(struct parsing *parsing, struct bytes text, size_t *at)
{
    struct search *const search = &parsing->search;
    int high = -1;
    for (; *at < text.len_bytes && text.at[*at] != '|'; (*at)++) {
        const int digit = hex_digit(text.at[*at]);
        if (digit < 0 && (!is_blank(text.at[*at]) || high >= 0)) {
            return refuse(parsing->out, "content: not hexadecimal between bars");
        }
        if (digit < 0) { continue; }
        if (high < 0) {
            high = digit;
        } else {
            search->bytes[search->len_bytes++] = (uint8_t)(high << 4 | digit);
            high = -1;
        }
    }
    if (*at == text.len_bytes || high >= 0) {
        return refuse(parsing->out, "content: hexadecimal that does not end");
    }
    (*at)++;
    return true;
}

static bool take_content(struct parsing *parsing, struct bytes value)
{
    struct search *const search = &parsing->search;
    struct bytes text;
    if (!take_quoted(parsing, value, "content", &text)) { return false; }
    search->open = true;
    search->is_content = true;
    search->bytes = allocate_zeroed(1, text.len_bytes);
    for (size_t i = 0; i < text.len_bytes;) {
        const uint8_t byte = text.at[i++];
        if (byte == '|') {
            if (!take_hex(parsing, text, &i)) { return false; }
            continue;
        }
        if (byte == '\\') {
            if (i == text.len_bytes || strchr("\\\":;|", text.at[i]) == NULL || text.at[i] == 0) {
                return refuse(parsing->out, "content: a backslash before what needs none");
            }
            search->bytes[search->len_bytes++] = text.at[i++];
            continue;
        }
        search->bytes[search->len_bytes++] = byte;
    }
    return search->len_bytes > 0 || refuse(parsing->out, "content: no bytes");
}

/* ---------------------------------------------------------------------------------------- pcre */

/* Where the pattern leaves a class that begins at `at`; its end when it does not. */
static size_t class_end(struct bytes text, size_t at)
{
    at++;
    if (at < text.len_bytes && text.at[at] == '^') { at++; }
    if (at < text.len_bytes && text.at[at] == ']') { at++; }
    while (at < text.len_bytes && text.at[at] != ']') {
        at += text.at[at] == '\\' && at + 1 < text.len_bytes ? 2 : 1;
    }
    return at < text.len_bytes ? at + 1 : at;
}

/* PCRE's '$' also stands before a newline that is last. At the pattern's end that can be said; in
 * its midst it is refused. `*out_last`: there is one at the end. */
static bool dollars_can_be_said(struct bytes text, bool *out_last)
{
    *out_last = false;
    for (size_t i = 0; i < text.len_bytes;) {
        switch (text.at[i]) {
        case '\\': i += 2; break;
        case '[': i = class_end(text, i); break;
        case '$':
            if (i + 1 != text.len_bytes) { return false; }
            *out_last = true;
            i++;
            break;
        default: i++; break;
        }
    }
    return true;
}

static bool is_text(uint8_t byte) { return byte >= 0x20 && byte < 0x7f; }

/* The pattern with every byte that a rules file cannot hold as \xNN. */
static void search_put_pattern(struct search *search, struct bytes text, const char *front,
                               bool ends_in_dollar)
{
    search->bytes = allocate_zeroed(1, text.len_bytes * 4 + 32);
    char *at = (char *)search->bytes;
    at += sprintf(at, "%s", front);
    const size_t len_bytes = text.len_bytes - (ends_in_dollar ? 1 : 0);
    for (size_t i = 0; i < len_bytes; i++) {
        const uint8_t byte = text.at[i];
        const bool escape = byte == '\\' && i + 1 < len_bytes;
        if (escape && !is_text(text.at[i + 1])) { continue; } /* \xNN needs no other in front */
        if (is_text(byte)) {
            *at++ = (char)byte;
        } else {
            at += sprintf(at, "\\x%02x", byte);
        }
        if (escape) { *at++ = (char)text.at[++i]; }
    }
    at += sprintf(at, "%s", ends_in_dollar ? "\\n?$" : "");
    search->len_bytes = (size_t)(at - (char *)search->bytes);
}

static bool has_quoting(struct bytes text)
{
    for (size_t i = 0; i + 1 < text.len_bytes; i++) {
        if (text.at[i] == '\\' && text.at[i + 1] == 'Q') { return true; }
        if (text.at[i] == '\\') { i++; }
    }
    return false;
}

static bool take_pcre(struct parsing *parsing, struct bytes value)
{
    struct search *const search = &parsing->search;
    struct bytes text;
    if (!take_quoted(parsing, value, "pcre", &text)) { return false; }
    const uint8_t *const slash = memrchr(text.at, '/', text.len_bytes);
    if (text.at[0] != '/' || slash == text.at) {
        return refuse(parsing->out, "pcre: not between slashes");
    }
    const struct bytes flags = bytes_of(slash + 1, (size_t)(text.at + text.len_bytes - slash) - 1);
    text = bytes_of(text.at + 1, (size_t)(slash - text.at) - 1);
    bool ignore_case = false;
    bool dot_is_any = false;
    for (size_t i = 0; i < flags.len_bytes; i++) {
        if (flags.at[i] == 'i') {
            ignore_case = true;
        } else if (flags.at[i] == 's') {
            dot_is_any = true;
        } else {
            return refuse(parsing->out, "pcre: the flag '%c'",
                          is_text(flags.at[i]) ? flags.at[i] : '?');
        }
    }
    bool ends_in_dollar;
    if (text.len_bytes == 0) { return refuse(parsing->out, "pcre: an empty pattern"); }
    if (has_quoting(text)) { return refuse(parsing->out, "pcre: \\Q...\\E"); }
    if (!dollars_can_be_said(text, &ends_in_dollar)) {
        return refuse(parsing->out, "pcre: '$' before the pattern's end");
    }
    char front[16];
    snprintf(front, sizeof front, "%s%s", ignore_case ? "(?i)" : "", dot_is_any ? "" : "(?-s)");
    search->open = true;
    search->is_content = false;
    search_put_pattern(search, text, front, ends_in_dollar);
    return true;
}

/* ------------------------------------------------------------------------------------- options */

static bool is_one_of(struct bytes name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal_text(name, words[i])) { return true; }
    }
    return false;
}

static bool take_modifier(struct parsing *parsing, struct bytes name, bool *done)
{
    struct search *const search = &parsing->search;
    *done = true;
    if (bytes_equal_text(name, "nocase")) {
        search->ignore_case = true;
    } else if (bytes_equal_text(name, "startswith")) {
        search->at_start = true;
    } else if (bytes_equal_text(name, "endswith")) {
        search->at_end = true;
    } else {
        *done = false;
        return true;
    }
    if (search->open && search->is_content) { return true; }
    return refuse(parsing->out, "%.*s without a content in front", (int)name.len_bytes,
                  (const char *)name.at);
}

/* The text in quotes without its backslashes; as it stands where there are none. */
static char *unquoted(struct bytes value)
{
    if (value.len_bytes >= 2 && value.at[0] == '"' && value.at[value.len_bytes - 1] == '"') {
        value = bytes_slice(value, 1, value.len_bytes - 1);
    }
    char *const out = text_of(value);
    char *to = out;
    for (const char *from = out; *from != '\0'; from++) {
        if (*from == '\\' && from[1] != '\0') { from++; }
        *to++ = *from;
    }
    *to = '\0';
    return out;
}

static void add_way(struct suricata_rule *out, const char *front, struct bytes text)
{
    const size_t used = strlen(out->way);
    const size_t room = used + strlen(front) + text.len_bytes + 1;
    out->way = allocate_again(out->way, room, 1);
    snprintf(out->way + used, room - used, "%s%.*s", front, (int)text.len_bytes,
             (const char *)text.at);
}

static bool take_option(struct parsing *parsing, struct bytes name, struct bytes value)
{
    /* What says nothing about a payload. */
    static const char *const silent[] = {"classtype", "fast_pattern", "gid", "metadata", "priority",
                                         "rawbytes",  "reference",    "rev", "target"};
    struct suricata_rule *const out = parsing->out;
    bool done;
    if (bytes_equal_text(name, "msg")) {
        free(out->name);
        out->name = unquoted(value);
        return true;
    }
    if (bytes_equal_text(name, "sid")) {
        free(out->sid);
        out->sid = text_of(value);
        return true;
    }
    if (bytes_equal_text(name, "flow")) {
        add_way(out, " flow:", value);
        return true;
    }
    if (is_one_of(name, silent, ARRAY_COUNT(silent))) { return true; }
    if (!take_modifier(parsing, name, &done)) { return false; }
    if (done) { return true; }
    const bool is_content = bytes_equal_text(name, "content");
    if (is_content || bytes_equal_text(name, "pcre")) {
        if (!search_finish(parsing)) { return false; }
        return is_content ? take_content(parsing, value) : take_pcre(parsing, value);
    }
    char shown[OPTION_NAME_BYTES_MAX + 1];
    snprintf(shown, sizeof shown, "%.*s", (int)name.len_bytes, (const char *)name.at);
    return refuse(out, "the option '%s'", shown);
}

/* Up to a ';' that is in no quotes and behind no backslash; moves past. False: there is none. */
static bool take_until_semicolon(struct bytes *rest, struct bytes *out)
{
    bool quoted = false;
    for (size_t i = 0; i < rest->len_bytes; i++) {
        const uint8_t byte = rest->at[i];
        if (byte == '\\') {
            i++;
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (byte == ';' && !quoted) {
            *out = bytes_slice(*rest, 0, i);
            *rest = bytes_slice(*rest, i + 1, rest->len_bytes);
            return true;
        }
    }
    return false;
}

static bool take_options(struct parsing *parsing, struct bytes rest)
{
    struct bytes option;
    while (take_until_semicolon(&rest, &option)) {
        const uint8_t *const colon =
            option.len_bytes > 0 ? memchr(option.at, ':', option.len_bytes) : NULL;
        const size_t name_end = colon != NULL ? (size_t)(colon - option.at) : option.len_bytes;
        const struct bytes name = trimmed(bytes_slice(option, 0, name_end));
        const struct bytes value =
            colon != NULL ? trimmed(bytes_slice(option, name_end + 1, option.len_bytes))
                          : bytes_of("", 0);
        if (name.len_bytes == 0) { continue; }
        if (!take_option(parsing, name, value)) { return false; }
    }
    if (trimmed(rest).len_bytes > 0) {
        return refuse(parsing->out, "an option that does not end in ';'");
    }
    return search_finish(parsing);
}

/* ---------------------------------------------------------------------------------------- rules */

/* What stands between the brackets. */
static bool take_body(struct bytes line, struct suricata_rule *out, struct bytes *body)
{
    const uint8_t *const begin = memchr(line.at, '(', line.len_bytes);
    if (begin == NULL || line.at[line.len_bytes - 1] != ')') {
        return refuse(out, "no signature: it has no options in brackets");
    }
    add_way(out, "", trimmed(bytes_of(line.at, (size_t)(begin - line.at))));
    *body = bytes_of(begin + 1, (size_t)(line.at + line.len_bytes - begin) - 2);
    return true;
}

enum suricata_result suricata_rule_parse(struct bytes line, struct suricata_rule *out)
{
    *out = (struct suricata_rule){0};
    out->name = allocate_text("");
    out->sid = allocate_text("");
    out->way = allocate_text("");
    line = trimmed(line);
    if (line.len_bytes == 0 || line.at[0] == '#') { return SURICATA_NOTHING; }

    struct parsing parsing = {.out = out};
    struct bytes body = bytes_null();
    bool good = memchr(line.at, 0, line.len_bytes) == NULL || refuse(out, "a zero byte");
    good = good && take_body(line, out, &body) && take_options(&parsing, body);
    if (good && out->pattern_count == 0) { good = refuse(out, "neither content nor pcre"); }
    free(parsing.search.bytes);
    return good ? SURICATA_RULE : SURICATA_REFUSED;
}

void suricata_rule_deinit(struct suricata_rule *rule)
{
    for (size_t i = 0; i < rule->pattern_count; i++) { free(rule->patterns[i].text); }
    free(rule->name);
    free(rule->sid);
    free(rule->way);
    *rule = (struct suricata_rule){0};
}
