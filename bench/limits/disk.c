/* Bare durable writing: io_uring, O_DIRECT, one thread that spins, nothing in the buffers to make.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <liburing.h>

#include "base/clock.h"
#include "bench/limits/limits.h"

enum {
    DEPTH_MAX = 64,
    ALIGNMENT_BYTES = 4096,
};

struct writer {
    struct io_uring ring;
    uint8_t *buffers; /* depth of them, registered */
    struct limit_disk_run *run;
    uint64_t position;
    uint32_t in_flight;
};

static enum status writer_init(struct writer *writer, struct limit_disk_run *run)
{
    memset(writer, 0, sizeof *writer);
    writer->run = run;
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    };
    const size_t bytes = run->depth * run->commit_bytes;
    writer->buffers = aligned_alloc(ALIGNMENT_BYTES, bytes);
    if (writer->buffers == NULL) { return STATUS_NO_MEMORY; }
    for (size_t i = 0; i < bytes; i++) { writer->buffers[i] = (uint8_t)(i * 2654435761U >> 24); }

    const int refused = io_uring_queue_init_params(2 * DEPTH_MAX, &writer->ring, &params);
    if (refused != 0) { return status_from_errno(-refused); }
    const struct iovec memory = {writer->buffers, bytes};
    const int not_locked = io_uring_register_buffers(&writer->ring, &memory, 1);
    if (not_locked != 0) { io_uring_queue_exit(&writer->ring); }
    return not_locked == 0 ? STATUS_OK : status_from_errno(-not_locked);
}

static void submit(struct writer *writer, uint64_t buffer)
{
    struct limit_disk_run *const run = writer->run;
    if (writer->position + run->commit_bytes > run->file_bytes) { writer->position = 0; }
    struct io_uring_sqe *const sqe = io_uring_get_sqe(&writer->ring);
    io_uring_prep_write_fixed(sqe, run->file, writer->buffers + buffer * run->commit_bytes,
                              (unsigned)run->commit_bytes, writer->position, 0);
    sqe->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data64(sqe, buffer);
    writer->position += run->commit_bytes;
    writer->in_flight++;
}

/* Takes what is durable; each one's buffer goes out again at once while `again`. */
static void reap(struct writer *writer, bool again)
{
    struct io_uring_cqe *cqe;
    while (io_uring_cq_ready(&writer->ring) > 0 && io_uring_peek_cqe(&writer->ring, &cqe) == 0) {
        const uint64_t buffer = io_uring_cqe_get_data64(cqe);
        if (cqe->res != (int)writer->run->commit_bytes) { writer->run->status = STATUS_IO; }
        io_uring_cqe_seen(&writer->ring, cqe);
        writer->in_flight--;
        writer->run->commit_count++;
        if (again) { submit(writer, buffer); }
    }
}

/* Enters the kernel when there is something to hand over, or when it says that something is done.
 */
static void enter(struct writer *writer)
{
    const bool queued = io_uring_sq_ready(&writer->ring) > 0;
    const unsigned flags = IO_URING_READ_ONCE(*writer->ring.sq.kflags);
    if (queued || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
        io_uring_submit_and_get_events(&writer->ring);
    }
}

static void write_for_a_while(struct writer *writer)
{
    struct limit_disk_run *const run = writer->run;
    const uint64_t began_ns = clock_mono_ns();
    uint64_t now_ns = began_ns;
    for (uint32_t i = 0; i < run->depth; i++) { submit(writer, i); }
    while (now_ns - began_ns < run->duration_ns && run->status == STATUS_OK) {
        enter(writer);
        reap(writer, true);
        now_ns = clock_mono_ns();
    }
    while (writer->in_flight > 0) {
        enter(writer);
        reap(writer, false);
    }
    run->elapsed_ns = clock_mono_ns() - began_ns;
}

int limit_disk(void *argument)
{
    struct limit_disk_run *const run = argument;
    struct writer writer;
    run->commit_count = 0;
    run->status = writer_init(&writer, run);
    if (run->status == STATUS_OK) {
        write_for_a_while(&writer);
        io_uring_queue_exit(&writer.ring);
    }
    free(writer.buffers);
    return 0;
}
