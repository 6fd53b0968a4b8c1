/* compiler.h - the few attributes we use, by one name each.
 *
 * C++17 may include every header of this tree (the tests do): hence the extern "C" pair, which
 * opens right behind a header's includes and closes at its end. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
#define BEGIN_C_DECLS extern "C" {
#define END_C_DECLS   }
#else
#define BEGIN_C_DECLS
#define END_C_DECLS
#endif

/* The caller must look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Rare: kept out of the hot text and out of the inliner's way. */
#define COLD __attribute__((cold, noinline))

#define PRINTF_LIKE(format_index, first_index)                                                     \
    __attribute__((format(printf, format_index, first_index)))

#define LIKELY(claim)   __builtin_expect(!!(claim), 1)
#define UNLIKELY(claim) __builtin_expect(!!(claim), 0)

/* Memory that will be needed soon, likely to be written. A hint: any address is fine. */
static inline void prefetch(const void *at, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i += 64) { __builtin_prefetch((const char *)at + i, 1); }
}

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What two cores must not share: a pair of lines, because x86 prefetches lines in pairs. */
enum { CACHE_PAIR_BYTES = 128 };
