#include "storage/uring_disk.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FIXED_BUFFER_BYTES_MAX = 1 << 30, /* the kernel's limit for one registered buffer */
    FIXED_BUFFERS_MAX = 64,
    ATTEMPTS_MAX = 8, /* EAGAIN and EINTR are tried again, a bounded number of times */
    NO_FLIGHT = -1,
    FLUSHES_MAX = 4, /* under way at a time; each occupies a thread of the kernel's */
    UNBOUND_WORKERS_MAX = 1,
};

/* What a completion is of; the low bits say which. */
static const uint64_t flush_user_data = UINT64_C(1) << 32;
static const uint64_t doorbell_user_data = UINT64_MAX;
static const uint64_t doorbell_value = 1;

/* One write, from its submit until it is reaped. */
struct uring_flight {
    struct disk_write write;
    uint32_t attempts;
    enum status outcome;
    int32_t next; /* in the one list that it is in: free, written, a flush's, or done */
};

struct flight_list {
    int32_t first; /* NO_FLIGHT: empty */
    int32_t last;
};

/* One IORING_OP_FSYNC that the kernel has, or is about to get. */
struct uring_flush {
    bool is_out;
    struct flight_list covered; /* had completed when this was queued */
};

struct uring_disk {
    struct io_uring ring;
    struct bytes memory;
    int doorbell;
    enum uring_disk_method method;
    cpu_set_t helper_cpus; /* for the kernel's threads: where the creator may run */
    bool adopted;
    bool tells_work; /* IORING_SQ_TASKRUN says that completions wait for a call */
    bool doorbell_out;
    bool doorbell_due; /* rung again while one was out */
    uint32_t queued;   /* submission entries that the kernel has not seen */
    uint32_t in_flight;
    struct flight_list free;
    struct flight_list written; /* completed, and no flush covers them yet: FDATASYNC alone */
    struct flight_list done;    /* wait to be reaped, each with its outcome */
    struct uring_flush flushes[FLUSHES_MAX];
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

/* --------------------------------------------------------------------------------------- lists */

static void list_append(struct uring_disk *disk, struct flight_list *list, int32_t index)
{
    disk->flights[index].next = NO_FLIGHT;
    if (list->first == NO_FLIGHT) {
        list->first = index;
    } else {
        disk->flights[list->last].next = index;
    }
    list->last = index;
}

/* NO_FLIGHT when there is none. */
static int32_t list_take(struct uring_disk *disk, struct flight_list *list)
{
    const int32_t index = list->first;
    if (index != NO_FLIGHT) { list->first = disk->flights[index].next; }
    return index;
}

static void list_init(struct flight_list *list)
{
    *list = (struct flight_list){NO_FLIGHT, NO_FLIGHT};
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
    if (disk->method == URING_DISK_DSYNC) { sqe->rw_flags = RWF_DSYNC; }
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

    const int32_t index = disk->free.first;
    if (index == NO_FLIGHT) { return STATUS_BUSY; }
    struct uring_flight *const flight = &disk->flights[index];
    flight->write = *write;
    if (!queue_write(disk, index)) { return STATUS_BUSY; }
    (void)list_take(disk, &disk->free);
    flight->attempts = 1;
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

/* -------------------------------------------------------------------------------------- outcome */

static enum status outcome_of_error(int result)
{
    return status_from_errno(-result) == STATUS_NO_SPACE ? STATUS_NO_SPACE : STATUS_IO;
}

static enum status outcome_of_write(const struct uring_flight *flight, int result)
{
    if (result < 0) { return outcome_of_error(result); }
    return (size_t)result == flight->write.bytes.len_bytes ? STATUS_OK : STATUS_IO;
}

/* --------------------------------------------------------------------------------------- flush */

static struct uring_flush *free_flush(struct uring_disk *disk)
{
    for (size_t i = 0; i < FLUSHES_MAX; i++) {
        if (!disk->flushes[i].is_out) { return &disk->flushes[i]; }
    }
    return NULL;
}

/* Moves every written flight of the file to the flush. */
static void cover(struct uring_disk *disk, struct uring_flush *flush, int file)
{
    struct flight_list others;
    list_init(&others);
    list_init(&flush->covered);
    for (int32_t index; (index = list_take(disk, &disk->written)) != NO_FLIGHT;) {
        const bool same = disk->flights[index].write.file == file;
        list_append(disk, same ? &flush->covered : &others, index);
    }
    disk->written = others;
}

/* One flush a file that has written flights: queued behind their completions, so it covers them,
 * and nothing that completes from now on. */
static void queue_flushes(struct uring_disk *disk)
{
    while (disk->written.first != NO_FLIGHT) {
        struct uring_flush *const flush = free_flush(disk);
        struct io_uring_sqe *const sqe = flush != NULL ? io_uring_get_sqe(&disk->ring) : NULL;
        if (sqe == NULL) { return; } /* the next reap tries */

        const int file = disk->flights[disk->written.first].write.file;
        io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(sqe, flush_user_data | (uint64_t)(flush - disk->flushes));
        disk->queued++;
        flush->is_out = true;
        cover(disk, flush, file);
    }
}

static void on_flush_completed(struct uring_disk *disk, struct uring_flush *flush, int result)
{
    assert(flush->is_out);
    flush->is_out = false;
    const enum status outcome = result == 0 ? STATUS_OK : outcome_of_error(result);
    for (int32_t index; (index = list_take(disk, &flush->covered)) != NO_FLIGHT;) {
        disk->flights[index].outcome = outcome;
        list_append(disk, &disk->done, index);
    }
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

static void on_write_completed(struct uring_disk *disk, int32_t index, int result)
{
    struct uring_flight *const flight = &disk->flights[index];
    assert(flight->attempts > 0);
    const bool passing = result == -EAGAIN || result == -EINTR;
    if (passing && flight->attempts < ATTEMPTS_MAX && queue_write(disk, index)) {
        flight->attempts++;
        return;
    }
    flight->attempts = 0;
    flight->outcome = outcome_of_write(flight, result);
    const bool waits = disk->method == URING_DISK_FDATASYNC && flight->outcome == STATUS_OK;
    list_append(disk, waits ? &disk->written : &disk->done, index);
}

static void on_completion(struct uring_disk *disk, uint64_t user_data, int result)
{
    if (user_data == doorbell_user_data) {
        disk->doorbell_out = false; /* a full eventfd is one that nobody emptied: awake enough */
    } else if (user_data & flush_user_data) {
        on_flush_completed(disk, &disk->flushes[user_data - flush_user_data], result);
    } else {
        on_write_completed(disk, (int32_t)user_data, result);
    }
}

static void take_completions(struct uring_disk *disk)
{
    struct io_uring_cqe *cqe;
    /* cq_ready first: peek alone would enter the kernel when it finds nothing. */
    while (io_uring_cq_ready(&disk->ring) > 0 && io_uring_peek_cqe(&disk->ring, &cqe) == 0) {
        const uint64_t user_data = io_uring_cqe_get_data64(cqe);
        const int result = cqe->res;
        io_uring_cqe_seen(&disk->ring, cqe);
        on_completion(disk, user_data, result);
    }
}

static size_t report_done(struct uring_disk *disk, struct disk_completion *out, size_t capacity)
{
    size_t count = 0;
    while (count < capacity && disk->done.first != NO_FLIGHT) {
        const int32_t index = list_take(disk, &disk->done);
        const struct uring_flight *const flight = &disk->flights[index];
        out[count++] = (struct disk_completion){flight->write.tag, flight->outcome};
        list_append(disk, &disk->free, index);
        assert(disk->in_flight > 0);
        disk->in_flight--;
    }
    return count;
}

static size_t uring_reap(void *self, struct disk_completion *out, size_t capacity)
{
    struct uring_disk *const disk = self;
    assert(disk->adopted);
    if (enter_is_due(disk)) { enter(disk); }
    take_completions(disk);
    if (disk->written.first != NO_FLIGHT) {
        queue_flushes(disk);
        if (disk->queued > 0) { enter(disk); } /* now: the turn that follows may be a long one */
    }
    if (disk->doorbell_due && !disk->doorbell_out) { uring_ring_doorbell(disk); }
    return report_done(disk, out, capacity);
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

static enum status create_flights(struct uring_disk *disk, uint32_t depth)
{
    disk->flights = calloc(depth, sizeof *disk->flights);
    if (disk->flights == NULL) { return STATUS_NO_MEMORY; }
    list_init(&disk->free);
    list_init(&disk->written);
    list_init(&disk->done);
    for (uint32_t i = 0; i < depth; i++) { list_append(disk, &disk->free, (int32_t)i); }
    return STATUS_OK;
}

static enum status create_ring(struct uring_disk *disk, uint32_t depth)
{
    /* A flight is a write or waits for a flush that covers it: never both. And the doorbell. */
    enum status status = setup_ring(disk, depth + 1);
    if (status != STATUS_OK) { return status; }
    status = register_memory(disk);
    if (status != STATUS_OK) {
        const int saved = errno;
        io_uring_queue_exit(&disk->ring);
        errno = saved;
    }
    return status;
}

enum status uring_disk_create(const struct uring_disk_options *options, struct uring_disk **out)
{
    assert(options->depth > 0);
    struct uring_disk *const disk = calloc(1, sizeof *disk);
    if (disk == NULL) { return STATUS_NO_MEMORY; }
    disk->memory = options->memory;
    disk->doorbell = options->doorbell;
    disk->method = options->method;

    enum status status = STATUS_OK;
    if (sched_getaffinity(0, sizeof disk->helper_cpus, &disk->helper_cpus) != 0) {
        status = status_from_errno(errno);
    }
    if (status == STATUS_OK) { status = create_flights(disk, options->depth); }
    if (status == STATUS_OK) { status = create_ring(disk, options->depth); }
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

/* The kernel makes the pool of threads, which is the calling thread's and not the ring's, with its
 * first submission: before that it has nothing to place. */
static void make_pool(struct uring_disk *disk)
{
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *const sqe = io_uring_get_sqe(&disk->ring);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data64(sqe, doorbell_user_data);
    (void)io_uring_submit(&disk->ring);
    while (io_uring_cq_ready(&disk->ring) > 0 && io_uring_peek_cqe(&disk->ring, &cqe) == 0) {
        io_uring_cqe_seen(&disk->ring, cqe);
    }
}

/* Refused: they stay where the kernel puts them, and iowq_watch.h finds them there. */
static void place_pool(struct uring_disk *disk)
{
    cpu_set_t own;
    cpu_set_t helpers = disk->helper_cpus;
    if (sched_getaffinity(0, sizeof own, &own) == 0 && CPU_COUNT(&own) == 1) {
        cpu_set_t both;
        CPU_AND(&both, &helpers, &own);
        CPU_XOR(&helpers, &helpers, &both); /* helpers without own */
    }
    unsigned workers[2] = {FLUSHES_MAX, UNBOUND_WORKERS_MAX};
    (void)io_uring_register_iowq_max_workers(&disk->ring, workers);
    if (CPU_COUNT(&helpers) == 0) { return; } /* there is no other CPU */
    (void)io_uring_register_iowq_aff(&disk->ring, sizeof helpers, &helpers);
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
    make_pool(disk);
    place_pool(disk);
    return STATUS_OK;
}

struct disk uring_disk_port(struct uring_disk *disk)
{
    const struct disk port = {&uring_ops, disk};
    return port;
}
