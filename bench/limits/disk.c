#include "bench/limits/disk.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include <liburing.h>

#include "base/clock.h"

enum {
    DEPTH_MAX = 64,
    ALIGNMENT_BYTES = 4096,
    FLUSHES_MAX = 4, /* at a time, as the log has */
    SQPOLL_IDLE_MS = 1000,
    LINE_BYTES = 64, /* of the cache */
};

static const uint64_t flush_bit = UINT64_C(1) << 32; /* of user data: the low bits are a flush */

struct writer {
    struct io_uring ring;
    uint8_t *buffers; /* depth of them, registered */
    struct limit_disk_run *run;
    uint64_t position;
    uint32_t in_flight;
    uint64_t idle;                 /* buffers, a bit each: free to be written */
    uint64_t written;              /* completed, not yet covered by a flush */
    uint64_t covered[FLUSHES_MAX]; /* 0: that flush is not out */
    uint64_t began_ns[DEPTH_MAX];  /* by buffer: what its latency counts from */
    uint64_t due_ns;               /* of the next commit, by the schedule */
};

const char *limit_disk_method_name(enum limit_disk_method method)
{
    static const char *const names[LIMIT_DISK_METHOD_COUNT] = {"dsync", "fdatasync", "sqpoll"};
    return names[method];
}

/* ------------------------------------------------------------------------------------- set-up */

/* io-wq elsewhere; the pool is there once something was submitted. */
static void place_helpers(struct writer *writer)
{
    struct io_uring_cqe *cqe;
    cpu_set_t helpers;
    unsigned workers[2] = {FLUSHES_MAX, 1};
    if (writer->run->method == LIMIT_DISK_SQPOLL) { return; }
    CPU_ZERO(&helpers);
    CPU_SET(writer->run->helper_core, &helpers);
    io_uring_prep_nop(io_uring_get_sqe(&writer->ring));
    io_uring_submit(&writer->ring);
    if (io_uring_wait_cqe(&writer->ring, &cqe) == 0) { io_uring_cqe_seen(&writer->ring, cqe); }
    (void)io_uring_register_iowq_max_workers(&writer->ring, workers);
    (void)io_uring_register_iowq_aff(&writer->ring, sizeof helpers, &helpers);
}

static enum status writer_init(struct writer *writer, struct limit_disk_run *run)
{
    memset(writer, 0, sizeof *writer);
    writer->run = run;
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    };
    if (run->method == LIMIT_DISK_SQPOLL) {
        params = (struct io_uring_params){
            .flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_SINGLE_ISSUER,
            .sq_thread_cpu = run->helper_core,
            .sq_thread_idle = SQPOLL_IDLE_MS,
        };
    }
    const size_t bytes = run->depth * run->commit_bytes;
    writer->buffers = aligned_alloc(ALIGNMENT_BYTES, bytes);
    if (writer->buffers == NULL) { return STATUS_NO_MEMORY; }
    for (size_t i = 0; i < bytes; i++) { writer->buffers[i] = (uint8_t)(i * 2654435761U >> 24); }
    writer->idle = run->depth == DEPTH_MAX ? UINT64_MAX : (UINT64_C(1) << run->depth) - 1;

    const int refused = io_uring_queue_init_params(2 * DEPTH_MAX, &writer->ring, &params);
    if (refused != 0) { return status_from_errno(-refused); }
    const struct iovec memory = {writer->buffers, bytes};
    const int not_locked = io_uring_register_buffers(&writer->ring, &memory, 1);
    if (not_locked != 0) {
        io_uring_queue_exit(&writer->ring);
        return status_from_errno(-not_locked);
    }
    place_helpers(writer);
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ writing */

/* Enters the kernel when there is something to hand over, or when it says that something is done.
 */
static void enter(struct writer *writer)
{
    const bool queued = io_uring_sq_ready(&writer->ring) > 0;
    const unsigned flags = IO_URING_READ_ONCE(*writer->ring.sq.kflags);
    if (writer->run->method == LIMIT_DISK_SQPOLL) {
        io_uring_submit(&writer->ring); /* a store, and a call only to wake the kernel's thread */
    } else if (queued || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
        io_uring_submit_and_get_events(&writer->ring);
    }
}

/* One store a line. Whoever writes something has just put it into memory, and the device fetches it
 * from the cache of the core that did; bytes that nobody touches lie where they were fetched to the
 * last time. */
static void renew(uint8_t *buffer, size_t len_bytes)
{
    for (size_t at = 0; at < len_bytes; at += LINE_BYTES) { buffer[at]++; }
}

