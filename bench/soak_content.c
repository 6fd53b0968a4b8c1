#include "bench/soak_content.h"

#include <string.h>

#include "base/endian.h"
#include "base/random.h"

enum { OFFSET_BYTES = 8 };

void soak_content_init(struct soak_content *content)
{
    struct random random = random_seed(4650);
    for (size_t i = 0; i < sizeof content->pattern; i++) {
        content->pattern[i] = (uint8_t)random_u64(&random);
    }
}

static const uint8_t *stretch_of(const struct soak_content *content, uint64_t offset)
{
    const uint64_t mixed = offset * UINT64_C(0x9e3779b97f4a7c15);
    return content->pattern + (mixed >> 48) % SOAK_PATTERN_BYTES;
}

void soak_content_fill(const struct soak_content *content, uint64_t offset, uint8_t *out)
{
    store_le64(out, offset);
    memcpy(out + OFFSET_BYTES, stretch_of(content, offset), SOAK_VALUE_BYTES - OFFSET_BYTES);
}

bool soak_content_holds(const struct soak_content *content, uint64_t offset, struct bytes value)
{
    if (value.len_bytes != SOAK_VALUE_BYTES || load_le64(value.at) != offset) { return false; }
    return memcmp(value.at + OFFSET_BYTES, stretch_of(content, offset),
                  SOAK_VALUE_BYTES - OFFSET_BYTES) == 0;
}
