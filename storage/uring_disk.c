#include "storage/uring_disk.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Durable writes are RWF_DSYNC, one operation each. The other candidates, on this kind of machine
 * (virtio, write cache on, no FUA; 256 KiB writes at depth 4, 800 MB/s offered, a core that spins):
 * p99 2.8 to 3.4 ms where the completion has to run on the spinning core, against 0.35 to 0.9 ms
 * for plain writes and a separate IORING_OP_FSYNC whose io-wq threads run on another core. The
 * fdatasync way costs a second operation a commit and loses FUA on devices that have it;
 * docs/decisions/ will hold the two against each other once they are measured while spinning. */

enum {
    FIXED_BUFFER_BYTES_MAX = 1 << 30, /* the kernel's limit for one registered buffer */
    FIXED_BUFFERS_MAX = 64,
    ATTEMPTS_MAX = 8, /* EAGAIN and EINTR are tried again, a bounded number of times */
    NO_FLIGHT = -1,
};

static const uint64_t doorbell_user_data = UINT64_MAX;
static const uint64_t doorbell_value = 1;

/* One write that the kernel has, or is about to get. */
struct uring_flight {
    struct disk_write write;
    uint32_t attempts;
    int32_t next_free;
};

struct uring_disk {
    struct io_uring ring;
    struct bytes memory;
    int doorbell;
    bool adopted;
    bool tells_work; /* IORING_SQ_TASKRUN says that completions wait for a call */
    bool doorbell_out;
    bool doorbell_due; /* rung again while one was out */
    uint32_t queued;   /* submission entries that the kernel has not seen */
    uint32_t in_flight;
    int32_t free_flight;
    struct disk_costs costs;
    struct uring_flight *flights;
};

static uint64_t cycles_now(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    uint64_t cycles;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(cycles));
    return cycles;
#endif
}

/* -------------------------------------------------------------------------------------- submit */

/* The registered buffer that holds all of `bytes`, or -1: memory elsewhere (footers and header
 * blocks lie outside the ring) is written by the plain operation. */
static int fixed_buffer_of(const struct uring_disk *disk, struct bytes bytes)
{
    if (disk->memory.len_bytes == 0 || bytes.at < disk->memory.at) { return -1; }
    const size_t begin = (size_t)(bytes.at - disk->memory.at);
    if (begin >= disk->memory.len_bytes) { return -1; }
    if (bytes.len_bytes > disk->memory.len_bytes - begin) { return -1; }
    const size_t first = begin / FIXED_BUFFER_BYTES_MAX;
    const size_t last = (begin + bytes.len_bytes - 1) / FIXED_BUFFER_BYTES_MAX;
    return first == last ? (int)first : -1;
}

static bool queue_write(struct uring_disk *disk, int32_t index)
{
    struct io_uring_sqe *const sqe = io_uring_get_sqe(&disk->ring);
    if (sqe == NULL) { return false; }

    const struct disk_write *const write = &disk->flights[index].write;
    const unsigned len_bytes = (unsigned)write->bytes.len_bytes;
    const int buffer = fixed_buffer_of(disk, write->bytes);
    if (buffer >= 0) {
        io_uring_prep_write_fixed(sqe, write->file, write->bytes.at, len_bytes, write->position,
                                  buffer);
    } else {
        io_uring_prep_write(sqe, write->file, write->bytes.at, len_bytes, write->position);
    }
    sqe->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data64(sqe, (unsigned)index);
    disk->queued++;
    return true;
}

static enum status uring_submit(void *self, const struct disk_write *write)
{
    struct uring_disk *const disk = self;
    assert(disk->adopted);
    assert(write->bytes.len_bytes > 0 && write->bytes.len_bytes <= INT32_MAX);
    assert(write->bytes.len_bytes % DISK_BLOCK_BYTES == 0);
    assert(write->position % DISK_BLOCK_BYTES == 0);
    assert((uintptr_t)write->bytes.at % DISK_BLOCK_BYTES == 0);

