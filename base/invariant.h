/* invariant.h - assert stays on in release; assert_hot is for checks on every packet or record.
 *
 * assert      Our own mistakes, never the world's. Always compiled in: meson.build refuses NDEBUG.
 * assert_hot  Debug, sanitizer and simulator builds (-Dhot_asserts=true); otherwise not evaluated.
 */
#pragma once

#include <assert.h>

#ifdef NDEBUG
#error "asserts stay on: build with -Db_ndebug=false"
#endif

#ifdef PENSTOCK_HOT_ASSERTS
#define assert_hot(claim) assert(claim)
#else
#define assert_hot(claim) ((void)sizeof(!(claim)))
#endif
