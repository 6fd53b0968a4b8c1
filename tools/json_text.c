#include "tools/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

json_t *json_text_of(const char *text, size_t capacity)
{
    const size_t len_bytes = strnlen(text, capacity);
    json_t *const whole = json_stringn(text, len_bytes);
    if (whole != NULL) { return whole; }

    char *const copy = allocate_zeroed(len_bytes + 1, 1);
    for (size_t i = 0; i < len_bytes; i++) {
        copy[i] = (unsigned char)text[i] <= 0x7e ? text[i] : '?';
    }
    json_t *const readable = json_stringn(copy, len_bytes);
    free(copy);
    return readable;
}
