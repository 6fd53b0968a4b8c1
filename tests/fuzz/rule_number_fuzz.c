/* rule_number_fuzz.c - what is taken for a number, the C library takes for the same number. */
#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "pipeline/rule_number.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

/* What strtod reads beside decimal numbers, or a decimal number reads differently. */
static bool is_decimal(const char *text)
{
    const size_t sign_bytes = strspn(text, "+-") > 0 ? 1 : 0;
    const char *const point = strchr(text, '.');
    if (strspn(text, "0123456789+-.eE") != strlen(text)) { return false; } /* hex, inf, spaces */
    if (text[sign_bytes] == '.') { return false; }
    return point == NULL || (point[1] >= '0' && point[1] <= '9');
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    char text[RULE_NUMBER_BYTES_MAX + 1] = {0};
    double number = 0;
    const bool taken = rule_number_parse(bytes_of(at, len_bytes), &number);
    if (len_bytes > RULE_NUMBER_BYTES_MAX) {
        assert(!taken);
        return 0;
    }
    if (len_bytes > 0) { memcpy(text, at, len_bytes); }

    char *end;
    const double expected = strtod(text, &end);
    const bool whole = len_bytes > 0 && end == text + len_bytes && is_decimal(text);
    assert(taken == whole);
    assert(!taken || memcmp(&number, &expected, sizeof number) == 0);
    return 0;
}
