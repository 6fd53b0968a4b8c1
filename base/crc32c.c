#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <stdbool.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

/* The sum of `crc`'s bytes followed by len_bytes zeros, but for the inversions: a remainder times
 * x^(8 * len_bytes). Any length, any machine. */
static uint32_t crc32c_shift(uint32_t crc, uint64_t len_bytes)
{
    return poly_multiply(poly_power_of_bytes(len_bytes), crc);
}

#if defined(__x86_64__)

enum {
    DIGIT_BITS = 6,
    DIGIT_COUNT = 3, /* lengths below 256 KiB: a longer one is worth its microsecond */
    FAST_SHIFT_BYTES_MAX = (1 << (DIGIT_BITS * DIGIT_COUNT)) - 1,
};

/* [digit][value]: x^(8 * value * 64^digit - 33), 33 being what poly_multiply_fast multiplies by.
 * Crc32c.CombiningEqualsSummingAtOnce* hold each of them against a sum. */
static const uint32_t powers[DIGIT_COUNT][1 << DIGIT_BITS] = {
    {0xa9cdda0d, 0xbf818109, 0x780d5a4d, 0xfe2b5c35, 0x05ec76f1, 0x01000000, 0x00010000,
     0x00000100, 0x00000001, 0xf26b8303, 0x13a29877, 0xa541927e, 0xdd45aab8, 0x38116fac,
     0xef306b19, 0x68032cc8, 0x493c7d27, 0xf43ed648, 0xcb567ba5, 0x9771f7c1, 0x3171d430,
     0x30d23865, 0x54075546, 0x678efd01, 0xf20c0dfe, 0x5fe4dc5f, 0x0f69022b, 0xb93b4ce7,
     0x3743f7bd, 0x0d0a7ded, 0x5c15eeb4, 0x75d3f038, 0xba4fc28e, 0x2e34cb9d, 0x2dae840f,
     0x5e3e92a0, 0xa2158b34, 0xf7dbcb25, 0x15bb4109, 0x78a7608d, 0x3da6d0cb, 0x5a392b2f,
     0x7ef48bd1, 0x21c69623, 0x33ccbbbc, 0xff6571a2, 0x438fa020, 0x20fe017e, 0xddc0152b,
     0xb9e9e5f0, 0xf3d78690, 0x925b2b91, 0x6051243f, 0x6e9024b1, 0x401061ee, 0x4f08075c,
     0x1c291d04, 0xc786be02, 0xe1fcf649, 0x39283a86, 0xa46ef4aa, 0xc90df36a, 0x0aedb6a9,
     0xdaf383dc},
    {0xa9cdda0d, 0x9e4addf8, 0x0d3b6092, 0xab7aff2a, 0xb9e02b86, 0xbac2fd7b, 0xd270f1a2,
     0x1b03397f, 0xdd7e3b0c, 0x271d9844, 0x6b749fb2, 0xe6fc4e6a, 0xd7a4825c, 0x26f6a60a,
     0x68bce87a, 0x3771e98f, 0x170076fa, 0xff0dba97, 0x86d8e4d2, 0xb3af077a, 0xdd66cbbb,
     0xc9c8b782, 0xd813b325, 0x6d9a4957, 0x9ef68d35, 0x2664fd8b, 0x363bd6b3, 0x00bcf5f6,
     0xaa7c7ad5, 0x6d390dec, 0xf48642e9, 0x9a5ede41, 0xa51b6135, 0x021ac5ef, 0xcbbe4ee1,
     0xdefba41c, 0xbedc6ba1, 0xb1630f04, 0x63d097e9, 0x4be7fd90, 0x22c3799f, 0x50bfaade,
     0x889774e1, 0x33bc58b3, 0x8515c07f, 0x465a4eee, 0xc00df280, 0xd6748e82, 0x359674f7,
     0x86d42d06, 0xf8448640, 0x95ffd7dc, 0x5f0e0438, 0x50c2cb16, 0x7f47463d, 0x4ac726eb,
     0x96a1f19b, 0x4ce8bfe5, 0xb58ac6fe, 0xd6b1825a, 0x23d5e7e5, 0xf370b37f, 0xc776b648,
     0x24e6fe8f},
    {0xa9cdda0d, 0x82f89c77, 0x54a86326, 0xc1f19ee1, 0x1dc403cc, 0x68bfa742, 0x6a173fa1,
     0x0d435f26, 0x5ae703ab, 0xa400fc17, 0xc71795dd, 0x84c8538e, 0x51e9168b, 0x139f7c52,
     0x21c03eff, 0x8f619e7d, 0xc5013a36, 0x2056bbf3, 0x935f10a0, 0x2749d607, 0xa0535a61,
     0xb1fd6af0, 0x4df55b09, 0x0d4536cb, 0xec132bea, 0xb65cf982, 0x65f99287, 0x7dc994be,
     0x1a0e568c, 0x4177e917, 0x1af75504, 0xfe0c9db0, 0xac2ac6dd, 0x03d40d09, 0x7fd5af9d,
     0xfab2ff83, 0x38385076, 0x5b96f17c, 0xbdfa8286, 0x296ec49f, 0x8e20deaf, 0xcd9da9c1,
     0x8c6eb9b8, 0xab74e3ae, 0xcc9907c0, 0x75e94852, 0xa993d60c, 0x536e3ea7, 0x9edebb1b,
     0xddb2bd86, 0x485df757, 0xcfd09a55, 0x2a4dc41f, 0xf45af087, 0xf088ef39, 0xf3a78139,
     0x5b1d3738, 0xe4615f50, 0x3a946189, 0xde858266, 0x9cd49976, 0x94314550, 0x31629de1,
     0xffd76daa},
};

/* a * b * x^33. The carry-less product has 63 bits; read as 64 reflected ones it is a * b * x, and
 * the CRC instruction answers the remainder of that times x^32. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t poly_multiply_fast(uint32_t a, uint32_t b)
{
    const __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)a), _mm_cvtsi64_si128((int64_t)b), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* crc32c_shift for up to FAST_SHIFT_BYTES_MAX. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_shift_fast(uint32_t crc,
                                                                           uint64_t len_bytes)
{
    for (size_t digit = 0; len_bytes != 0; digit++) {
        crc = poly_multiply_fast(crc, powers[digit][len_bytes % (1 << DIGIT_BITS)]);
        len_bytes >>= DIGIT_BITS;
    }
    return crc;
}

static bool has_fast_shift(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#else

enum { FAST_SHIFT_BYTES_MAX = 0 };

static uint32_t crc32c_shift_fast(uint32_t crc, uint64_t len_bytes)
{
    return crc32c_shift(crc, len_bytes);
}

static bool has_fast_shift(void) { return false; }

#endif

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b_bytes)
{
    /* Appending b multiplies a's remainder by x^(8 len b); the two inversions cancel. */
    if (len_b_bytes <= FAST_SHIFT_BYTES_MAX && has_fast_shift()) {
        return crc32c_shift_fast(crc_a, len_b_bytes) ^ crc_b;
    }
    return crc32c_shift(crc_a, len_b_bytes) ^ crc_b;
}
