/* notes.h - workers' notes turned into lines for the operator, with a limit on repeats. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/note.h"

BEGIN_C_DECLS

/* How often each kind of note was written of late; one a main core. */
struct note_limits {
    uint64_t window_ns;
    uint32_t written[NOTE_CODE_COUNT];
    uint64_t hidden[NOTE_CODE_COUNT];
};

/* Takes all notes of a ring and writes them: at most 10 of a kind in 10 s, then how many were
 * hidden. Answers how many the ring had lost. Main core. */
uint64_t notes_write(struct note_ring *ring, struct note_limits *limits, uint64_t now_ns);

END_C_DECLS
