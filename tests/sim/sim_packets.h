/* sim_packets.h - the packets port in memory: frames put in by a test, frames sent kept for it.
 *
 * Every buffer handed out is tracked: leaks and double releases abort. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "nic/packets.h"

BEGIN_C_DECLS

struct sim_packets; /* opaque */

/* `buffers`: how many frames can be out (received and not released, or reserved) at a time. */
struct sim_packets *sim_packets_create(size_t buffers);
/* Aborts when a buffer was not given back. */
void sim_packets_destroy(struct sim_packets *packets);
struct packets sim_packets_port(struct sim_packets *packets);

/* A frame to be received, copied; waits in an unbounded queue. */
void sim_packets_put(struct sim_packets *packets, struct bytes frame);
size_t sim_packets_waiting(const struct sim_packets *packets);

/* Buffers that are out. */
size_t sim_packets_out(const struct sim_packets *packets);

/* Frames sent and not taken away; `index` below that count, 0 is the oldest. */
size_t sim_packets_sent_count(const struct sim_packets *packets);
struct bytes sim_packets_sent(const struct sim_packets *packets, size_t index);
/* Counts from 0 again. */
void sim_packets_forget_sent(struct sim_packets *packets);

/* Takes the oldest frame sent away: copies it into `room` and frees it. Answers its length; 0 when
 * there is none. A long simulation that does so needs no more memory the longer it runs. Aborts
 * when the frame is longer than `room`. */
size_t sim_packets_take_sent(struct sim_packets *packets, void *room, size_t capacity_bytes);

END_C_DECLS
