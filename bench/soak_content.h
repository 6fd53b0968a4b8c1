/* soak_content.h - what the soak's records hold: every byte follows from the offset.
 *
 * A value begins with its offset, then a stretch of one fixed pattern that the offset chooses: so
 * every byte can be compared, at the speed of memory, and a byte of another place is never right.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    SOAK_VALUE_BYTES = 1000,
    SOAK_PATTERN_BYTES = 1 << 16,
};

struct soak_content {
    uint8_t pattern[SOAK_PATTERN_BYTES + SOAK_VALUE_BYTES];
};

void soak_content_init(struct soak_content *content);

/* SOAK_VALUE_BYTES at `out`. */
void soak_content_fill(const struct soak_content *content, uint64_t offset, uint8_t *out);
bool soak_content_holds(const struct soak_content *content, uint64_t offset, struct bytes value);

END_C_DECLS
