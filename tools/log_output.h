/* log_output.h - what `penstock log` writes for people and programs, and how far it got.
 *
 * Purpose  A JSON array, an element at a time, so that a log of a terabyte needs no memory; a line
 *          of progress on a terminal.
 * Threads  log_array by one at a time; log_progress_add by any. */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct log_array {
    FILE *out;
    bool begun;
};

/* What separates the next element from those before: who writes one by hand goes on from here. */
void log_array_next(struct log_array *array);
/* Takes the value. */
void log_array_add(struct log_array *array, json_t *value);
void log_array_end(struct log_array *array);

/* A number that may be above what JSON's integers are elsewhere: 63 bits, then as text. */
json_t *log_number_json(uint64_t number);

/* "0123456789abcdef..." */
void log_id_text(struct log_id id, char out[2 * LOG_ID_BYTES + 1]);

/* "2026-01-31T12:00:00.123Z"; "-" for what no calendar has. */
enum { LOG_TIME_BYTES = CLOCK_WALL_TEXT_BYTES };
const char *log_time_text(int64_t wall_ms, char out[LOG_TIME_BYTES]);

struct log_progress {
    pthread_mutex_t lock;
    bool shown; /* on a terminal */
    bool on_line;
    const char *doing; /* "verified" */
    uint64_t total_bytes;
    uint64_t done_bytes;
    uint64_t began_ns;
    uint64_t told_ns;
};

/* Shows nothing where stderr is no terminal, or `quiet`. */
void log_progress_begin(struct log_progress *progress, const char *doing, uint64_t total_bytes,
                        bool quiet);
void log_progress_add(struct log_progress *progress, uint64_t bytes);
/* Clears the line: before something else is printed, and at the end. */
void log_progress_clear(struct log_progress *progress);
void log_progress_end(struct log_progress *progress);

END_C_DECLS
