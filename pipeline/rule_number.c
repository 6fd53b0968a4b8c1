#include "pipeline/rule_number.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"

enum {
    /* More than any 64 bytes of digits can make up for: what is beyond is 0 or infinite. */
    EXPONENT_MAX = 100000,
    /* 10^22 is the largest power of ten that a double holds exactly. */
    EXACT_EXPONENT_MAX = 22,
};

/* digits * 10^exponent, and the sign. */
struct decimal {
    bool negative;
    char digits[RULE_NUMBER_BYTES_MAX];
    size_t digit_count;
    int exponent;
};

static bool take_digits(struct bytes text, size_t *at, struct decimal *out)
{
    const size_t begin = *at;
    while (*at < text.len_bytes && text.at[*at] >= '0' && text.at[*at] <= '9') {
        out->digits[out->digit_count++] = (char)text.at[(*at)++];
    }
    return *at > begin;
}

/* True: there was one, and it moved past it. */
static bool take_sign(struct bytes text, size_t *at, bool *negative)
{
    *negative = *at < text.len_bytes && text.at[*at] == '-';
    if (!*negative && (*at == text.len_bytes || text.at[*at] != '+')) { return false; }
    (*at)++;
    return true;
}

/* Behind the 'e'. */
static bool take_exponent(struct bytes text, size_t *at, int *out)
{
    bool negative;
    (void)take_sign(text, at, &negative); /* may be left out */
    const size_t begin = *at;
    int exponent = 0;
    while (*at < text.len_bytes && text.at[*at] >= '0' && text.at[*at] <= '9') {
        if (exponent < EXPONENT_MAX) { exponent = exponent * 10 + (text.at[*at] - '0'); }
        (*at)++;
    }
    *out = negative ? -exponent : exponent;
    return *at > begin;
}

static bool decimal_read(struct bytes text, struct decimal *out)
{
    size_t at = 0;
    int exponent = 0;
    out->digit_count = 0;
    (void)take_sign(text, &at, &out->negative); /* may be left out */
    if (!take_digits(text, &at, out)) { return false; }
    const size_t integer_digits = out->digit_count;
    if (at < text.len_bytes && text.at[at] == '.') {
        at++;
        if (!take_digits(text, &at, out)) { return false; }
    }
    const size_t fraction_digits = out->digit_count - integer_digits;
    if (at < text.len_bytes && (text.at[at] == 'e' || text.at[at] == 'E')) {
        at++;
        if (!take_exponent(text, &at, &exponent)) { return false; }
    }
    out->exponent = exponent - (int)fraction_digits;
    return at == text.len_bytes;
}

/* Both factors are exact, and so the one rounding is the right one (Clinger, "How to read floating
 * point numbers accurately", 1990). False: not so simple. */
static bool decimal_exact(const struct decimal *decimal, double *out)
{
    static const double powers[EXACT_EXPONENT_MAX + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    enum { EXACT_DIGITS = 15 }; /* below 2^53 */

    if (decimal->digit_count > EXACT_DIGITS) { return false; }
    if (abs(decimal->exponent) > EXACT_EXPONENT_MAX) { return false; }
    uint64_t whole = 0;
    for (size_t i = 0; i < decimal->digit_count; i++) {
        whole = whole * 10 + (uint64_t)(decimal->digits[i] - '0');
    }
    *out = decimal->exponent < 0 ? (double)whole / powers[-decimal->exponent]
                                 : (double)whole * powers[decimal->exponent];
    return true;
}

/* By the C library, which rounds right; given no decimal point, it has no use for a locale. */
static double decimal_rounded(const struct decimal *decimal)
{
    char text[RULE_NUMBER_BYTES_MAX + 16];
    const int len_bytes = snprintf(text, sizeof text, "%.*se%d", (int)decimal->digit_count,
                                   decimal->digits, decimal->exponent);
    assert(len_bytes > 0 && (size_t)len_bytes < sizeof text);
    return strtod(text, NULL);
}

bool rule_number_parse(struct bytes text, double *out)
{
    struct decimal decimal;
    if (text.len_bytes > RULE_NUMBER_BYTES_MAX || !decimal_read(text, &decimal)) { return false; }
    double magnitude;
    if (!decimal_exact(&decimal, &magnitude)) { magnitude = decimal_rounded(&decimal); }
    *out = decimal.negative ? -magnitude : magnitude;
    return true;
}
