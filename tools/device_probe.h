/* device_probe.h - what a device holds, before anything is written over it. The only file that
 * includes libblkid.
 *
 * Threads  Any; no state. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum { DEVICE_PROBE_TEXT_BYTES = 160 };

/* STATUS_NOT_FOUND: nothing is known of it, and its first and last MiB are zeros. STATUS_EXISTS:
 * `text` says what ("an ext4 file system, label data"; "a gpt partition table"). `descriptor` is of
 * `path`, O_DIRECT. STATUS_IO, STATUS_NO_MEMORY. */
MUST_CHECK enum status device_probe(const char *path, int descriptor, uint64_t device_bytes,
                                    char text[DEVICE_PROBE_TEXT_BYTES]);

END_C_DECLS
