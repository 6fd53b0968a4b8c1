#include "base/status.h"

#include <errno.h>
#include <stddef.h>

const char *status_text(enum status status)
{
    static const char *const texts[STATUS_COUNT] = {
        [STATUS_OK] = "ok",
        [STATUS_FULL] = "full",
        [STATUS_BUSY] = "busy",
        [STATUS_NOT_FOUND] = "not found",
        [STATUS_EXISTS] = "exists already",
        [STATUS_INVALID] = "invalid",
        [STATUS_TRUNCATED] = "truncated",
        [STATUS_CORRUPT] = "corrupt",
        [STATUS_UNSUPPORTED] = "not supported",
        [STATUS_NO_SPACE] = "no space left",
        [STATUS_NO_MEMORY] = "not enough memory",
        [STATUS_IO] = "input/output error",
        [STATUS_STALE] = "replaced while being read",
        [STATUS_CLOSED] = "closed",
    };

    if ((unsigned)status >= STATUS_COUNT) { return "unknown status"; }
    return texts[status];
}

enum status status_from_errno(int error)
{
    switch (error < 0 ? -error : error) {
    case 0: return STATUS_OK;
    case ENOSPC:
    case EDQUOT: return STATUS_NO_SPACE;
    case ENOMEM: return STATUS_NO_MEMORY;
    case ENOENT: return STATUS_NOT_FOUND;
    case EEXIST: return STATUS_EXISTS;
    case EAGAIN:
    case EBUSY: return STATUS_BUSY;
    default: return STATUS_IO;
    }
}
