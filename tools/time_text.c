#include "tools/time_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/units.h"

/* Exactly `digits` of them; moves past. */
static bool take_number(const char **at, int digits, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9') { return false; }
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool take_char(const char **at, char c)
{
    if (**at != c) { return false; }
    (*at)++;
    return true;
}

static bool take_date(const char **at, struct tm *out)
{
    int year;
    int month;
    if (!take_number(at, 4, &year) || !take_char(at, '-')) { return false; }
    if (!take_number(at, 2, &month) || !take_char(at, '-')) { return false; }
    if (!take_number(at, 2, &out->tm_mday)) { return false; }
    out->tm_year = year - 1900;
    out->tm_mon = month - 1;
    return month >= 1 && month <= 12 && out->tm_mday >= 1 && out->tm_mday <= 31;
}

static bool take_clock(const char **at, struct tm *out, int *ms)
{
    if (!take_number(at, 2, &out->tm_hour) || !take_char(at, ':')) { return false; }
    if (!take_number(at, 2, &out->tm_min) || !take_char(at, ':')) { return false; }
    if (!take_number(at, 2, &out->tm_sec)) { return false; }
    if (out->tm_hour > 23 || out->tm_min > 59 || out->tm_sec > 60) { return false; }
    *ms = 0;
    if (!take_char(at, '.')) { return true; }
    if (**at < '0' || **at > '9') { return false; }
    for (int unit = 100; **at >= '0' && **at <= '9'; (*at)++, unit /= 10) {
        *ms += unit * (**at - '0');
    }
    return true;
}

/* "Z" or "+01:00", to the end of the text. */
static bool take_zone(const char *at, int *minutes)
{
    int hours;
    *minutes = 0;
    if (strcmp(at, "Z") == 0 || strcmp(at, "z") == 0) { return true; }
    const int sign = *at == '-' ? -1 : 1;
    if (*at != '+' && *at != '-') { return false; }
    at++;
    if (!take_number(&at, 2, &hours) || !take_char(&at, ':')) { return false; }
    if (!take_number(&at, 2, minutes) || *at != '\0') { return false; }
    if (hours > 23 || *minutes > 59) { return false; }
    *minutes = sign * (hours * 60 + *minutes);
    return true;
}

static bool parse_calendar(const char *text, int64_t *out_ms)
{
    struct tm parts = {0};
    int ms = 0;
    int zone_minutes = 0;
    const char *at = text;
    if (!take_date(&at, &parts)) { return false; }
    const int day = parts.tm_mday;
    if (*at != '\0') {
        if (*at != 'T' && *at != 't' && *at != ' ') { return false; }
        at++;
        if (!take_clock(&at, &parts, &ms) || !take_zone(at, &zone_minutes)) { return false; }
    }
    const bool leap_second = parts.tm_sec == 60;
    const time_t seconds = timegm(&parts);
    if (!leap_second && parts.tm_mday != day) { return false; } /* the 31st of a shorter month */
    *out_ms = ((int64_t)seconds - (int64_t)zone_minutes * 60) * 1000 + ms;
    return true;
}

bool time_text_parse(const char *text, int64_t now_ms, int64_t *out_ms)
{
    uint64_t ns;
    char *end;
    if (strcmp(text, "now") == 0) {
        *out_ms = now_ms;
        return true;
    }
    if (text[0] == '-') {
        if (!units_parse_duration(text + 1, &ns)) { return false; }
        *out_ms = now_ms - (int64_t)(ns / 1000000);
        return true;
    }
    if (text[0] < '0' || text[0] > '9') { return false; }
    errno = 0;
    *out_ms = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0) { return true; }
    return parse_calendar(text, out_ms);
}
