#include "dataplane/rules_archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/logger.h"

enum {
    NAME_BYTES = 32,
    COPIES_SEEN_MAX = 4096, /* a directory that others filled is not read to its end */
};

struct copy {
    char name[NAME_BYTES];
    struct timespec written;
};

static const char draft_name[] = ".draft";

/* ------------------------------------------------------------------------------------- write */

static bool write_all(int file, struct bytes text)
{
    for (size_t done = 0; done < text.len_bytes;) {
        const ssize_t written = write(file, text.at + done, text.len_bytes - done);
        if (written < 0 && errno == EINTR) { continue; }
        if (written <= 0) { return false; }
        done += (size_t)written;
    }
    return true;
}

/* Whole or not at all under its name, also after a power cut. */
static bool write_copy(int directory, const char *name, struct bytes text)
{
    const int file =
        openat(directory, draft_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file < 0) { return false; }
    bool good = write_all(file, text) && fsync(file) == 0;
    const int why = errno;
    close(file);
    if (!good) { errno = why; }
    good = good && renameat(directory, draft_name, directory, name) == 0;
    return good && fsync(directory) == 0;
}

/* ------------------------------------------------------------------------------------- prune */

/* "0123456789abcdef.yaml" */
static bool is_copy(const char *name)
{
    const size_t digits = strspn(name, "0123456789abcdef");
    return digits == 16 && strcmp(name + digits, ".yaml") == 0;
}

static int newest_first(const void *left, const void *right)
{
    const struct copy *const a = left;
    const struct copy *const b = right;
    if (a->written.tv_sec != b->written.tv_sec) {
        return a->written.tv_sec > b->written.tv_sec ? -1 : 1;
    }
    if (a->written.tv_nsec != b->written.tv_nsec) {
        return a->written.tv_nsec > b->written.tv_nsec ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static size_t list_copies(DIR *directory, struct copy *out)
{
    size_t count = 0;
    for (const struct dirent *entry = readdir(directory); entry != NULL && count < COPIES_SEEN_MAX;
         entry = readdir(directory)) {
        struct stat facts;
        if (!is_copy(entry->d_name)) { continue; }
        if (fstatat(dirfd(directory), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
            continue; /* somebody else removed it */
        }
        snprintf(out[count].name, sizeof out[count].name, "%.*s", NAME_BYTES - 1, entry->d_name);
        out[count].written = facts.st_mtim;
        count++;
    }
    return count;
}

/* `just_written` stays, whatever the clock has done to its age. */
static enum status prune(const char *path, const char *just_written)
{
    DIR *const directory = opendir(path);
    if (directory == NULL) { return status_from_errno(errno); }
    struct copy *const copies = calloc(COPIES_SEEN_MAX, sizeof *copies);
    enum status status = copies == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    const size_t count = copies == NULL ? 0 : list_copies(directory, copies);
    if (count > 0) { qsort(copies, count, sizeof *copies, newest_first); }
    for (size_t i = RULES_ARCHIVE_MAX; i < count; i++) {
        if (strcmp(copies[i].name, just_written) == 0) { continue; }
        if (unlinkat(dirfd(directory), copies[i].name, 0) != 0 && errno != ENOENT) {
            status = status_from_errno(errno);
        }
    }
    free(copies);
    closedir(directory);
    return status;
}

enum status rules_archive_keep(const char *cache, uint64_t epoch, struct bytes text)
{
    char path[PATH_MAX];
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%016" PRIx64 ".yaml", epoch);
    const int len = snprintf(path, sizeof path, "%s/rules", cache);
    const bool fits = len > 0 && (size_t)len < sizeof path;
    errno = ENAMETOOLONG;
    const int directory = fits && directory_make(path) == STATUS_OK
                              ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                              : -1;
    enum status status = STATUS_OK;
    if (directory < 0 || !write_copy(directory, name, text)) {
        log_warning("no copy of the rules in force is kept: %s/%s: %s; `cache` names the directory",
                    path, name, strerror(errno));
        status = status_from_errno(errno);
    }
    if (directory >= 0) { close(directory); }
    return status == STATUS_OK ? prune(path, name) : status;
}
