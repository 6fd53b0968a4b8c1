/* dpdk_listen.h - what DPDK's drivers complain of, caught for an error text.
 *
 * Purpose  A driver says why it failed only in its log. While a listener is open DPDK's log goes to
 *          it, and the first line is kept: the first complaint is nearest to the cause.
 * Owns     A stream, from init to deinit; in between DPDK writes there instead of to stderr.
 * Threads  The main thread opens and closes; other DPDK threads may write in between. */
#pragma once

#include <stdio.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { DPDK_LISTEN_TEXT_BYTES = 200 };

struct dpdk_listener {
    FILE *stream; /* NULL: no memory for one; DPDK writes to stderr as ever */
    char *memory;
    size_t memory_bytes;
    char text[DPDK_LISTEN_TEXT_BYTES]; /* after deinit; "" when nothing was said */
};

void dpdk_listener_init(struct dpdk_listener *listener);
void dpdk_listener_deinit(struct dpdk_listener *listener);

END_C_DECLS
