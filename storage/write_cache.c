#include "storage/write_cache.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/compiler.h"

enum { VALUE_BYTES = 32 };

/* The first line of folder/name, without its end. */
static bool read_value(const char *folder, const char *name, char out[VALUE_BYTES])
{
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (len < 0 || (size_t)len >= sizeof path) { return false; }
    FILE *const file = fopen(path, "re");
    if (file == NULL) { return false; }
    const bool read = fgets(out, VALUE_BYTES, file) != NULL;
    fclose(file);
    if (read) { out[strcspn(out, "\n")] = '\0'; }
    return read;
}

enum write_cache write_cache_of_device(const char *folder)
{
    static const char *const queues[] = {"queue", "../queue"}; /* a disk's own; a partition's */
    for (size_t i = 0; i < ARRAY_COUNT(queues); i++) {
        char name[VALUE_BYTES];
        char value[VALUE_BYTES];
        snprintf(name, sizeof name, "%s/write_cache", queues[i]);
        if (!read_value(folder, name, value)) { continue; }
        if (strcmp(value, "write through") == 0) { return WRITE_CACHE_NONE; }
        if (strcmp(value, "write back") != 0) { return WRITE_CACHE_UNKNOWN; }
        snprintf(name, sizeof name, "%s/fua", queues[i]);
        if (!read_value(folder, name, value)) { return WRITE_CACHE_FLUSH; }
        return strcmp(value, "1") == 0 ? WRITE_CACHE_FUA : WRITE_CACHE_FLUSH;
    }
    return WRITE_CACHE_UNKNOWN;
}

/* The path, or the nearest parent that is there. */
static bool stat_nearest(const char *path, struct stat *out)
{
    char place[PATH_MAX];
    const int len = snprintf(place, sizeof place, "%s", path);
    if (len < 0 || (size_t)len >= sizeof place) { return false; }
    while (stat(place, out) != 0) {
        char *const slash = strrchr(place, '/');
        if (slash == NULL || slash[1] == '\0') { return false; }
        slash[slash == place ? 1 : 0] = '\0';
    }
    return true;
}

enum write_cache write_cache_of_path(const char *path)
{
    struct stat found;
    char folder[64];
    if (!stat_nearest(path, &found)) { return WRITE_CACHE_UNKNOWN; }
    const dev_t device = S_ISBLK(found.st_mode) ? found.st_rdev : found.st_dev;
    snprintf(folder, sizeof folder, "/sys/dev/block/%u:%u", major(device), minor(device));
    return write_cache_of_device(folder);
}

const char *write_cache_text(enum write_cache cache)
{
    switch (cache) {
    case WRITE_CACHE_NONE: return "no volatile cache";
    case WRITE_CACHE_FUA: return "volatile cache with FUA";
    case WRITE_CACHE_FLUSH: return "volatile cache without FUA";
    case WRITE_CACHE_UNKNOWN: break;
    }
    return "cache not known";
}
