#include "base/directory.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

enum status directory_make(const char *path)
{
    char partial[PATH_MAX];
    const int len = snprintf(partial, sizeof partial, "%s", path);
    if (len <= 0 || (size_t)len >= sizeof partial) {
        errno = ENAMETOOLONG;
        return status_from_errno(errno);
    }
    for (char *at = partial + 1; *at != '\0'; at++) {
        if (*at != '/') { continue; }
        *at = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST) { return status_from_errno(errno); }
        *at = '/';
    }
    if (mkdir(partial, 0755) != 0 && errno != EEXIST) { return status_from_errno(errno); }
    return STATUS_OK;
}
