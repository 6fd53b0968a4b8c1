/* Reading is a chain of attempts on slices: each take_ function takes something off the front of
 * `*rest`, or leaves `*rest` alone and says so. No index is ever added to a length by hand, and
 * nothing is read behind the slice.
 *
 * The order of judgement, first to last:
 *  1. <PRI> of one to three digits, at most 191. Otherwise the whole datagram is the message.
 *  2. "1 ", then "-" or an RFC 3339 timestamp with a zone: RFC 5424. Fields are taken as long as
 *     they are there; structured data that does not parse belongs to the message.
 *  3. Everything else is RFC 3164:
 *     a. Cisco's front: up to two sequence numbers ("29: "), a name ("R1: "), a lone ": ", each
 *        taken only when a timestamp or a %MNEMONIC follows, for messages may begin like that too.
 *     b. A timestamp, with '*' or '.' in front when the clock is not set.
 *     c. Only behind a timestamp: a hostname, the next word unless that is a tag ("sshd[7]:").
 *     d. A tag: a word ended by "[pid]", with or without a colon, or by a colon and then a space or
 *        the end. Behind a hostname also a plain word ended by a space, as RFC 3164 has it. */
#include "pipeline/decode.h"
#include "pipeline/syslog_timestamp.h"

enum {
    SYSLOG_FACILITY_USER = 1,
    SYSLOG_SEVERITY_NOTICE = 5,
    SYSLOG_PRIORITY_MAX = 191, /* facility 23, severity 7 */
    SYSLOG_PRIORITY_DIGITS_MAX = 3,
    SYSLOG_SEQUENCE_DIGITS_MAX = 12,
    SYSLOG_HOSTNAME_BYTES_MAX = 255, /* RFC 5424 section 6 */
    SYSLOG_TAG_BYTES_MAX = 64, /* RFC 3164 says 32, RFC 5424 48, Cisco's mnemonics want more */
    SYSLOG_PROCID_BYTES_MAX = 128,
    SYSLOG_CISCO_NUMBERS_MAX = 2,
};
static_assert((int)SYSLOG_FIELD_COUNT <= (int)RECORD_HEADERS_MAX, "a header a field");

#define TEXT(literal)                                                                              \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

static const struct bytes field_names[SYSLOG_FIELD_COUNT] = {
    [SYSLOG_FIELD_FACILITY] = TEXT("syslog.facility"),
    [SYSLOG_FIELD_SEVERITY] = TEXT("syslog.severity"),
    [SYSLOG_FIELD_VERSION] = TEXT("syslog.version"),
    [SYSLOG_FIELD_TIMESTAMP] = TEXT("syslog.timestamp"),
    [SYSLOG_FIELD_HOSTNAME] = TEXT("syslog.hostname"),
    [SYSLOG_FIELD_APP] = TEXT("syslog.app"),
    [SYSLOG_FIELD_PROCID] = TEXT("syslog.procid"),
    [SYSLOG_FIELD_MSGID] = TEXT("syslog.msgid"),
    [SYSLOG_FIELD_SD] = TEXT("syslog.sd"),
};

/* Facilities and severities as record header values: static, so they outlive every packet. */
static const struct bytes decimals[SYSLOG_PRIORITY_MAX / 8 + 1] = {
    TEXT("0"),  TEXT("1"),  TEXT("2"),  TEXT("3"),  TEXT("4"),  TEXT("5"),  TEXT("6"),  TEXT("7"),
    TEXT("8"),  TEXT("9"),  TEXT("10"), TEXT("11"), TEXT("12"), TEXT("13"), TEXT("14"), TEXT("15"),
    TEXT("16"), TEXT("17"), TEXT("18"), TEXT("19"), TEXT("20"), TEXT("21"), TEXT("22"), TEXT("23"),
};

/* What was read so far; a null field is absent. */
struct syslog_message {
    unsigned priority;
    struct bytes fields[SYSLOG_FIELD_COUNT];
    struct bytes text;
};

const char *syslog_field_name(enum syslog_field field)
{
    assert((size_t)field < SYSLOG_FIELD_COUNT);
    return (const char *)field_names[field].at;
}

/* ------------------------------------------------------------------------------ small takings */

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

