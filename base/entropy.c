#include "base/entropy.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

enum status entropy_fill(void *out, size_t len_bytes)
{
    uint8_t *const at = out;
    size_t filled_bytes = 0;
    while (filled_bytes < len_bytes) { /* more than 256 bytes may come in pieces: getrandom(2) */
        const ssize_t got_bytes = getrandom(at + filled_bytes, len_bytes - filled_bytes, 0);
        if (got_bytes < 0 && errno == EINTR) { continue; }
        if (got_bytes < 0) { return status_from_errno(errno); }
        filled_bytes += (size_t)got_bytes;
    }
    return STATUS_OK;
}
