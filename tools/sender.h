/* sender.h - sends all of an input to an appliance, and says what became of it.
 *
 * Purpose  The work of `penstock send`: records from record_input into libpenstock, pace, progress,
 *          state, and the account at the end.
 * Sequence Record i (from 0, over all files) goes to lane crc32c(key) mod lanes, or without a key
 * to lane (i / SENDER_RUN_RECORDS) mod lanes; its sequence is its place among the records of that
 * lane, from 1. So the input alone decides both, and with a state a new process can read it again
 * and give the appliance exactly what is not durable yet. Threads  One calls it; SIGINT and SIGTERM
 * are taken from it by sigtimedwait meanwhile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "tools/record_input.h"

BEGIN_C_DECLS

enum { SENDER_RUN_RECORDS = 32 }; /* keyless ones in a row to a lane: they fill a datagram or two */

struct sender_options {
    struct record_input_options input;
    const char *server; /* HOST:PORT */
    const char *topic;  /* NULL: the appliance decides */
    uint32_t lanes;
    const char *producer_id; /* as penstock.h's producer.id; NULL: a random one */
    const char *state_path;  /* NULL: none is kept */
    bool resume;             /* go on where the state ends, if there is one */
    const char *receipts;    /* NULL: no ledger */
    uint64_t rate;           /* records a second; 0: as fast as it goes */
    uint64_t record_bytes_max;
    uint64_t timeout_ns; /* without a record that gets its fate: give up */
    bool quiet;
    bool progress;
    bool json;
};

/* Returns the exit code: docs/man/penstock-send.1.scd lists them. */
int sender_run(const struct sender_options *options);

END_C_DECLS
