/* device_open.h - a block device, or a file that holds an image of one, opened for O_DIRECT.
 *
 * Threads  Any; no state.
 * Errors   STATUS_BUSY: mounted, part of something, or another process has it open for itself.
 *          STATUS_UNSUPPORTED: no O_DIRECT, or logical blocks of more than DISK_BLOCK_BYTES.
 *          STATUS_INVALID: neither device nor file (ENOTBLK). STATUS_NOT_FOUND (errno ENOENT),
 * STATUS_IO. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum device_access {
    DEVICE_READ,  /* beside whoever has it */
    DEVICE_WRITE, /* for this process alone */
};

/* `out_bytes`: its size. The descriptor is the caller's. */
MUST_CHECK enum status device_open(const char *path, enum device_access access, int *out_descriptor,
                                   uint64_t *out_bytes);

END_C_DECLS
