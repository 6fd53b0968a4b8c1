#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t crc32c_extend(uint32_t crc, struct bytes bytes)
{
    unsigned state = ~crc;
    while (bytes.len_bytes > 0) {
        const size_t step_bytes = bytes.len_bytes > INT_MAX ? INT_MAX : bytes.len_bytes;
        /* ISA-L takes a non-const pointer but only reads. */
        state = crc32_iscsi((unsigned char *)(uintptr_t)bytes.at, (int)step_bytes, state);
        bytes = bytes_slice(bytes, step_bytes, bytes.len_bytes);
    }
    return ~state;
}

uint32_t crc32c(struct bytes bytes) { return crc32c_extend(0, bytes); }

/* Polynomials over GF(2) modulo CRC-32C's, bit-reflected: bit 31 is x^0. */
static const uint32_t polynomial_reflected = 0x82f63b78;

static uint32_t poly_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        if (a & bit) { product ^= b; }
        b = (b >> 1) ^ ((b & 1) ? polynomial_reflected : 0);
    }
    return product;
}

/* x^(8 * len_bytes), by squaring. */
static uint32_t poly_power_of_bytes(uint64_t len_bytes)
{
    uint32_t power = UINT32_C(1) << 31; /* 1 */
    uint32_t base = UINT32_C(1) << 23;  /* x^8 */
    for (; len_bytes != 0; len_bytes >>= 1) {
        if (len_bytes & 1) { power = poly_multiply(power, base); }
        base = poly_multiply(base, base);
    }
    return power;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b_bytes)
{
    /* Appending b multiplies a's remainder by x^(8 len b); the two inversions cancel. */
    return poly_multiply(poly_power_of_bytes(len_b_bytes), crc_a) ^ crc_b;
}
