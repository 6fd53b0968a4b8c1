/* clock.h - the two clocks of a process; whoever has a loop reads them and passes the time down.
 *
 * A clock step moves wall_ms only. No ack, loss or retention decision uses it (docs/log-format.md
 * says what wall time is good for). Both reads stay in the vDSO: no system call. Any thread. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

struct instant {
    uint64_t mono_ns; /* CLOCK_MONOTONIC; the same in every process of this machine */
    int64_t wall_ms;  /* milliseconds since 1970, CLOCK_REALTIME: a record's receive time */
};

struct instant clock_now(void);

/* CLOCK_MONOTONIC alone. */
uint64_t clock_mono_ns(void);

/* "2026-01-31T12:00:00.123Z"; "-" for what no calendar has. Answers `out`. */
enum { CLOCK_WALL_TEXT_BYTES = 40 };
const char *clock_wall_text(int64_t wall_ms, char out[CLOCK_WALL_TEXT_BYTES]);

enum {
    NS_PER_US = 1000,
    NS_PER_MS = 1000 * 1000,
    NS_PER_S = 1000 * 1000 * 1000,
    MS_PER_S = 1000,
};

END_C_DECLS
