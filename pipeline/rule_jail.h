/* rule_jail.h - a piece of compiling, done by a child process that has only so much.
 *
 * Purpose  A pattern of thirty characters can keep Hyperscan busy for hours and fill all memory,
 * and nothing can stop it from within. A child can be stopped. Child    Made by fork alone, so that
 * it has the rules at hand. It calls the body, which calls Hyperscan and rule_jail_write, and ends
 * by _exit: no handler, no buffer and no lock of the parent's runs out in it. It dies with the
 * thread that made it. Threads  Cold; any but a polling core. The caller waits, at most
 * RULE_JAIL_WALL_FACTOR times the seconds of CPU that the child has. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum { RULE_JAIL_WALL_FACTOR = 4 };

struct rule_jail_limits {
    uint32_t cpu_seconds;  /* 0: none */
    uint64_t memory_bytes; /* of its own, beside what the parent has mapped; 0: none */
    uint64_t answer_bytes; /* of all that it writes; 0: none */
};

enum rule_jail_end {
    RULE_JAIL_DONE,
    RULE_JAIL_OUT_OF_TIME,
    RULE_JAIL_TOO_LARGE, /* more than answer_bytes */
    RULE_JAIL_DIED,      /* by a signal, or without memory */
    RULE_JAIL_NO_CHILD,  /* fork, pipe: see errno */
};

/* Calls body(context, out) in a child. *answer is what it wrote, however it ended; it goes to
 * free(), NULL when that was nothing. */
MUST_CHECK enum rule_jail_end rule_jail_run(const struct rule_jail_limits *limits,
                                            void (*body)(const void *context, int out),
                                            const void *context, uint8_t **answer,
                                            size_t *answer_bytes);

/* For the body. Ends the child when the parent does not listen any more. */
void rule_jail_write(int out, struct bytes bytes);

END_C_DECLS
