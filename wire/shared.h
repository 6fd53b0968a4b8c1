/* shared.h - conventions of the memory that penstock-ingest shares with serve and the CLI.
 *
 * All of it lies in files of the runtime directory (a tmpfs): it outlives a kill -9 of any process
 * and dies with the machine. Fields are in host order (one machine), fixed-size, and versioned by
 * SHARED_VERSION: a reader of another version refuses by name. Readers map read-only and treat the
 * contents as outside bytes: every count is checked against the mapping. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

/* C++ (the tests) sees plain integers: the same size and alignment, no atomicity. */
#ifdef __cplusplus
#define SHARED_ATOMIC(type) type
#else
#include <stdatomic.h>
#define SHARED_ATOMIC(type) _Atomic type
#endif

enum { SHARED_VERSION = 3 };