static bool is_letter(uint8_t byte)
{
    const uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'z';
}

/* Neither space nor control character. Bytes from 0x80 on are let through: UTF-8 in a name breaks
 * the RFCs, but it is sent. */
static bool is_graphic(uint8_t byte) { return byte > ' ' && byte != 0x7f; }

static bool starts_with(struct bytes rest, char byte)
{
    return rest.len_bytes > 0 && rest.at[0] == (uint8_t)byte;
}

static struct bytes behind(struct bytes rest, size_t count)
{
    return bytes_slice(rest, count, rest.len_bytes);
}

static bool take_byte(struct bytes *rest, char wanted)
{
    if (!starts_with(*rest, wanted)) { return false; }
    *rest = behind(*rest, 1);
    return true;
}

/* The graphic bytes at the front: a word, of at most `bytes_max`. */
static size_t word_bytes(struct bytes rest, size_t bytes_max)
{
    size_t count = 0;
    while (count < rest.len_bytes && count < bytes_max && is_graphic(rest.at[count])) { count++; }
    return count;
}

static bool take_priority(struct bytes *rest, unsigned *out)
{
    struct bytes at = *rest;
    if (!take_byte(&at, '<')) { return false; }
    unsigned value = 0;
    size_t digits = 0;
    while (digits < SYSLOG_PRIORITY_DIGITS_MAX && digits < at.len_bytes &&
           is_digit(at.at[digits])) {
        value = value * 10 + (at.at[digits] - (unsigned)'0');
        digits++;
    }
    at = behind(at, digits);
    if (digits == 0 || value > SYSLOG_PRIORITY_MAX || !take_byte(&at, '>')) { return false; }
    *out = value;
    *rest = at;
    return true;
}

/* ----------------------------------------------------------------------------------- RFC 5424 */

/* SD-NAME="value" with \", \\ and \] escaped (section 6.3.3). A ']' inside of the quotes should be
 * escaped but often is not: only the quote ends a value. */
static bool take_sd_parameter(struct bytes *rest)
{
    size_t at = 0;
    while (at < rest->len_bytes && is_graphic(rest->at[at]) && rest->at[at] != '=' &&
           rest->at[at] != ']' && rest->at[at] != '"') {
        at++;
    }
    if (at == 0 || rest->len_bytes - at < 2) { return false; }
    if (rest->at[at] != '=' || rest->at[at + 1] != '"') { return false; }
    for (at += 2; at < rest->len_bytes; at++) {
        if (rest->at[at] == '"') {
            *rest = behind(*rest, at + 1);
            return true;
        }
        if (rest->at[at] == '\\') { at++; }
    }
    return false;
}

static bool take_sd_element(struct bytes *rest)
{
    struct bytes at = *rest;
    if (!take_byte(&at, '[')) { return false; }
    size_t id_bytes = 0;
    while (id_bytes < at.len_bytes && is_graphic(at.at[id_bytes]) && at.at[id_bytes] != ']' &&
           at.at[id_bytes] != '=' && at.at[id_bytes] != '"') {
        id_bytes++;
    }
    if (id_bytes == 0) { return false; }
    at = behind(at, id_bytes);
    while (take_byte(&at, ' ')) {
        if (!take_sd_parameter(&at)) { return false; }
    }
    if (!take_byte(&at, ']')) { return false; }
    *rest = at;
    return true;
}

/* "-" or elements back to back, then a space or the end; otherwise nothing is taken. */
static void take_structured_data(struct bytes *rest, struct bytes *out)
{
    struct bytes at = *rest;
    const bool nil = take_byte(&at, '-');
    while (!nil && take_sd_element(&at)) {}
    const size_t sd_bytes = rest->len_bytes - at.len_bytes;
    if (sd_bytes == 0) { return; }
    if (at.len_bytes > 0 && !take_byte(&at, ' ')) { return; }
    if (!nil) { *out = bytes_slice(*rest, 0, sd_bytes); }
    *rest = at;
}

/* A word and the space behind it. The last of a cut-off header ends with the datagram. False:
 * neither, so whatever stands here belongs to the message. */
