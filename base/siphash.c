#include "base/siphash.h"

#include <stddef.h>

#include "base/endian.h"

enum { WORD_BYTES = 8 };

struct siphash_state {
    uint64_t v0;
    uint64_t v1;
    uint64_t v2;
    uint64_t v3;
};

static uint64_t rotate_left(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

/* The paper's figure 2.1. */
static void siphash_round(struct siphash_state *state)
{
    state->v0 += state->v1;
    state->v2 += state->v3;
    state->v1 = rotate_left(state->v1, 13);
    state->v3 = rotate_left(state->v3, 16);
    state->v1 ^= state->v0;
    state->v3 ^= state->v2;
    state->v0 = rotate_left(state->v0, 32);

    state->v2 += state->v1;
    state->v0 += state->v3;
    state->v1 = rotate_left(state->v1, 17);
    state->v3 = rotate_left(state->v3, 21);
    state->v1 ^= state->v2;
    state->v3 ^= state->v0;
    state->v2 = rotate_left(state->v2, 32);
}

static void siphash_take_word(struct siphash_state *state, uint64_t word)
{
    state->v3 ^= word;
    siphash_round(state);
    siphash_round(state);
    state->v0 ^= word;
}

/* "somepseudorandomlygeneratedbytes", as the paper keys it. */
static struct siphash_state siphash_begin(const struct siphash_key *key)
{
    const uint64_t k0 = load_le64(key->bytes);
    const uint64_t k1 = load_le64(key->bytes + WORD_BYTES);
    const struct siphash_state state = {
        k0 ^ 0x736f6d6570736575,
        k1 ^ 0x646f72616e646f6d,
        k0 ^ 0x6c7967656e657261,
        k1 ^ 0x7465646279746573,
    };
    return state;
}

/* What is left of the input, little-endian, and in the top byte the whole length modulo 256. */
static uint64_t siphash_last_word(struct bytes bytes)
{
    const size_t rest_bytes = bytes.len_bytes % WORD_BYTES;
    uint64_t word = (uint64_t)bytes.len_bytes << 56;
    for (size_t i = 0; i < rest_bytes; i++) {
        word |= (uint64_t)bytes.at[bytes.len_bytes - rest_bytes + i] << (8 * i);
    }
    return word;
}

static uint64_t siphash_finish(struct siphash_state *state)
{
    state->v2 ^= 0xff;
    for (int i = 0; i < 4; i++) { siphash_round(state); }
    return state->v0 ^ state->v1 ^ state->v2 ^ state->v3;
}

uint64_t siphash24(const struct siphash_key *key, struct bytes bytes)
{
    struct siphash_state state = siphash_begin(key);
    for (size_t at = 0; bytes.len_bytes - at >= WORD_BYTES; at += WORD_BYTES) {
        siphash_take_word(&state, load_le64(bytes.at + at));
    }
    siphash_take_word(&state, siphash_last_word(bytes));
    return siphash_finish(&state);
}
