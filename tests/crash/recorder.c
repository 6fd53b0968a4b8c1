/* recorder.c - an nbdkit plugin: a block device over a file that writes down what it is asked to
 * do.
 *
 *   nbdkit recorder.so image=FILE trace=FILE [root=FILE] [flush_us=N]
 *
 * image     What the device holds.
 * trace     block_trace.h.
 * root      The appliance's root page, as soon as it is there: each event has what it promised.
 * flush_us  A flush takes that much longer, as it does on a disk: a promise made before its flush
 *           is then told from one made behind it.
 *
 * The loop device has no FUA and nbdkit makes zeroing a write, so writes and flushes are all. */
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL       NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <nbdkit-plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/block_trace.h"
#include "wire/root_page.h"

/* nbdkit configures a plugin before there is a handle to hang this from. */
static struct {
    char *image_path;
    char *trace_path;
    char *root_path;
    int64_t flush_us;
    int image;
    FILE *trace;
    const struct root_page *root;
} recorder = {.image = -1};

static int recorder_config(const char *key, const char *value)
{
    if (strcmp(key, "flush_us") == 0) {
        return nbdkit_parse_int64_t(key, value, &recorder.flush_us);
    }
    char **const path = strcmp(key, "image") == 0   ? &recorder.image_path
                        : strcmp(key, "trace") == 0 ? &recorder.trace_path
                        : strcmp(key, "root") == 0  ? &recorder.root_path
                                                    : NULL;
    if (path == NULL) {
        nbdkit_error("unknown parameter '%s'", key);
        return -1;
    }
    *path = nbdkit_absolute_path(value);
    return *path == NULL ? -1 : 0;
}

static int recorder_get_ready(void)
{
    if (recorder.image_path == NULL || recorder.trace_path == NULL) {
        nbdkit_error("image=FILE and trace=FILE are needed");
        return -1;
    }
    recorder.image = open(recorder.image_path, O_RDWR | O_CLOEXEC);
    recorder.trace = fopen(recorder.trace_path, "wbe");
    if (recorder.image < 0 || recorder.trace == NULL) {
        nbdkit_error("%s, %s: %m", recorder.image_path, recorder.trace_path);
        return -1;
    }
    return 0;
}

static void recorder_unload(void)
{
    if (recorder.trace != NULL && fclose(recorder.trace) != 0) {
        nbdkit_error("%s: %m: the trace is not whole", recorder.trace_path);
    }
    if (recorder.image >= 0) { close(recorder.image); }
    free(recorder.image_path);
    free(recorder.trace_path);
    free(recorder.root_path);
}

static void *recorder_open(int readonly)
{
    (void)readonly;
    return &recorder;
}

static int64_t recorder_get_size(void *handle)
{
    (void)handle;
    struct stat stat;
    return fstat(recorder.image, &stat) == 0 ? stat.st_size : -1;
}

static int recorder_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_EMULATE;
}

/* ---------------------------------------------------------------------------------------- events
 */

/* The page gets its name with its full size, so whoever sees it can map it whole. */
static void map_root(void)
{
    if (recorder.root != NULL || recorder.root_path == NULL) { return; }
    const int file = open(recorder.root_path, O_RDONLY | O_CLOEXEC);
    if (file < 0) { return; }
    void *const at = mmap(NULL, sizeof(struct root_page), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) { recorder.root = at; }
}

static uint64_t durable_number_now(void)
{
    map_root();
    if (recorder.root == NULL) { return 0; }
    /* Acquire: pairs with the release that publishes a commit. */
    return atomic_load_explicit(&recorder.root->partitions[0].durable_number, memory_order_acquire);
}

static uint64_t wall_ns_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int note_event(enum block_trace_kind kind, uint64_t position, const void *bytes,
                      uint32_t length_bytes)
{
    const struct block_trace_event event = {
        .magic = BLOCK_TRACE_MAGIC,
        .kind = kind,
        .position = position,
        .length_bytes = length_bytes,
        .wall_ns = wall_ns_now(),
        .durable_number = durable_number_now(),
    };
    if (fwrite(&event, sizeof event, 1, recorder.trace) == 1 &&
        (length_bytes == 0 || fwrite(bytes, length_bytes, 1, recorder.trace) == 1)) {
        return 0;
    }
    nbdkit_error("%s: %m", recorder.trace_path);
    nbdkit_set_error(EIO);
    return -1;
}

static int recorder_pread(void *handle, void *bytes, uint32_t count, uint64_t position,
                          uint32_t flags)
{
    (void)handle;
    (void)flags;
    return pread(recorder.image, bytes, count, (off_t)position) == (ssize_t)count ? 0 : -1;
}

static int recorder_pwrite(void *handle, const void *bytes, uint32_t count, uint64_t position,
                           uint32_t flags)
{
    (void)handle;
    (void)flags;
    if (note_event(BLOCK_TRACE_WRITE, position, bytes, count) != 0) { return -1; }
    return pwrite(recorder.image, bytes, count, (off_t)position) == (ssize_t)count ? 0 : -1;
}

static int recorder_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    if (note_event(BLOCK_TRACE_FLUSH, 0, NULL, 0) != 0) { return -1; }
    if (recorder.flush_us > 0) { usleep((useconds_t)recorder.flush_us); }
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "recorder",
    .longname = "records writes and flushes",
    .config = recorder_config,
    .get_ready = recorder_get_ready,
    .unload = recorder_unload,
    .open = recorder_open,
    .get_size = recorder_get_size,
    .can_fua = recorder_can_fua,
    .pread = recorder_pread,
    .pwrite = recorder_pwrite,
    .flush = recorder_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