    const int32_t index = disk->free_flight;
    if (index == NO_FLIGHT) { return STATUS_BUSY; }
    struct uring_flight *const flight = &disk->flights[index];
    const int32_t next_free = flight->next_free;
    *flight = (struct uring_flight){.write = *write, .attempts = 1, .next_free = NO_FLIGHT};
    if (!queue_write(disk, index)) {
        flight->next_free = next_free;
        return STATUS_BUSY;
    }
    disk->free_flight = next_free;
    disk->in_flight++;
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------- doorbell */

static void uring_ring_doorbell(void *self)
{
    struct uring_disk *const disk = self;
    if (disk->doorbell < 0) { return; }
    disk->doorbell_due = true;
    if (disk->doorbell_out) { return; } /* rung again when that one is back */

    struct io_uring_sqe *const sqe = io_uring_get_sqe(&disk->ring);
    if (sqe == NULL) { return; } /* still due: the next reap tries */
    io_uring_prep_write(sqe, disk->doorbell, &doorbell_value, sizeof doorbell_value, 0);
    io_uring_sqe_set_data64(sqe, doorbell_user_data);
    disk->doorbell_due = false;
    disk->doorbell_out = true;
    disk->queued++;
}

/* ---------------------------------------------------------------------------------------- reap */

/* Whether a call into the kernel has a purpose now. A loop that spins with writes out and nothing
 * new asks one word of shared memory a turn: with DEFER_TASKRUN completions wait until this thread
 * enters, and IORING_SQ_TASKRUN says when there are some. */
static bool enter_is_due(const struct uring_disk *disk)
{
    if (disk->queued > 0) { return true; }
    const unsigned flags = IO_URING_READ_ONCE(*disk->ring.sq.kflags);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* One call: hands over what is queued, runs completions. Never waits. What the kernel does not take
 * now (EAGAIN, EBUSY, EINTR) stays queued; the log's own timeout names a device that never does. */
static void enter(struct uring_disk *disk)
{
    const uint64_t begin = cycles_now();
    const int taken = disk->tells_work ? io_uring_submit_and_get_events(&disk->ring)
                                       : io_uring_submit(&disk->ring);
    disk->costs.last_enter_cycles = cycles_now() - begin;
    disk->costs.enter_cycles += disk->costs.last_enter_cycles;
    disk->costs.enter_calls++;
    if (taken > 0) {
        assert((uint32_t)taken <= disk->queued);
        disk->queued -= (uint32_t)taken;
    }
}

static enum status flight_outcome(const struct uring_flight *flight, int result)
{
    if (result < 0) {
        return status_from_errno(-result) == STATUS_NO_SPACE ? STATUS_NO_SPACE : STATUS_IO;
    }
    return (size_t)result == flight->write.bytes.len_bytes ? STATUS_OK : STATUS_IO;
}

/* False when the write goes on (it is tried again). */
static bool flight_ends(struct uring_disk *disk, int32_t index, int result,
                        struct disk_completion *out)
{
    struct uring_flight *const flight = &disk->flights[index];
    assert(flight->attempts > 0);
    const bool passing = result == -EAGAIN || result == -EINTR;
    if (passing && flight->attempts < ATTEMPTS_MAX && queue_write(disk, index)) {
        flight->attempts++;
        return false;
    }
    *out = (struct disk_completion){flight->write.tag, flight_outcome(flight, result)};
    flight->attempts = 0;
    flight->next_free = disk->free_flight;
    disk->free_flight = index;
    assert(disk->in_flight > 0);
    disk->in_flight--;
    return true;
}

static size_t uring_reap(void *self, struct disk_completion *out, size_t capacity)
{
    struct uring_disk *const disk = self;
    assert(disk->adopted);
    if (enter_is_due(disk)) { enter(disk); }

    size_t count = 0;
    struct io_uring_cqe *cqe;
    /* cq_ready first: peek alone would enter the kernel when it finds nothing. */
    while (count < capacity && io_uring_cq_ready(&disk->ring) > 0) {
        if (io_uring_peek_cqe(&disk->ring, &cqe) != 0) { break; }
        const uint64_t user_data = io_uring_cqe_get_data64(cqe);
        const int result = cqe->res;
        io_uring_cqe_seen(&disk->ring, cqe);
        if (user_data == doorbell_user_data) {
            disk->doorbell_out =
                false; /* a full eventfd is one that nobody emptied: awake enough */
        } else if (flight_ends(disk, (int32_t)user_data, result, &out[count])) {
            count++;
        }
    }
    if (disk->doorbell_due && !disk->doorbell_out) { uring_ring_doorbell(disk); }
    return count;
}

static void uring_costs(void *self, struct disk_costs *out)
{
    *out = ((const struct uring_disk *)self)->costs;
}

static const struct disk_ops uring_ops = {uring_submit, uring_reap, uring_ring_doorbell,
                                          uring_costs};

/* ----------------------------------------------------------------------------------- life cycle */

/* From the newest kernel's flags to the oldest's: completions that run when we ask, then those that
 * at least don't interrupt, then plain. */
static enum status setup_ring(struct uring_disk *disk, unsigned entries)
{
    static const unsigned flags_of_kernels[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG,                         /* 6.1 */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, /* 5.19 */
        0,                                                     /* 5.10 */
    };
    int refused = 0;
    for (size_t i = 0; i < ARRAY_COUNT(flags_of_kernels); i++) {
        struct io_uring_params params = {
            .flags = flags_of_kernels[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
            .cq_entries = 2 * entries,
        };
        refused = io_uring_queue_init_params(entries, &disk->ring, &params);
        if (refused == 0) {
            disk->tells_work = (flags_of_kernels[i] & IORING_SETUP_TASKRUN_FLAG) != 0;
            return STATUS_OK;
        }
        if (refused != -EINVAL) { break; }
    }
    errno = -refused;
    return refused == -ENOMEM ? STATUS_NO_MEMORY : STATUS_UNSUPPORTED;
}

static enum status register_memory(struct uring_disk *disk)
{
    struct iovec buffers[FIXED_BUFFERS_MAX];
    unsigned count = 0;
    for (size_t begin = 0; begin < disk->memory.len_bytes; begin += FIXED_BUFFER_BYTES_MAX) {
        if (count == FIXED_BUFFERS_MAX) { return STATUS_INVALID; }
        const size_t left_bytes = disk->memory.len_bytes - begin;
        buffers[count++] = (struct iovec){
            (void *)(uintptr_t)(disk->memory.at + begin),
            left_bytes < FIXED_BUFFER_BYTES_MAX ? left_bytes : FIXED_BUFFER_BYTES_MAX,
        };
    }
    if (count == 0) { return STATUS_OK; }
    const int refused = io_uring_register_buffers(&disk->ring, buffers, count);
    if (refused == 0) { return STATUS_OK; }
    errno = -refused;
    return status_from_errno(-refused);
}

enum status uring_disk_create(const struct uring_disk_options *options, struct uring_disk **out)
{
    assert(options->depth > 0);
    struct uring_disk *const disk = calloc(1, sizeof *disk);
    if (disk == NULL) { return STATUS_NO_MEMORY; }
    disk->memory = options->memory;
    disk->doorbell = options->doorbell;
    disk->flights = calloc(options->depth, sizeof *disk->flights);
    if (disk->flights == NULL) {
        free(disk);
        return STATUS_NO_MEMORY;
    }
    for (uint32_t i = 0; i < options->depth; i++) {
        disk->flights[i].next_free = i + 1 < options->depth ? (int32_t)i + 1 : NO_FLIGHT;
    }

    enum status status = setup_ring(disk, options->depth + 1); /* and the doorbell */
    if (status == STATUS_OK) {
        status = register_memory(disk);
        if (status != STATUS_OK) {
            const int saved = errno;
            io_uring_queue_exit(&disk->ring);
            errno = saved;
        }
    }
    if (status != STATUS_OK) {
        free(disk->flights);
        free(disk);
        return status;
    }
    *out = disk;
    return STATUS_OK;
}

void uring_disk_destroy(struct uring_disk *disk)
{
    if (disk == NULL) { return; }
    assert(disk->in_flight == 0);
    io_uring_queue_exit(&disk->ring);
    free(disk->flights);
    free(disk);
}

enum status uring_disk_adopt(struct uring_disk *disk)
{
    assert(!disk->adopted);
    /* io_uring_enable_rings(3) by hand: liburing 2.3 declares it and forgot to export it. */
    if (syscall(__NR_io_uring_register, disk->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) <
        0) {
        return STATUS_UNSUPPORTED;
    }
    disk->adopted = true;
    return STATUS_OK;
}

struct disk uring_disk_port(struct uring_disk *disk)
{
    const struct disk port = {&uring_ops, disk};
    return port;
}
