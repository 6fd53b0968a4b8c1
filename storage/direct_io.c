#include "storage/direct_io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/disk.h"
#include "storage/files.h"

enum { ZEROS_BYTES = 4 << 20 }; /* one write of a fill: large enough to keep a disk busy */

static enum status read_whole(int file, uint64_t position, uint8_t *out, size_t len_bytes)
{
    while (len_bytes > 0) {
        const ssize_t taken = pread(file, out, len_bytes, (off_t)position);
        if (taken < 0 && errno == EINTR) { continue; }
        if (taken < 0) { return status_from_errno(errno); }
        /* The file ends inside the range; O_DIRECT answers a part of a sector only there. */
        if (taken == 0 || taken % FILES_READ_UNIT_BYTES != 0) { return STATUS_TRUNCATED; }
        out += taken;
        position += (uint64_t)taken;
        len_bytes -= (size_t)taken;
    }
    return STATUS_OK;
}

/* The range lies inside blocks of a disk that reads no less than those. */
static enum status read_blocks_around(int file, uint64_t position, uint8_t *out, size_t len_bytes)
{
    const uint64_t begin = position - position % DISK_BLOCK_BYTES;
    const uint64_t end =
        (position + len_bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    uint8_t *const blocks = aligned_alloc(DISK_BLOCK_BYTES, (size_t)(end - begin));
    if (blocks == NULL) { return STATUS_NO_MEMORY; }
    const enum status status = read_whole(file, begin, blocks, (size_t)(end - begin));
    if (status == STATUS_OK) { memcpy(out, blocks + (position - begin), len_bytes); }
    free(blocks);
    return status;
}

enum status direct_read(int file, uint64_t position, uint8_t *out, size_t len_bytes)
{
    assert(position % FILES_READ_UNIT_BYTES == 0);
    assert(len_bytes % FILES_READ_UNIT_BYTES == 0);
    assert((uintptr_t)out % DISK_BLOCK_BYTES == 0);
    const bool blocks = position % DISK_BLOCK_BYTES == 0 && len_bytes % DISK_BLOCK_BYTES == 0;

    errno = 0;
    const enum status status = read_whole(file, position, out, len_bytes);
    if (blocks || status == STATUS_OK || errno != EINVAL) { return status; }
    return read_blocks_around(file, position, out, len_bytes);
}

/* A write that moves on by less than it was given goes on behind that: nobody counts it as done
 * before the last byte is. */
enum status direct_write(int file, uint64_t position, struct bytes bytes, bool durable)
{
    assert(position % DISK_BLOCK_BYTES == 0);
    assert(bytes.len_bytes % DISK_BLOCK_BYTES == 0);
    assert((uintptr_t)bytes.at % DISK_BLOCK_BYTES == 0);

    while (bytes.len_bytes > 0) {
        const struct iovec piece = {(void *)(uintptr_t)bytes.at, bytes.len_bytes};
        const ssize_t written = pwritev2(file, &piece, 1, (off_t)position, durable ? RWF_DSYNC : 0);
        if (written < 0 && errno == EINTR) { continue; }
        if (written < 0) { return status_from_errno(errno); }
        if (written == 0 || written % DISK_BLOCK_BYTES != 0) {
            errno = EIO;
            return STATUS_IO;
        }
        bytes = bytes_slice(bytes, (size_t)written, bytes.len_bytes);
        position += (uint64_t)written;
    }
    return STATUS_OK;
}

uint8_t *direct_zeros_create(void)
{
    uint8_t *const zeros = aligned_alloc(DISK_BLOCK_BYTES, ZEROS_BYTES);
    if (zeros != NULL) { memset(zeros, 0, ZEROS_BYTES); }
    return zeros;
}

enum status direct_fill_zeros(int file, const uint8_t *zeros, uint64_t position, uint64_t len_bytes)
{
    while (len_bytes > 0) {
        const size_t step_bytes = len_bytes < ZEROS_BYTES ? (size_t)len_bytes : ZEROS_BYTES;
        const enum status status = direct_write(file, position, bytes_of(zeros, step_bytes), false);
        if (status != STATUS_OK) { return status; }
        position += step_bytes;
        len_bytes -= step_bytes;
    }
    return fsync(file) == 0 ? STATUS_OK : status_from_errno(errno);
}