static bool take_field(struct bytes *rest, struct bytes *out)
{
    const size_t count = word_bytes(*rest, rest->len_bytes);
    if (count == 0) { return false; }
    struct bytes at = behind(*rest, count);
    if (at.len_bytes > 0 && !take_byte(&at, ' ')) { return false; }
    if (count != 1 || rest->at[0] != '-') { *out = bytes_slice(*rest, 0, count); }
    *rest = at;
    return true;
}

/* Version and timestamp make it RFC 5424: RFC 3164 text may well begin with "1 ", but not go on
 * like that. */
static bool take_rfc5424_front(struct bytes *rest, struct syslog_message *message)
{
    struct bytes at = *rest;
    if (!take_byte(&at, '1') || !take_byte(&at, ' ')) { return false; }
    struct bytes timestamp = bytes_null();
    if (!take_byte(&at, '-') && !syslog_take_rfc3339(&at, SYSLOG_ZONE_REQUIRED, &timestamp)) {
        return false;
    }
    if (at.len_bytes > 0 && !take_byte(&at, ' ')) { return false; }
    message->fields[SYSLOG_FIELD_VERSION] = decimals[1];
    message->fields[SYSLOG_FIELD_TIMESTAMP] = timestamp;
    *rest = at;
    return true;
}

static void read_rfc5424(struct bytes rest, struct syslog_message *message)
{
    static const struct bytes byte_order_mark = TEXT("\xef\xbb\xbf");
    struct bytes *const fields = message->fields;
    if (take_field(&rest, &fields[SYSLOG_FIELD_HOSTNAME]) &&
        take_field(&rest, &fields[SYSLOG_FIELD_APP]) &&
        take_field(&rest, &fields[SYSLOG_FIELD_PROCID]) &&
        take_field(&rest, &fields[SYSLOG_FIELD_MSGID])) {
        take_structured_data(&rest, &fields[SYSLOG_FIELD_SD]);
    }

    const size_t mark_bytes = byte_order_mark.len_bytes;
    if (rest.len_bytes >= mark_bytes &&
        bytes_equal(bytes_slice(rest, 0, mark_bytes), byte_order_mark)) {
        rest = behind(rest, mark_bytes);
    }
    message->text = rest;
}

/* ----------------------------------------------------------------------------------- RFC 3164 */

static bool take_timestamp(struct bytes *rest, struct bytes *out)
{
    struct bytes at = *rest;
    if (!take_byte(&at, '*')) { (void)take_byte(&at, '.'); } /* Cisco: clock not set, not in sync */
    if (!syslog_take_rfc3164(&at, out) && !syslog_take_rfc3339(&at, SYSLOG_ZONE_OPTIONAL, out)) {
        return false;
    }
    *rest = at;
    return true;
}

/* Behind Cisco's front stands a timestamp or, where timestamps are off, "%FACILITY-5-NAME". */
static bool cisco_body_follows(struct bytes rest)
{
    struct bytes timestamp;
    return starts_with(rest, '%') || take_timestamp(&rest, &timestamp);
}

/* "000029: " */
static bool take_sequence_number(struct bytes *rest)
{
    size_t digits = 0;
    while (digits < rest->len_bytes && digits < SYSLOG_SEQUENCE_DIGITS_MAX &&
           is_digit(rest->at[digits])) {
        digits++;
    }
    struct bytes at = behind(*rest, digits);
    if (!take_byte(&at, ':') || !take_byte(&at, ' ')) {
        return false;
    } /* no digits: NX-OS's ": " */
    *rest = at;
    return true;
}

/* "R1: ": the origin-id. */
static bool take_origin(struct bytes *rest, struct bytes *out)
{
    const size_t count = word_bytes(*rest, SYSLOG_HOSTNAME_BYTES_MAX);
    if (count < 2 || rest->at[count - 1] != ':') { return false; }
    struct bytes at = behind(*rest, count);
    if (!take_byte(&at, ' ')) { return false; }
    *out = bytes_slice(*rest, 0, count - 1);
    *rest = at;
    return true;
}

