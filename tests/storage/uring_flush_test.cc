// What uring_disk does with each completion that a kernel can give it, in the order that a test
// chooses: the linker puts this file where io_uring_enter would be (--wrap in meson.build). The
// ring is a real one; the kernel never hears of what is queued there.
#include <gtest/gtest.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/disk.h"
#include "storage/uring_disk.h"

namespace {

// What was handed over, oldest first, and not yet answered.
struct Request {
    bool is_flush;
    bool is_durable; // RWF_DSYNC
    bool is_datasync;
    int file;
    uint64_t position;
    uint64_t user_data;
};

class Kernel {
  public:
    int Enter(struct io_uring *ring)
    {
        ring_ = ring;
        int taken = 0;
        for (; ring->sq.sqe_head != ring->sq.sqe_tail; ring->sq.sqe_head++, taken++) {
            Take(ring->sq.sqes[ring->sq.sqe_head & ring->sq.ring_mask]);
        }
        *ring->sq.khead = ring->sq.sqe_head;
        return taken;
    }
    // Answers the request number `index` of those that wait.
    void Complete(size_t index, int result)
    {
        const Request request = waiting.at(index);
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(index));
        Post(request.user_data, result);
    }

    std::vector<Request> waiting;

  private:
    void Take(const struct io_uring_sqe &sqe)
    {
        if (sqe.opcode == IORING_OP_NOP) {
            Post(sqe.user_data, 0);
            return;
        }
        const bool is_flush = sqe.opcode == IORING_OP_FSYNC;
        waiting.push_back({is_flush, !is_flush && (sqe.rw_flags & RWF_DSYNC) != 0,
                           is_flush && (sqe.fsync_flags & IORING_FSYNC_DATASYNC) != 0, sqe.fd,
                           sqe.off, sqe.user_data});
    }
    void Post(uint64_t user_data, int result)
    {
        struct io_uring_cq &cq = ring_->cq;
        const unsigned tail = *cq.ktail;
        struct io_uring_cqe &cqe = cq.cqes[tail & cq.ring_mask];
        cqe.user_data = user_data;
        cqe.res = result;
        cqe.flags = 0;
        io_uring_smp_store_release(cq.ktail, tail + 1);
    }

    struct io_uring *ring_ = nullptr;
};

Kernel *kernel;

} // namespace

extern "C" {
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring) { return kernel->Enter(ring); }
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring) { return kernel->Enter(ring); }
}

namespace {

constexpr size_t kBlock = DISK_BLOCK_BYTES;
constexpr uint32_t kDepth = 8;
constexpr int kFile = 700; // never opened: the kernel does not hear of it
constexpr int kOtherFile = 701;

struct FreeDeleter {
    void operator()(uint8_t *at) const { free(at); }
};

class UringFlush : public testing::Test {
  protected:
    UringFlush() : memory_(static_cast<uint8_t *>(aligned_alloc(kBlock, kBlock)))
    {
        kernel = &kernel_;
        memset(memory_.get(), 7, kBlock);
        Create(URING_DISK_FDATASYNC);
    }
    ~UringFlush() override { uring_disk_destroy(self_); }

    void Create(enum uring_disk_method method)
    {
        const struct uring_disk_options options = {kDepth, bytes_of(memory_.get(), kBlock), -1,
                                                   method};
        uring_disk_destroy(self_);
        ASSERT_EQ(uring_disk_create(&options, &self_), STATUS_OK);
        ASSERT_EQ(uring_disk_adopt(self_), STATUS_OK);
        disk_ = uring_disk_port(self_);
    }
    void Submit(uint64_t tag, int file = kFile)
    {
        const struct disk_write write = {bytes_of(memory_.get(), kBlock), file, tag * kBlock, tag};
        ASSERT_EQ(disk_submit(disk_, &write), STATUS_OK);
    }
    std::map<uint64_t, enum status> Reap()
    {
        std::map<uint64_t, enum status> out;
        struct disk_completion completions[DISK_REAP_MAX];
        const size_t count = disk_reap(disk_, completions, DISK_REAP_MAX);
        for (size_t i = 0; i < count; i++) {
            EXPECT_TRUE(out.emplace(completions[i].tag, completions[i].status).second);
        }
        return out;
    }
    // "write 0", "flush": what the kernel has not answered yet.
    std::vector<std::string> Waiting() const
    {
        std::vector<std::string> out;
        for (const Request &request : kernel_.waiting) {
            out.push_back(request.is_flush ? "flush " + std::to_string(request.file)
                                           : "write " + std::to_string(request.position / kBlock));
        }
        return out;
    }
    // As a device that works: every request is answered, whatever follows from that too.
    std::map<uint64_t, enum status> Settle()
    {
        std::map<uint64_t, enum status> out = Reap();
        for (int i = 0; i < 100 && !kernel_.waiting.empty(); i++) {
            const bool is_flush = kernel_.waiting[0].is_flush;
            kernel_.Complete(0, is_flush ? 0 : static_cast<int>(kBlock));
            out.merge(Reap());
        }
        return out;
    }

