#include "dataplane/notes.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"

static const uint64_t window_ns = UINT64_C(10) * NS_PER_S;
enum { LINES_A_WINDOW = 10 };

#define IPV4_BYTES(address)                                                                        \
    (unsigned)((address) >> 24 & 255), (unsigned)((address) >> 16 & 255),                          \
        (unsigned)((address) >> 8 & 255), (unsigned)((address)&255)

static void write_note(const struct note *note)
{
    const uint32_t part = note->origin;
    switch (note->code) {
    case NOTE_SEGMENT_OPENED:
        log_debug("part-%04u: segment %016" PRIx64 " opened, %" PRIu64 " bytes", part, note->value,
                  note->other);
        return;
    case NOTE_SEGMENT_SEALED:
        log_debug("part-%04u: segment %016" PRIx64 " sealed, %" PRIu64 " bytes used", part,
                  note->value, note->other);
        return;
    case NOTE_SEGMENT_FAILED:
        log_error("part-%04u: segment %016" PRIx64 " refused a write at byte %" PRIu64
                  " (%s): given up; what was in flight is written again to the next segment",
                  part, note->value, note->other, status_text(note->why));
        return;
    case NOTE_LOG_CLOSED:
        log_error("part-%04u: log closed, nothing is received there: %s; trying again every second",
                  part, status_text(note->why));
        return;
    case NOTE_LOG_REOPENED:
        log_notice("part-%04u: log open again, segment %016" PRIx64, part, note->value);
        return;
    case NOTE_SEGMENT_STARVED:
        log_warning("part-%04u: segment %016" PRIx64
                    " was not ready in time; receiving waits for it",
                    part, note->value);
        return;
    case NOTE_RECORD_TOO_LARGE:
        log_warning("part-%04u: refused a record of %" PRIu64 " bytes from listener %" PRIu64
                    ": larger than a commit holds "
                    "(storage.commit.bytes)",
                    part, note->value, note->other);
        return;
    case NOTE_LANE_LOST:
        log_error(
            "part-%04u: a producer says that %" PRIu64
            " records of its lane, from sequence %" PRIu64
            " on, were acknowledged as durable, and the log does not know them: was a disk lost "
            "or put back?",
            part, note->value, note->other);
        return;
    case NOTE_LANE_BUSY:
        log_warning("part-%04u: refused %u.%u.%u.%u a lane that %u.%u.%u.%u has and uses: two "
                    "producers with one id, or a forger",
                    part, IPV4_BYTES(note->value), IPV4_BYTES(note->other));
        return;
    case NOTE_FATES_GIVEN_UP:
        log_warning(
            "part-%04u: gave up the fates of a lane whose producer has confirmed none for 10 s, "
            "while memory for fates is short (they stand in the log)",
            part);
        return;
    case NOTE_LANES_FULL:
        log_error("part-%04u: refused a new lane: %" PRIu64
                  " are remembered; raise lanes.max or lower lanes.remember",
                  part, note->value);
        return;
    case NOTE_PATH_CHANGED:
        log_warning("part-%04u: segment %016" PRIx64 " and those behind it are written to storage "
                    "path number %" PRIu64 ": the one before failed, or is full",
                    part, note->value, note->other + 1);
        return;
    case NOTE_WRITE_LATE:
        log_error("part-%04u: segment %016" PRIx64 ": a write at byte %" PRIu64
                  " has not come back for 30 s: the segment is given up, its bytes in memory are "
                  "left alone until the disk answers",
                  part, note->value, note->other);
        return;
    case NOTE_CODE_COUNT: return;
    }
}

static void open_window(struct note_limits *limits, uint64_t now_ns)
{
    for (size_t code = 0; code < NOTE_CODE_COUNT; code++) {
        if (limits->hidden[code] > 0) {
            log_warning("%" PRIu64 " more messages of kind %zu were hidden", limits->hidden[code],
                        code);
        }
    }
    memset(limits, 0, sizeof *limits);
    limits->window_ns = now_ns;
}

uint64_t notes_write(struct note_ring *ring, struct note_limits *limits, uint64_t now_ns)
{
    struct note note;
    if (now_ns - limits->window_ns >= window_ns) { open_window(limits, now_ns); }
    while (note_take(ring, &note)) {
        if (limits->written[note.code] == LINES_A_WINDOW) {
            limits->hidden[note.code]++;
            continue;
        }
        limits->written[note.code]++;
        write_note(&note);
    }
    return note_take_lost(ring);
}