static void take_cisco_front(struct bytes *rest, struct bytes *hostname)
{
    struct bytes at = *rest;
    for (size_t i = 0; i < SYSLOG_CISCO_NUMBERS_MAX && take_sequence_number(&at); i++) {
        if (cisco_body_follows(at)) {
            *rest = at;
            return;
        }
    }
    /* Without a number in front, "app: 2024-..." is a tag and its message. */
    struct bytes origin;
    if (at.len_bytes == rest->len_bytes || !take_origin(&at, &origin)) { return; }
    (void)take_sequence_number(&at);
    struct bytes timestamp;
    if (!take_timestamp(&at, &timestamp)) { return; }
    *hostname = origin;
    *rest = bytes_slice(*rest, (size_t)(timestamp.at - rest->at), rest->len_bytes);
}

/* "sshd[7]:", "sshd[7] ", "kernel: ", "app:" at the end. */
static bool take_tag(struct bytes *rest, struct bytes *app, struct bytes *procid)
{
    size_t count = 0;
    while (count < rest->len_bytes && count < SYSLOG_TAG_BYTES_MAX && is_graphic(rest->at[count]) &&
           rest->at[count] != '[' && rest->at[count] != ':') {
        count++;
    }
    if (count == 0) { return false; }
    struct bytes at = behind(*rest, count);
    struct bytes inside = bytes_null();
    const bool has_procid = take_byte(&at, '[');
    if (has_procid) {
        size_t inside_bytes = 0;
        while (inside_bytes < at.len_bytes && inside_bytes < SYSLOG_PROCID_BYTES_MAX &&
               is_graphic(at.at[inside_bytes]) && at.at[inside_bytes] != ']') {
            inside_bytes++;
        }
        inside = bytes_slice(at, 0, inside_bytes);
        at = behind(at, inside_bytes);
        if (!take_byte(&at, ']')) { return false; }
    }
    const bool has_colon = take_byte(&at, ':');
    if (!has_procid && !has_colon) { return false; }
    if (at.len_bytes > 0 && !take_byte(&at, ' ')) { return false; }

    *app = bytes_slice(*rest, 0, count);
    if (inside.len_bytes > 0) { *procid = inside; }
    *rest = at;
    return true;
}

/* RFC 3164's tag without any mark: a word of letters, digits and a few signs that a space ends and
 * something follows. A word with other signs ("CEF:0|...", "a,b") is the message already. */
static void take_plain_tag(struct bytes *rest, struct bytes *app)
{
    if (rest->len_bytes == 0 || !is_letter(rest->at[0])) { return; }
    size_t count = 1;
    while (count < rest->len_bytes && count < SYSLOG_TAG_BYTES_MAX) {
        const uint8_t byte = rest->at[count];
        const bool sign = byte == '-' || byte == '_' || byte == '.' || byte == '/';
        if (!is_letter(byte) && !is_digit(byte) && !sign) { break; }
        count++;
    }
    struct bytes at = behind(*rest, count);
    if (!take_byte(&at, ' ') || at.len_bytes == 0) { return; }
    *app = bytes_slice(*rest, 0, count);
    *rest = at;
}

static bool is_hostname_byte(uint8_t byte)
{
    return is_letter(byte) || is_digit(byte) || byte >= 0x80 || byte == '.' || byte == '-' ||
           byte == '_' || byte == ':';
}

/* A word of a name's or an address's bytes, with something behind it. "R1: %SYS" and "asa : %ASA"
 * are Cisco's way to end one. */
static bool take_hostname(struct bytes *rest, struct bytes *out)
{
    size_t count = 0;
    while (count < rest->len_bytes && count < SYSLOG_HOSTNAME_BYTES_MAX &&
           is_hostname_byte(rest->at[count])) {
        count++;
    }
    struct bytes at = behind(*rest, count);
    if (count == 0 || rest->at[0] == '-' || !take_byte(&at, ' ')) { return false; }
    if (at.len_bytes == 0) { return false; }
    if (rest->at[count - 1] == ':') {
        if (count == 1 || !starts_with(at, '%')) { return false; } /* a tag, then */
        count--;
    }
    struct bytes behind_colon = at;
    if (take_byte(&behind_colon, ':') && take_byte(&behind_colon, ' ')) { at = behind_colon; }

    *out = bytes_slice(*rest, 0, count);
    *rest = at;
    return true;
}

