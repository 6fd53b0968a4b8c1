/* send_progress.h - one line on stderr while `penstock send` works: drawn over itself on a
 * terminal, a new one each time elsewhere. Owns nothing but its figures; one thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

struct send_progress {
    bool shown; /* at all */
    bool on_terminal;
    bool line_open; /* something stands on the terminal's last line */
    uint64_t began_ns;
    uint64_t drawn_ns; /* when it was drawn last, and what it said: for the rate */
    uint64_t drawn_records;
};

struct send_figures {
    uint64_t read_records;
    uint64_t settled_records; /* with a fate */
    uint64_t durable_records;
    uint64_t read_bytes;  /* of the input */
    uint64_t begin_bytes; /* where the reading began */
    uint64_t total_bytes; /* 0: not known */
    const char *waiting;  /* NULL, or why nothing moves */
};

void send_progress_init(struct send_progress *progress, bool shown, uint64_t now_ns);

/* Draws when its time has come. */
void send_progress_show(struct send_progress *progress, const struct send_figures *figures,
                        uint64_t now_ns);

/* Takes the line away, so that something else can be said. */
void send_progress_clear(struct send_progress *progress);

END_C_DECLS
