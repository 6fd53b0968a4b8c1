/* send_state.h - what `penstock send --state` keeps, so that --resume can go on after a crash.
 *
 * Purpose  Lane and sequence of a record follow from the input alone (sender.c), so a producer id,
 * an epoch and the input's identity are all that it takes; the checkpoint only saves reading again
 * what is durable anyway. Owns     Its texts. The file is JSON, mode 0600, replaced whole: a crash
 * leaves the old one or the new one, on the disk when send_state_write returns. Threads  One.
 * Errors: false, and a line of text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "client/penstock.h"
#include "tools/record_input.h"

BEGIN_C_DECLS

enum { SEND_STATE_ERROR_BYTES = 1024, SEND_STATE_ID_BYTES = 33 };

/* All records before `position` are durable: `counts` of them lie in each lane. */
struct send_checkpoint {
    struct input_position position;
    uint64_t records; /* before it, over all lanes */
    uint64_t counts[PENSTOCK_LANES_MAX];
};

/* What lanes and sequences follow from: to resume with another of these would store records twice.
 */
struct send_plan {
    uint32_t lanes;
    const char *topic; /* NULL: none; this and those below are the caller's */
    uint64_t record_bytes_max;
    const struct record_input_options *input;
};

struct send_state {
    char *path;
    char id[SEND_STATE_ID_BYTES]; /* 32 hexadecimal digits */
    uint64_t epoch;               /* the highest used */
    bool begun;                   /* the appliance has all lanes: not to know one is a loss */
    bool complete;                /* all of the input is durable */
    bool broken;                  /* sequences are not what they should be: never resume */
    struct send_checkpoint checkpoint;
};

enum send_state_result {
    SEND_STATE_OK,
    SEND_STATE_ABSENT,     /* there is no such file */
    SEND_STATE_OTHER,      /* of another input, or other options */
    SEND_STATE_UNREADABLE, /* or not one of ours */
};

/* Reads it and compares it with what is about to be sent. `error` says what is wrong. */
MUST_CHECK enum send_state_result send_state_read(const char *path, const struct send_plan *plan,
                                                  const struct record_input *input,
                                                  struct send_state *out, char *error,
                                                  size_t error_bytes);

/* A new one for this id; nothing is written yet. */
void send_state_begin(const char *path, const char *id, struct send_state *out);

MUST_CHECK bool send_state_write(const struct send_state *state, const struct send_plan *plan,
                                 const struct record_input *input, char *error, size_t error_bytes);

void send_state_deinit(struct send_state *state);

END_C_DECLS