static bool take_hostname_and_tag(struct bytes *rest, struct bytes *fields)
{
    struct bytes *const app = &fields[SYSLOG_FIELD_APP];
    struct bytes *const procid = &fields[SYSLOG_FIELD_PROCID];
    struct bytes hostname;
    struct bytes at = *rest;
    const bool cisco = take_origin(&at, &hostname) && starts_with(at, '%');
    if (!cisco && take_tag(rest, app, procid)) { return true; } /* no hostname was sent */
    if (!take_hostname(rest, &fields[SYSLOG_FIELD_HOSTNAME])) { return false; }
    if (!take_tag(rest, app, procid)) { take_plain_tag(rest, app); }
    return true;
}

static void read_rfc3164(struct bytes rest, struct syslog_message *message)
{
    struct bytes *const fields = message->fields;
    struct bytes at = rest;
    while (take_byte(&at, ' ')) {} /* "<14> Mar  1": some put a space behind the priority */
    take_cisco_front(&at, &fields[SYSLOG_FIELD_HOSTNAME]);

    if (!take_timestamp(&at, &fields[SYSLOG_FIELD_TIMESTAMP])) {
        struct bytes tagged = at.len_bytes < rest.len_bytes && starts_with(at, '%') ? at : rest;
        (void)take_tag(&tagged, &fields[SYSLOG_FIELD_APP], &fields[SYSLOG_FIELD_PROCID]);
        message->text = tagged;
        return;
    }

    const bool colon = take_byte(&at, ':'); /* Cisco: "12:00:00 UTC: %SYS-5-...": no hostname */
    (void)take_byte(&at, ' ');
    if (colon || !bytes_are_null(fields[SYSLOG_FIELD_HOSTNAME])) {
        (void)take_tag(&at, &fields[SYSLOG_FIELD_APP], &fields[SYSLOG_FIELD_PROCID]);
    } else {
        (void)take_hostname_and_tag(&at, fields);
    }
    message->text = at;
}

/* ------------------------------------------------------------------------------------- whole */

static struct bytes without_end_mark(struct bytes text)
{
    if (text.len_bytes == 0) { return text; }
    const uint8_t last = text.at[text.len_bytes - 1];
    return last == '\n' || last == '\0' ? bytes_slice(text, 0, text.len_bytes - 1) : text;
}

static enum syslog_result read_message(struct bytes rest, struct syslog_message *message)
{
    if (!take_priority(&rest, &message->priority)) {
        message->priority = SYSLOG_FACILITY_USER * 8 + SYSLOG_SEVERITY_NOTICE;
        message->text = rest;
        return SYSLOG_NO_PRIORITY;
    }
    if (take_rfc5424_front(&rest, message)) {
        read_rfc5424(rest, message);
        return SYSLOG_RFC5424;
    }
    read_rfc3164(rest, message);
    return SYSLOG_RFC3164;
}

enum syslog_result decode_syslog(struct bytes datagram, enum syslog_value value,
                                 struct record_header *headers, struct record *out)
{
    if (datagram.len_bytes == 0) { return SYSLOG_EMPTY; }

    /* The end mark goes first: otherwise it would stick to the last field of a short header. */
    struct syslog_message message = {0};
    const enum syslog_result result = read_message(without_end_mark(datagram), &message);
    message.fields[SYSLOG_FIELD_FACILITY] = decimals[message.priority / 8];
    message.fields[SYSLOG_FIELD_SEVERITY] = decimals[message.priority % 8];

    uint16_t count = 0;
    for (size_t i = 0; i < SYSLOG_FIELD_COUNT; i++) {
        if (bytes_are_null(message.fields[i])) { continue; }
        headers[count].name = field_names[i];
        headers[count].value = message.fields[i];
        count++;
    }
    out->headers = headers;
    out->header_count = count;
    out->value = value == SYSLOG_VALUE_RAW ? datagram : message.text;
    return result;
}

const char *syslog_result_name(enum syslog_result result)
{
    static const char *const names[SYSLOG_RESULT_COUNT] = {
        [SYSLOG_RFC5424] = "rfc5424",
        [SYSLOG_RFC3164] = "rfc3164",
        [SYSLOG_NO_PRIORITY] = "no-priority",
        [SYSLOG_EMPTY] = "empty",
    };
    assert((size_t)result < SYSLOG_RESULT_COUNT);
    return names[result];
}