static void submit(struct writer *writer, unsigned buffer, uint64_t began_ns)
{
    struct limit_disk_run *const run = writer->run;
    if (run->new_bytes) { renew(writer->buffers + buffer * run->commit_bytes, run->commit_bytes); }
    if (writer->position + run->commit_bytes > run->file_bytes) { writer->position = 0; }
    struct io_uring_sqe *const sqe = io_uring_get_sqe(&writer->ring);
    io_uring_prep_write_fixed(sqe, run->file, writer->buffers + buffer * run->commit_bytes,
                              (unsigned)run->commit_bytes, writer->position, 0);
    if (run->method != LIMIT_DISK_FDATASYNC) { sqe->rw_flags = RWF_DSYNC; }
    io_uring_sqe_set_data64(sqe, buffer);
    writer->position += run->commit_bytes;
    writer->began_ns[buffer] = began_ns;
    writer->idle &= ~(UINT64_C(1) << buffer);
    writer->in_flight++;
}

static void submit_all(struct writer *writer, uint64_t now_ns)
{
    const uint64_t period_ns = writer->run->period_ns;
    while (writer->idle != 0 && (period_ns == 0 || writer->due_ns <= now_ns)) {
        const uint64_t began_ns = period_ns == 0 ? now_ns : writer->due_ns;
        submit(writer, (unsigned)__builtin_ctzll(writer->idle), began_ns);
        writer->due_ns += period_ns;
        if (writer->run->new_bytes) {
            enter(writer);
        } /* what is ready need not wait for the next */
    }
}

static void on_durable(struct writer *writer, uint64_t buffers, uint64_t now_ns)
{
    for (uint64_t left = buffers; left != 0; left &= left - 1) {
        const unsigned buffer = (unsigned)__builtin_ctzll(left);
        histogram_add(&writer->run->latency, now_ns - writer->began_ns[buffer], 1);
        writer->run->commit_count++;
        writer->in_flight--;
    }
    writer->idle |= buffers;
}

static void flush_written(struct writer *writer)
{
    for (unsigned i = 0; writer->written != 0 && i < FLUSHES_MAX; i++) {
        if (writer->covered[i] != 0) { continue; }
        struct io_uring_sqe *const sqe = io_uring_get_sqe(&writer->ring);
        io_uring_prep_fsync(sqe, writer->run->file, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(sqe, flush_bit | i);
        writer->covered[i] = writer->written;
        writer->written = 0;
    }
}

static void on_completion(struct writer *writer, uint64_t user_data, int result, uint64_t now_ns)
{
    struct limit_disk_run *const run = writer->run;
    if (user_data & flush_bit) {
        uint64_t *const covered = &writer->covered[user_data - flush_bit];
        if (result != 0) { run->status = STATUS_IO; }
        on_durable(writer, *covered, now_ns);
        *covered = 0;
        return;
    }
    if (result != (int)run->commit_bytes) { run->status = STATUS_IO; }
    const uint64_t bit = UINT64_C(1) << user_data;
    if (run->method == LIMIT_DISK_FDATASYNC) {
        writer->written |= bit;
    } else {
        on_durable(writer, bit, now_ns);
    }
}

static void reap(struct writer *writer, uint64_t now_ns)
{
    struct io_uring_cqe *cqe;
    while (io_uring_cq_ready(&writer->ring) > 0 && io_uring_peek_cqe(&writer->ring, &cqe) == 0) {
        const uint64_t user_data = io_uring_cqe_get_data64(cqe);
        const int result = cqe->res;
        io_uring_cqe_seen(&writer->ring, cqe);
        on_completion(writer, user_data, result, now_ns);
    }
    flush_written(writer);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
}

static void write_for_a_while(struct writer *writer)
{
    struct limit_disk_run *const run = writer->run;
    const uint64_t cpu_began_ns = thread_cpu_ns();
    const uint64_t began_ns = clock_mono_ns();
    uint64_t now_ns = began_ns;
    writer->due_ns = began_ns;
    while (now_ns - began_ns < run->duration_ns && run->status == STATUS_OK) {
        submit_all(writer, now_ns);
        enter(writer);
        now_ns = clock_mono_ns();
        reap(writer, now_ns);
    }
    while (writer->in_flight > 0) {
        enter(writer);
        reap(writer, clock_mono_ns());
    }
    run->elapsed_ns = clock_mono_ns() - began_ns;
    run->cpu_ns = thread_cpu_ns() - cpu_began_ns;
}

int limit_disk(void *argument)
{
    struct limit_disk_run *const run = argument;
    struct writer writer;
    run->commit_count = 0;
    memset(&run->latency, 0, sizeof run->latency);
    run->status = writer_init(&writer, run);
    if (run->status == STATUS_OK) {
        write_for_a_while(&writer);
        io_uring_queue_exit(&writer.ring);
    }
    free(writer.buffers);
    return 0;
}
