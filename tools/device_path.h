/* device_path.h - names on a raw device as a command line has them: "/dev/nvme1n1/part-0003".
 *
 * Threads  Any; no state. */
#pragma once

#include <limits.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

/* STATUS_OK: `path` is a device that holds segments, or a file that holds an image of one, or lies
 * below such: `device` is its real path, *below the rest of `path` behind it ("": nothing).
 * STATUS_INVALID: something else. STATUS_NOT_FOUND: nothing is there (errno ENOENT), or a device
 * that is not initialised (errno 0). As device_open and device_superblock_read otherwise. */
MUST_CHECK enum status device_path_split(const char *path, char device[PATH_MAX],
                                         const char **below);

END_C_DECLS
