/* bytes.h - a borrowed run of bytes: where it starts and how long it is.
 *
 * Owns nothing: it lives as long as what it points into. {NULL, 0} is both empty and "absent";
 * where the two differ (a Kafka null key), bytes_are_null tells. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/invariant.h"

BEGIN_C_DECLS

struct bytes {
    const uint8_t *at;
    size_t len_bytes;
};

static inline struct bytes bytes_of(const void *at, size_t len_bytes)
{
    const struct bytes out = {(const uint8_t *)at, len_bytes};
    return out;
}

static inline struct bytes bytes_null(void) { return bytes_of(NULL, 0); }

/* The characters of a C string, without its end mark. */
static inline struct bytes bytes_of_text(const char *text) { return bytes_of(text, strlen(text)); }

static inline bool bytes_are_null(struct bytes bytes) { return bytes.at == NULL; }

/* [begin, end) of `bytes`; asserted to lie inside. */
static inline struct bytes bytes_slice(struct bytes bytes, size_t begin, size_t end)
{
    assert_hot(begin <= end);
    assert_hot(end <= bytes.len_bytes);
    return bytes_of(bytes.at + begin, end - begin);
}

static inline bool bytes_equal(struct bytes left, struct bytes right)
{
    if (left.len_bytes != right.len_bytes) { return false; }
    return left.len_bytes == 0 || memcmp(left.at, right.at, left.len_bytes) == 0;
}

static inline bool bytes_equal_text(struct bytes bytes, const char *text)
{
    return bytes_equal(bytes, bytes_of_text(text));
}

END_C_DECLS
