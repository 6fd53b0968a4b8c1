/* ingest_socket.h - a connection to the control socket of a running penstock-ingest. */
#pragma once

#include "base/compiler.h"

BEGIN_C_DECLS

/* A non-blocking socket, connected. -1: errno says why; ENOENT, ECONNREFUSED and EAGAIN mean that
 * ingest is away. Any thread. */
MUST_CHECK int ingest_socket_connect(const char *runtime);

END_C_DECLS
