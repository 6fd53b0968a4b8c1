#include "storage/device_open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/disk.h"

static enum status measure(int descriptor, const struct stat *facts, uint64_t *out_bytes)
{
    if (S_ISREG(facts->st_mode)) {
        *out_bytes = (uint64_t)facts->st_size;
        return STATUS_OK;
    }
    int logical_block_bytes;
    if (ioctl(descriptor, BLKGETSIZE64, out_bytes) != 0 ||
        ioctl(descriptor, BLKSSZGET, &logical_block_bytes) != 0) {
        return status_from_errno(errno);
    }
    return logical_block_bytes <= DISK_BLOCK_BYTES ? STATUS_OK : STATUS_UNSUPPORTED;
}

/* The kernel keeps O_EXCL openers of a block device apart, and mounts and arrays are such; for a
 * file it means nothing. */
static enum status claim(int descriptor, const struct stat *facts, enum device_access access)
{
    if (S_ISBLK(facts->st_mode) || access == DEVICE_READ) { return STATUS_OK; }
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? STATUS_OK : STATUS_BUSY;
}

enum status device_open(const char *path, enum device_access access, int *out_descriptor,
                        uint64_t *out_bytes)
{
    struct stat facts;
    if (stat(path, &facts) != 0) { return status_from_errno(errno); }
    if (!S_ISREG(facts.st_mode) && !S_ISBLK(facts.st_mode)) {
        errno = ENOTBLK;
        return STATUS_INVALID;
    }
    int flags = access == DEVICE_WRITE ? O_RDWR : O_RDONLY;
    if (access == DEVICE_WRITE && S_ISBLK(facts.st_mode)) { flags |= O_EXCL; }
    const int descriptor = open(path, flags | O_DIRECT | O_CLOEXEC);
    if (descriptor < 0) { return errno == EINVAL ? STATUS_UNSUPPORTED : status_from_errno(errno); }

    enum status status = fstat(descriptor, &facts) == 0 ? STATUS_OK : status_from_errno(errno);
    if (status == STATUS_OK) { status = claim(descriptor, &facts, access); }
    if (status == STATUS_OK) { status = measure(descriptor, &facts, out_bytes); }
    if (status != STATUS_OK) {
        const int saved = errno;
        close(descriptor);
        errno = saved;
        return status;
    }
    *out_descriptor = descriptor;
    return STATUS_OK;
}