    using Done = std::map<uint64_t, enum status>;
    using Names = std::vector<std::string>;

    Kernel kernel_;
    std::unique_ptr<uint8_t[], FreeDeleter> memory_;
    struct uring_disk *self_ = nullptr;
    struct disk disk_ = {};
};

TEST_F(UringFlush, AWriteThatCompletedIsNotDurableBeforeAFlushBehindItIs)
{
    Submit(0);
    EXPECT_EQ(Reap(), Done{});
    ASSERT_EQ(Waiting(), Names{"write 0"});
    EXPECT_FALSE(kernel_.waiting[0].is_durable);

    kernel_.Complete(0, kBlock);
    EXPECT_EQ(Reap(), Done{});
    ASSERT_EQ(Waiting(), Names{"flush 700"}) << "handed over in the same turn";
    EXPECT_TRUE(kernel_.waiting[0].is_datasync);
    EXPECT_EQ(Reap(), Done{});

    kernel_.Complete(0, 0);
    EXPECT_EQ(Reap(), (Done{{0, STATUS_OK}}));
    EXPECT_EQ(Waiting(), Names{});
}

TEST_F(UringFlush, AWriteThatCompletesWhileAFlushIsOutIsNotCoveredByIt)
{
    Submit(0);
    Submit(1);
    Reap();
    kernel_.Complete(0, kBlock);
    Reap();
    ASSERT_EQ(Waiting(), (Names{"write 1", "flush 700"}));

    kernel_.Complete(0, kBlock); // write 1, behind the flush's submission
    kernel_.Complete(0, 0);      // the flush
    EXPECT_EQ(Reap(), (Done{{0, STATUS_OK}}));
    ASSERT_EQ(Waiting(), Names{"flush 700"}) << "one of its own";

    kernel_.Complete(0, 0);
    EXPECT_EQ(Reap(), (Done{{1, STATUS_OK}}));
}

TEST_F(UringFlush, OneFlushCoversAllThatHadCompleted)
{
    for (uint64_t tag = 0; tag < 3; tag++) { Submit(tag); }
    Reap();
    for (uint64_t tag = 0; tag < 3; tag++) { kernel_.Complete(0, kBlock); }
    Reap();
    ASSERT_EQ(Waiting(), Names{"flush 700"});

    kernel_.Complete(0, 0);

    EXPECT_EQ(Reap(), (Done{{0, STATUS_OK}, {1, STATUS_OK}, {2, STATUS_OK}}));
}

TEST_F(UringFlush, AFlushIsOfOneFile)
{
    Submit(0, kFile);
    Submit(1, kOtherFile);
    Submit(2, kFile);
    Reap();
    for (uint64_t tag = 0; tag < 3; tag++) { kernel_.Complete(0, kBlock); }
    Reap();
    ASSERT_EQ(Waiting(), (Names{"flush 700", "flush 701"}));

    kernel_.Complete(1, 0);
    EXPECT_EQ(Reap(), (Done{{1, STATUS_OK}}));
    kernel_.Complete(0, 0);
    EXPECT_EQ(Reap(), (Done{{0, STATUS_OK}, {2, STATUS_OK}}));
}

TEST_F(UringFlush, ALaterFlushThatComesBackFirstSaysNothingOfAnEarlierOne)
{
    Submit(0);
    Submit(1);
    Reap();
    kernel_.Complete(0, kBlock);
    Reap();
    kernel_.Complete(0, kBlock);
    Reap();
    ASSERT_EQ(Waiting(), (Names{"flush 700", "flush 700"}));

    kernel_.Complete(1, 0);
    EXPECT_EQ(Reap(), (Done{{1, STATUS_OK}}));
    kernel_.Complete(0, -EIO);
    EXPECT_EQ(Reap(), (Done{{0, STATUS_IO}}));
}

TEST_F(UringFlush, AFailedFlushFailsEveryWriteItCoveredAndIsNotTriedAgain)
{
    Submit(0);
    Submit(1);
    Reap();
    kernel_.Complete(0, kBlock);
    kernel_.Complete(0, kBlock);
    Reap();
    ASSERT_EQ(Waiting(), Names{"flush 700"});

    kernel_.Complete(0, -EIO);

    EXPECT_EQ(Reap(), (Done{{0, STATUS_IO}, {1, STATUS_IO}}));
    EXPECT_EQ(Reap(), Done{});
    EXPECT_EQ(Waiting(), Names{}) << "a second flush could succeed without the data";
}

TEST_F(UringFlush, AFlushThatWasInterruptedHasFailedToo)
{
    for (const int result : {-EAGAIN, -EINTR, -ECANCELED}) {
        Submit(0);
        Reap();
        kernel_.Complete(0, kBlock);
        Reap();
        ASSERT_EQ(Waiting(), Names{"flush 700"});

        kernel_.Complete(0, result);

        EXPECT_EQ(Reap(), (Done{{0, STATUS_IO}})) << result;
        EXPECT_EQ(Waiting(), Names{}) << result;
    }
}

TEST_F(UringFlush, AFlushThatFindsNoSpaceSaysSo)
{
    Submit(0);
    Reap();
    kernel_.Complete(0, kBlock);
    Reap();

    kernel_.Complete(0, -ENOSPC);

    EXPECT_EQ(Reap(), (Done{{0, STATUS_NO_SPACE}}));
}

TEST_F(UringFlush, AWriteThatFailedWaitsForNoFlush)
{
    Submit(0);
    Reap();

    kernel_.Complete(0, -EIO);

    EXPECT_EQ(Reap(), (Done{{0, STATUS_IO}}));
    EXPECT_EQ(Waiting(), Names{});
}

TEST_F(UringFlush, AShortWriteIsAnErrorAndNoFlushMendsIt)
{
    Submit(0);
    Submit(1);
    Reap();
    kernel_.Complete(0, kBlock - 512);
    kernel_.Complete(0, 0);

    EXPECT_EQ(Reap(), (Done{{0, STATUS_IO}, {1, STATUS_IO}}));
    EXPECT_EQ(Waiting(), Names{});
}

TEST_F(UringFlush, AWriteThatIsToBeTriedAgainIsEightTimes)
{
    Submit(0);
    Reap();
    for (int attempt = 1; attempt < 8; attempt++) {
        kernel_.Complete(0, attempt % 2 == 0 ? -EAGAIN : -EINTR);
        EXPECT_EQ(Reap(), Done{});
        Reap(); // hands it over
        ASSERT_EQ(Waiting(), Names{"write 0"}) << attempt;
    }

    kernel_.Complete(0, -EAGAIN);

    EXPECT_EQ(Reap(), (Done{{0, STATUS_IO}}));
}

TEST_F(UringFlush, FourFlushesAreOutAtMostAndTheRestWaits)
{
    for (uint64_t tag = 0; tag < 6; tag++) { Submit(tag); }
    Reap();
    for (uint64_t tag = 0; tag < 6; tag++) {
        kernel_.Complete(0, kBlock); // the next write: flushes queue up behind them
        Reap();
    }
    EXPECT_EQ(Waiting(), (Names{"flush 700", "flush 700", "flush 700", "flush 700"}));

    kernel_.Complete(0, 0);
    EXPECT_EQ(Reap(), (Done{{0, STATUS_OK}}));
    EXPECT_EQ(Waiting().size(), 4U) << "writes 4 and 5 share the next one";
    kernel_.Complete(3, 0);
    EXPECT_EQ(Reap(), (Done{{4, STATUS_OK}, {5, STATUS_OK}}));
    EXPECT_EQ(Settle().size(), 3U);
}

TEST_F(UringFlush, AFullDepthIsBusyUntilFlushed)
{
    for (uint64_t tag = 0; tag < kDepth; tag++) { Submit(tag); }
    const struct disk_write more = {bytes_of(memory_.get(), kBlock), kFile, 0, 99};
    Reap();
    for (uint64_t tag = 0; tag < kDepth; tag++) { kernel_.Complete(0, kBlock); }
    Reap();
    EXPECT_EQ(disk_submit(disk_, &more), STATUS_BUSY);

    EXPECT_EQ(Settle().size(), kDepth);

    EXPECT_EQ(disk_submit(disk_, &more), STATUS_OK);
    EXPECT_EQ(Settle().size(), 1U);
}

TEST_F(UringFlush, WithDsyncAWriteIsDurableByItself)
{
    Create(URING_DISK_DSYNC);
    Submit(0);
    Reap();
    ASSERT_EQ(Waiting(), Names{"write 0"});
    EXPECT_TRUE(kernel_.waiting[0].is_durable);

    kernel_.Complete(0, kBlock);

    EXPECT_EQ(Reap(), (Done{{0, STATUS_OK}}));
    EXPECT_EQ(Waiting(), Names{});
}

} // namespace
