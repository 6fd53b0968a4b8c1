/* fault_disk.c - an nbdkit plugin: a disk in a file that fails as it is told, while it runs.
 *
 * nbdkit build/tests/e2e/fault_disk.so data=FILE orders=FILE
 *
 * `data` is the disk, its size the disk's. `orders` holds a struct orders that a test rewrites at
 * any time (fault_disk.py): each request looks at it when it comes, and again when it waits.
 * Nothing is cached here: a write that was answered is in `data`. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* One range of the disk, and what happens to requests that touch it. */
struct orders_range {
    uint64_t begin;
    uint64_t end; /* 0: none */
    uint32_t error;
    uint32_t padding;
};

struct orders { /* native byte order; all zero: a healthy disk */
    struct orders_range read;
    struct orders_range write;
    uint32_t flush_error;
    uint32_t stalled;  /* no request is answered meanwhile */
    uint32_t delay_ms; /* each request takes this much longer */
    uint32_t padding;
};

static int data_file = -1;
static volatile const struct orders *orders;
static int64_t size_bytes;

static int fault_disk_config(const char *key, const char *value)
{
    struct stat stat_;
    if (strcmp(key, "data") == 0) {
        data_file = open(value, O_RDWR | O_CLOEXEC);
        if (data_file < 0 || fstat(data_file, &stat_) != 0) {
            nbdkit_error("%s: %m", value);
            return -1;
        }
        size_bytes = stat_.st_size;
        return 0;
    }
    if (strcmp(key, "orders") == 0) {
        const int file = open(value, O_RDONLY | O_CLOEXEC);
        void *const at =
            file < 0 ? MAP_FAILED : mmap(NULL, sizeof *orders, PROT_READ, MAP_SHARED, file, 0);
        if (at == MAP_FAILED) {
            nbdkit_error("%s: %m", value);
            return -1;
        }
        close(file);
        orders = at;
        return 0;
    }
    nbdkit_error("no such parameter: %s", key);
    return -1;
}

static int fault_disk_config_complete(void)
{
    if (data_file >= 0 && orders != NULL) { return 0; }
    nbdkit_error("data=FILE and orders=FILE are needed");
    return -1;
}

static void *fault_disk_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t fault_disk_get_size(void *handle)
{
    (void)handle;
    return size_bytes;
}

static void pause_ms(uint32_t ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* 0, or the error to answer with. */
static int obey(volatile const struct orders_range *range, uint64_t offset, uint64_t count)
{
    enum { STALL_STEP_MS = 5 };
    if (orders->delay_ms > 0) { pause_ms(orders->delay_ms); }
    while (orders->stalled != 0) { pause_ms(STALL_STEP_MS); }
    const uint64_t begin = range->begin;
    const uint64_t end = range->end;
    return offset < end && begin < offset + count ? (int)range->error : 0;
}

static int refuse(int error)
{
    nbdkit_set_error(error);
    return -1;
}

static int fault_disk_pread(void *handle, void *out, uint32_t count, uint64_t offset,
                            uint32_t flags)
{
    (void)handle;
    (void)flags;
    const int error = obey(&orders->read, offset, count);
    if (error != 0) { return refuse(error); }
    return pread(data_file, out, count, (off_t)offset) == (ssize_t)count ? 0 : refuse(EIO);
}

static int fault_disk_pwrite(void *handle, const void *bytes, uint32_t count, uint64_t offset,
                             uint32_t flags)
{
    (void)handle;
    (void)flags;
    const int error = obey(&orders->write, offset, count);
    if (error != 0) { return refuse(error); }
    return pwrite(data_file, bytes, count, (off_t)offset) == (ssize_t)count ? 0 : refuse(EIO);
}

static int fault_disk_flush(void *handle, uint32_t flags)
{
    static const struct orders_range nowhere;
    (void)handle;
    (void)flags;
    (void)obey(&nowhere, 0, 0);
    return orders->flush_error == 0 ? 0 : refuse((int)orders->flush_error);
}

static struct nbdkit_plugin plugin = {
    .name = "fault-disk",
    .config = fault_disk_config,
    .config_complete = fault_disk_config_complete,
    .open = fault_disk_open,
    .get_size = fault_disk_get_size,
    .pread = fault_disk_pread,
    .pwrite = fault_disk_pwrite,
    .flush = fault_disk_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
