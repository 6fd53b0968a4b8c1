#include "tools/device_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/device_open.h"
#include "storage/device_table.h"

static enum status look(const char *path)
{
    int descriptor;
    uint64_t device_bytes;
    struct device_superblock superblock;
    enum status status = device_open(path, DEVICE_READ, &descriptor, &device_bytes);
    if (status != STATUS_OK) { return status; }
    errno = 0;
    status = device_superblock_read(descriptor, device_bytes, &superblock, NULL);
    const int saved = errno;
    close(descriptor);
    errno = saved;
    return status;
}

static bool is_file(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* A file that is no image is no device that lacks anything. */
static enum status look_at(const char *path, char device[PATH_MAX])
{
    const enum status status = look(path);
    if (status != STATUS_OK) {
        const bool says_nothing = status == STATUS_NOT_FOUND || status == STATUS_UNSUPPORTED;
        return says_nothing && is_file(path) ? STATUS_INVALID : status;
    }
    char real[PATH_MAX];
    if (realpath(path, real) == NULL) { return status_from_errno(errno); }
    strcpy(device, real);
    return STATUS_OK;
}

enum status device_path_split(const char *path, char device[PATH_MAX], const char **below)
{
    char prefix[PATH_MAX];
    struct stat facts;
    const size_t len = strlen(path);
    if (len >= sizeof prefix) { return STATUS_INVALID; }
    strcpy(prefix, path);
    *below = path + len;
    while (stat(prefix, &facts) != 0) {
        if (errno != ENOTDIR) { return status_from_errno(errno); }
        char *const slash = strrchr(prefix, '/');
        if (slash == NULL || slash == prefix) { return status_from_errno(ENOTDIR); }
        *slash = 0;
        *below = path + (slash - prefix) + 1;
    }
    if (S_ISDIR(facts.st_mode)) { return STATUS_INVALID; }
    const enum status status = look_at(prefix, device);
    if (status != STATUS_INVALID || **below == 0) { return status; }
    errno = ENOTDIR; /* below a file that is no device */
    return status_from_errno(ENOTDIR);
}
