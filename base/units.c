#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: formatting takes the first that divides exactly. */
static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"TB", UINT64_C(1000000000000)},
    {"GiB", UINT64_C(1) << 30},
    {"GB", UINT64_C(1000000000)},
    {"MiB", UINT64_C(1) << 20},
    {"MB", UINT64_C(1000000)},
    {"KiB", UINT64_C(1) << 10},
    {"kB", UINT64_C(1000)},
    {"B", 1},
    {NULL, 0},
};

static const struct unit duration_units[] = {
    {"d", UINT64_C(86400000000000)},
    {"h", UINT64_C(3600000000000)},
    {"m", UINT64_C(60000000000)},
    {"s", UINT64_C(1000000000)},
    {"ms", UINT64_C(1000000)},
    {"us", UINT64_C(1000)},
    {"ns", 1},
    {NULL, 0},
};

static bool parse_number(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t value = 0;
    if (*at < '0' || *at > '9') { return false; }
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value)) { return false; }
        if (__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) { return false; }
    }
    *text = at;
    *out = value;
    return true;
}

static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
    uint64_t number;
    if (!parse_number(&text, &number)) { return false; }
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (strcmp(text, unit->name) == 0) {
            return !__builtin_mul_overflow(number, unit->factor, out);
        }
    }
    return false;
}

bool units_parse_integer(const char *text, uint64_t *out)
{
    return parse_number(&text, out) && *text == '\0';
}

bool units_parse_size(const char *text, uint64_t *out_bytes)
{
    return parse_with_unit(text, size_units, out_bytes) || units_parse_integer(text, out_bytes);
}

bool units_parse_duration(const char *text, uint64_t *out_ns)
{
    return parse_with_unit(text, duration_units, out_ns);
}

static const char *format_with_unit(uint64_t value, const struct unit *units, char *out,
                                    size_t capacity)
{
    const struct unit *unit = units;
    while (unit[1].name != NULL && (value == 0 || value % unit->factor != 0)) { unit++; }
    snprintf(out, capacity, "%" PRIu64 "%s", value / unit->factor, unit->name);
    return out;
}

const char *units_format_size(uint64_t bytes, char *out, size_t capacity)
{
    return format_with_unit(bytes, size_units, out, capacity);
}

const char *units_format_duration(uint64_t ns, char *out, size_t capacity)
{
    return format_with_unit(ns, duration_units, out, capacity);
}
