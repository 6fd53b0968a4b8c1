#include "base/packet_window.h"

#include <string.h>

#include "base/invariant.h"

enum { WORD_BITS = 64 };

static void window_check(const struct packet_window *window)
{
    assert_hot(!window->any || (window->bits[0] & 1) == 1); /* the largest itself arrived */
}

/* Makes room for numbers that are larger by `distance`; what is pushed out is forgotten. */
static void window_shift(struct packet_window *window, uint64_t distance)
{
    if (distance >= PACKET_WINDOW_PACKETS) {
        memset(window->bits, 0, sizeof window->bits);
        return;
    }
    const size_t words = distance / WORD_BITS;
    const unsigned bits = distance % WORD_BITS;
    for (size_t to = PACKET_WINDOW_WORDS; to-- > 0;) {
        const uint64_t high = to >= words ? window->bits[to - words] : 0;
        const uint64_t low = to >= words + 1 ? window->bits[to - words - 1] : 0;
        window->bits[to] = bits == 0 ? high : high << bits | low >> (WORD_BITS - bits);
    }
}

static void window_advance(struct packet_window *window, uint64_t number)
{
    window_shift(window, window->any ? number - window->largest : PACKET_WINDOW_PACKETS);
    window->bits[0] |= 1;
    window->largest = number;
    window->any = true;
}

enum packet_window_result packet_window_add(struct packet_window *window, uint64_t number)
{
    window_check(window);
    if (!window->any || number > window->largest) {
        window_advance(window, number);
        return PACKET_WINDOW_NEW;
    }
    const uint64_t age = window->largest - number;
    if (age >= PACKET_WINDOW_PACKETS) { return PACKET_WINDOW_TOO_OLD; }

    uint64_t *const word = &window->bits[age / WORD_BITS];
    const uint64_t bit = UINT64_C(1) << (age % WORD_BITS);
    if (*word & bit) { return PACKET_WINDOW_DUPLICATE; }
    *word |= bit;
    return PACKET_WINDOW_NEW;
}

/* The smallest age from `age` on whose packet arrived, or did not; PACKET_WINDOW_PACKETS: none. */
static size_t window_find(const struct packet_window *window, size_t age, bool arrived)
{
    uint64_t ignored = age % WORD_BITS != 0 ? (UINT64_C(1) << (age % WORD_BITS)) - 1 : 0;
    for (size_t word = age / WORD_BITS; word < PACKET_WINDOW_WORDS; word++) {
        const uint64_t found = (arrived ? window->bits[word] : ~window->bits[word]) & ~ignored;
        if (found != 0) { return word * WORD_BITS + (size_t)__builtin_ctzll(found); }
        ignored = 0;
    }
    return PACKET_WINDOW_PACKETS;
}

size_t packet_window_ranges(const struct packet_window *window, struct packet_range *out,
                            size_t capacity)
{
    window_check(window);
    size_t count = 0;
    size_t newest = window_find(window, 0, true);
    while (newest < PACKET_WINDOW_PACKETS && count < capacity) {
        const size_t behind = window_find(window, newest, false);
        out[count].first = window->largest - (behind - 1);
        out[count].last = window->largest - newest;
        count++;
        newest = window_find(window, behind, true);
    }
    return count;
}
