#include "pipeline/syslog_timestamp.h"

#include "base/compiler.h"

/* Every function here takes something off the front of `*rest` and says whether it was there; what
 * it took on the way to a "no" is lost, so callers try on a copy. */

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

static bool take_byte(struct bytes *rest, char wanted)
{
    if (rest->len_bytes == 0 || rest->at[0] != (uint8_t)wanted) { return false; }
    *rest = bytes_slice(*rest, 1, rest->len_bytes);
    return true;
}

static void skip_spaces(struct bytes *rest)
{
    while (take_byte(rest, ' ')) {}
}

/* A number of exactly `digits` digits within [least, greatest]. */
static bool take_number(struct bytes *rest, size_t digits, unsigned least, unsigned greatest)
{
    if (rest->len_bytes < digits) { return false; }
    unsigned value = 0;
    for (size_t i = 0; i < digits; i++) {
        if (!is_digit(rest->at[i])) { return false; }
        value = value * 10 + (rest->at[i] - (unsigned)'0');
    }
    if (value < least || value > greatest) { return false; }
    *rest = bytes_slice(*rest, digits, rest->len_bytes);
    return true;
}

static bool take_year(struct bytes *rest) { return take_number(rest, 4, 1970, 2999); }

static bool take_fraction(struct bytes *rest)
{
    size_t digits = 0;
    while (digits < 9 && take_number(rest, 1, 0, 9)) { digits++; }
    return digits > 0;
}

/* hh:mm:ss; 60 is a leap second. */
static bool take_time(struct bytes *rest)
{
    return take_number(rest, 2, 0, 23) && take_byte(rest, ':') && take_number(rest, 2, 0, 59) &&
           take_byte(rest, ':') && take_number(rest, 2, 0, 60);
}

/* Z or +01:00; +0100 is sent as well. */
static bool take_zone_offset(struct bytes *rest)
{
    struct bytes at = *rest;
    if (take_byte(rest, 'Z')) { return true; }
    if (!take_byte(&at, '+') && !take_byte(&at, '-')) { return false; }
    if (!take_number(&at, 2, 0, 23)) { return false; }
    (void)take_byte(&at, ':');
    if (!take_number(&at, 2, 0, 59)) { return false; }
    *rest = at;
    return true;
}

/* One of `count` names of three letters. */
static bool take_name(struct bytes *rest, const char *const *names, size_t count)
{
    if (rest->len_bytes < 3) { return false; }
    for (size_t i = 0; i < count; i++) {
        if (memcmp(rest->at, names[i], 3) != 0) { continue; }
        *rest = bytes_slice(*rest, 3, rest->len_bytes);
        return true;
    }
    return false;
}

static bool take_month(struct bytes *rest)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    return take_name(rest, months, ARRAY_COUNT(months));
}

static bool take_weekday(struct bytes *rest)
{
    static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    return take_name(rest, days, ARRAY_COUNT(days));
}

/* "1", " 1", "01" or "11", between the month's space and the next. */
static bool take_day(struct bytes *rest)
{
    (void)take_byte(rest, ' '); /* the padding of a single digit */
    if (take_number(rest, 2, 1, 31)) { return true; }
    return take_number(rest, 1, 1, 9);
}

/* What `*rest` holds in front of `behind`, which is a later state of it. */
static struct bytes taken(struct bytes before, struct bytes behind)
{
    return bytes_slice(before, 0, before.len_bytes - behind.len_bytes);
}

/* A space, the end, or Cisco's colon in front of either: "12:00:001" is no time, and "2001:db8::7"
 * behind one no year. */
static bool ends_here(struct bytes rest)
{
    (void)take_byte(&rest, ':');
    return rest.len_bytes == 0 || rest.at[0] == ' ';
}

bool syslog_take_rfc3339(struct bytes *rest, enum syslog_zone zone, struct bytes *out)
{
    struct bytes at = *rest;
    const bool date = take_year(&at) && take_byte(&at, '-') && take_number(&at, 2, 1, 12) &&
                      take_byte(&at, '-') && take_number(&at, 2, 1, 31) && take_byte(&at, 'T');
    if (!date || !take_time(&at)) { return false; }
    if (take_byte(&at, '.') && !take_fraction(&at)) { return false; }
    if (!take_zone_offset(&at) && zone == SYSLOG_ZONE_REQUIRED) { return false; }
    if (!ends_here(at)) { return false; }

    *out = taken(*rest, at);
    *rest = at;
    return true;
}

/* Behind the time: a year, as ctime puts it. Anything else stays. */
static void take_trailing_year(struct bytes *rest)
{
    struct bytes at = *rest;
    if (take_byte(&at, ' ') && take_year(&at) && ends_here(at)) { *rest = at; }
}

/* Behind the time: " UTC" or " CEST", but only in front of a colon. In front of a space it would be
 * a host of that name. */
static void take_trailing_zone(struct bytes *rest)
{
    struct bytes at = *rest;
    if (!take_byte(&at, ' ')) { return; }
    size_t letters = 0;
    while (letters < 5 && letters < at.len_bytes && at.at[letters] >= 'A' &&
           at.at[letters] <= 'Z') {
        letters++;
    }
    if (letters < 2) { return; }
    at = bytes_slice(at, letters, at.len_bytes);
    if (at.len_bytes > 0 && at.at[0] == ':') { *rest = at; }
}

bool syslog_take_rfc3164(struct bytes *rest, struct bytes *out)
{
    struct bytes at = *rest;
    if (take_weekday(&at) && !take_byte(&at, ' ')) { return false; }
    bool has_year = take_year(&at); /* NX-OS: "2024 Mar  1 12:00:00" */
    if (has_year && !take_byte(&at, ' ')) { return false; }
    if (!take_month(&at) || !take_byte(&at, ' ') || !take_day(&at)) { return false; }
    if (!take_byte(&at, ' ')) { return false; }
    struct bytes behind_year = at;
    if (!has_year && take_year(&behind_year)) { /* ASA: "Mar 01 2024 12:00:00" */
        has_year = true;
        at = behind_year;
        skip_spaces(&at);
    }
    if (!take_time(&at)) { return false; }
    if (take_byte(&at, '.') && !take_fraction(&at)) { return false; }
    if (!ends_here(at)) { return false; }
    if (!has_year) { take_trailing_year(&at); }
    take_trailing_zone(&at);

    *out = taken(*rest, at);
    *rest = at;
    return true;
}
