/* node.h - penstock-ingest put together: from a configuration to turning workers, and back.
 *
 * Purpose  Builds, in order: runtime directory, logs (recovery), EAL and ports, segment supply,
 *          commit rings and disks, workers; launches them; runs the main core's loop (heartbeat,
 *          notes to log lines, port counters, doorbell to serve, reloads of the rules); takes it
 * all down again. Threads  Main core. Signals: node_run takes SIGTERM and SIGINT as "stop in
 * order", SIGHUP as "read the rules again". Errors   Every failure was written to the log with what
 * to do when a function answers one. */
#pragma once

#include "base/compiler.h"
#include "base/status.h"
#include "dataplane/node_config.h"

BEGIN_C_DECLS

struct node; /* opaque */

/* Borrows the configuration until destroy, but takes the rules out of it: they are replaced while
 * it runs. Nothing is received before node_run. */
MUST_CHECK enum status node_create(struct node_config *config, struct node **out);

/* Turns until a stop is asked for; answers STATUS_OK when everything received became durable, else
 * why a log was closed with records in it. */
MUST_CHECK enum status node_run(struct node *node);

void node_destroy(struct node *node);

END_C_DECLS
