#include "base/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status map_descriptor(int descriptor, bool writable, struct mapped_file *out)
{
    struct stat stat;
    if (fstat(descriptor, &stat) != 0) { return status_from_errno(errno); }

    const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *const at =
        mmap(NULL, (size_t)stat.st_size, protection, MAP_SHARED | MAP_POPULATE, descriptor, 0);
    if (at == MAP_FAILED) { return status_from_errno(errno); }

    out->at = at;
    out->size_bytes = (size_t)stat.st_size;
    out->inode = stat.st_ino;
    return STATUS_OK;
}

enum status mapped_file_create(const char *path, size_t size_bytes, struct mapped_file *out)
{
    char draft[4096];
    const int len = snprintf(draft, sizeof draft, "%s.draft", path);
    if (len < 0 || (size_t)len >= sizeof draft) { return STATUS_INVALID; }

    (void)unlink(draft); /* a leftover of a crash; none is the usual case */
    const int descriptor = open(draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0) { return status_from_errno(errno); }

    enum status status = STATUS_OK;
    const int refused = posix_fallocate(descriptor, 0, (off_t)size_bytes);
    if (refused != 0) {
        errno = refused;
        status = status_from_errno(refused);
    }
    if (status == STATUS_OK) { status = map_descriptor(descriptor, true, out); }
    if (status == STATUS_OK && rename(draft, path) != 0) {
        status = status_from_errno(errno);
        mapped_file_close(out);
    }

    const int saved = errno;
    if (status != STATUS_OK) { (void)unlink(draft); }
    close(descriptor);
    errno = saved;
    return status;
}

enum status mapped_file_create_private(size_t size_bytes, struct mapped_file *out)
{
    void *const at =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) { return status_from_errno(errno); }
    *out = (struct mapped_file){.at = at, .size_bytes = size_bytes};
    return STATUS_OK;
}

enum status mapped_file_open(const char *path, bool writable, size_t size_bytes_min,
                             struct mapped_file *out)
{
    /* O_NONBLOCK: a FIFO of that name must not make anybody wait for its other end. */
    const int descriptor = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) { return status_from_errno(errno); }

    struct stat stat;
    enum status status = STATUS_OK;
    if (fstat(descriptor, &stat) != 0) { status = status_from_errno(errno); }
    if (status == STATUS_OK && !S_ISREG(stat.st_mode)) { status = STATUS_INVALID; }
    if (status == STATUS_OK && (size_t)stat.st_size < size_bytes_min) { status = STATUS_TRUNCATED; }
    if (status == STATUS_OK && stat.st_size == 0) { status = STATUS_TRUNCATED; }
    if (status == STATUS_OK) { status = map_descriptor(descriptor, writable, out); }

    const int saved = errno;
    close(descriptor);
    errno = saved;
    return status;
}

void mapped_file_close(struct mapped_file *file)
{
    if (file->at == NULL) { return; }
    munmap(file->at, file->size_bytes);
    file->at = NULL;
    file->size_bytes = 0;
}
