// Power cuts under a raw device: the writes and flushes of making and removing segments are
// recorded on their way to the kernel (--wrap in meson.build), and every prefix of them, with the
// last write torn at every sector and with what was not flushed kept or lost, is opened again.
#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/files.h"
#include "tests/storage/test_device.h"
#include "wire/log_format.h"

namespace {

constexpr size_t kSectorBytes = 512;
constexpr size_t kSegmentBytes = 16 * 1024;
constexpr uint32_t kSlots = 3;

struct Operation {
    bool flush;
    bool durable; // a write that is on stable storage when it returns
    uint64_t position;
    std::vector<uint8_t> bytes;
};

bool recording = false;
std::vector<Operation> operations;

} // namespace

extern "C" {
int __real_fsync(int file);
int __wrap_fsync(int file);
ssize_t __real_pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags);
ssize_t __wrap_pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags);

int __wrap_fsync(int file)
{
    if (recording) { operations.push_back({true, false, 0, {}}); }
    return __real_fsync(file);
}

ssize_t __wrap_pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags)
{
    if (recording) {
        const auto *const begin = static_cast<const uint8_t *>(pieces[0].iov_base);
        operations.push_back({false, (flags & RWF_DSYNC) != 0, static_cast<uint64_t>(at),
                              std::vector<uint8_t>(begin, begin + pieces[0].iov_len)});
    }
    return __real_pwritev64v2(file, pieces, count, at, flags);
}
}

namespace {

using Names = std::set<std::pair<uint32_t, uint64_t>>;

std::string NameOf(uint32_t partition, uint64_t number)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(partition, number, name);
    return name;
}

struct Opened {
    explicit Opened(const std::string &path)
    {
        const char *const paths[] = {path.c_str()};
        status = posix_files_create(paths, 1, false, &self);
        if (status == STATUS_OK) { port = posix_files_port(self); }
    }
    ~Opened() { posix_files_destroy(self); }
    Opened(const Opened &) = delete;
    Opened &operator=(const Opened &) = delete;

    Names List() const
    {
        struct Walk {
            struct files port;
            uint32_t partition;
            Names names;
        } walk = {port, 0, {}};
        EXPECT_EQ(files_list_partitions(
                      port,
                      [](void *context, uint32_t partition) {
                          auto *const self = static_cast<Walk *>(context);
                          self->partition = partition;
                          EXPECT_EQ(files_list_segments(
                                        self->port, partition,
                                        [](void *inner, uint64_t number, uint64_t size_bytes) {
                                            auto *const at = static_cast<Walk *>(inner);
                                            EXPECT_EQ(size_bytes, kSegmentBytes);
                                            at->names.emplace(at->partition, number);
                                        },
                                        self),
                                    STATUS_OK);
                      },
                      &walk),
                  STATUS_OK);
        return walk.names;
    }
    // The first byte of each block of the segment.
    std::vector<uint8_t> Blocks(const std::pair<uint32_t, uint64_t> &name) const
    {
        int file;
        uint64_t size_bytes;
        std::vector<uint8_t> out;
        EXPECT_EQ(files_open(port, NameOf(name.first, name.second).c_str(), FILES_READ, &file,
                             &size_bytes),
                  STATUS_OK);
        const auto read = BlocksOf(kSegmentBytes, 0x99);
        EXPECT_EQ(files_read(port, file, 0, read.get(), kSegmentBytes), STATUS_OK);
        for (size_t i = 0; i < kSegmentBytes; i += kSectorBytes) { out.push_back(read[i]); }
        files_close(port, file);
        return out;
    }

    enum status status;
    struct posix_files *self = nullptr;
    struct files port = {};
};

class DeviceCrash : public testing::Test {
  protected:
    DeviceCrash() { device_.Format(1); }

    // Before and after a crash, the whole device is these bytes.
    void Remember()
    {
        before_ = device_.Read(0, kDeviceBytes);
        operations.clear();
        recording = true;
    }
    // What was acknowledged when so many operations were through.
    void Acknowledge(const Opened &opened)
    {
        acknowledged_.emplace_back(operations.size(), opened.List());
    }

    void Make(const Opened &opened, uint32_t partition, uint64_t number, int fill)
    {
        int file;
        ASSERT_EQ(
            files_create(opened.port, NameOf(partition, number).c_str(), kSegmentBytes, &file),
            STATUS_OK);
        Acknowledge(opened);
        const auto blocks = BlocksOf(kSegmentBytes, fill);
        recording = false; /* content is not this test's: it goes under both images */
        ASSERT_EQ(files_write(opened.port, file, 0, bytes_of(blocks.get(), kSegmentBytes)),
                  STATUS_OK);
        contents_.emplace_back(operations.size(), files_begin(opened.port, file), fill);
        recording = true;
        files_close(opened.port, file);
    }
    void Remove(const Opened &opened, uint32_t partition, uint64_t number)
    {
        ASSERT_EQ(files_remove(opened.port, NameOf(partition, number).c_str()), STATUS_OK);
        Acknowledge(opened);
    }

    struct Content {
        Content(size_t since, uint64_t begin, int fill) : since(since), begin(begin), fill(fill) {}
        size_t since;
        uint64_t begin;
        int fill;
    };

    enum class Unflushed { KEPT, LOST, EVERY_OTHER_SECTOR };
    // Whether sector `index` of `count` of the write in progress arrived.
    using Torn = std::function<bool(size_t index, size_t count)>;

    static void Apply(uint8_t *image, const Operation &operation, const Torn &arrives)
    {
        const size_t count = operation.bytes.size() / kSectorBytes;
        for (size_t i = 0; i < count; i++) {
            if (!arrives(i, count)) { continue; }
            memcpy(image + operation.position + i * kSectorBytes,
                   &operation.bytes[i * kSectorBytes], kSectorBytes);
        }
    }

    // The device when the power went in the middle of operation number `at`.
    void Crash(size_t at, const Torn &torn, Unflushed unflushed)
    {
        auto image = BlocksOf(kDeviceBytes, 0);
        memcpy(image.get(), before_.get(), kDeviceBytes);
        const auto fate = [&](size_t i, size_t) {
            return unflushed == Unflushed::KEPT ||
                   (unflushed == Unflushed::EVERY_OTHER_SECTOR && i % 2 == 0);
        };
        for (size_t i = 0; i < at; i++) {
            for (const Content &content : contents_) {
                if (content.since == i) {
                    memset(image.get() + content.begin, content.fill, kSegmentBytes);
                }
            }
            const bool flushed = operations[i].durable ||
                                 std::any_of(operations.begin() + static_cast<ptrdiff_t>(i),
                                             operations.begin() + static_cast<ptrdiff_t>(at),
                                             [](const Operation &later) { return later.flush; });
            Apply(image.get(), operations[i],
                  flushed ? [](size_t, size_t) { return true; } : Torn(fate));
        }
        for (const Content &content : contents_) {
            if (content.since == at) {
                memset(image.get() + content.begin, content.fill, kSegmentBytes);
            }
        }
        if (at < operations.size()) { Apply(image.get(), operations[at], torn); }
        device_.Write(0, image.get(), kDeviceBytes);
    }

    // The state before the operation that was under way, or the one behind it; nothing else.
    void ExpectEitherState(const Names &found, size_t at) const
    {
        Names before;
        Names after;
        for (const auto &[since, names] : acknowledged_) {
            if (since <= at) { before = names; }
        }
        const auto next = std::find_if(acknowledged_.begin(), acknowledged_.end(),
                                       [&](const auto &one) { return one.first > at; });
        after = next == acknowledged_.end() ? before : next->second;
        EXPECT_TRUE(found == before || found == after);
    }

    void ExpectGood(size_t at)
    {
        const Opened opened(device_.path());
        ASSERT_EQ(opened.status, STATUS_OK);
        const Names found = opened.List();
        ExpectEitherState(found, at);
        for (const auto &name : found) {
            const auto blocks = opened.Blocks(name);
            const int fill = static_cast<int>(0x10 * name.first + name.second);
            EXPECT_TRUE(std::all_of(blocks.begin(), blocks.end(),
                                    [&](uint8_t byte) { return byte == blocks[0]; }));
            EXPECT_TRUE(blocks[0] == 0 || blocks[0] == fill) << int{blocks[0]};
        }
        ExpectRestIsFree(opened, found.size());
    }

    // No slot is lost by a crash, and each takes a segment of zeros.
    static void ExpectRestIsFree(const Opened &opened, size_t used_count)
    {
        int file;
        const auto zeros = std::vector<uint8_t>(kSegmentBytes / kSectorBytes, 0);
        for (uint64_t i = used_count; i < kSlots; i++) {
            ASSERT_EQ(files_create(opened.port, NameOf(9, i).c_str(), kSegmentBytes, &file),
                      STATUS_OK);
            files_close(opened.port, file);
            EXPECT_EQ(opened.Blocks({9, i}), zeros);
        }
        EXPECT_EQ(files_create(opened.port, NameOf(9, 99).c_str(), kSegmentBytes, &file),
                  STATUS_NO_SPACE);
    }

    static constexpr uint64_t kDeviceBytes = (2 + kSlots) * kMiB;

    TestDevice device_{TestDevice::IMAGE, kSlots};
    Blocks before_;
    std::vector<std::pair<size_t, Names>> acknowledged_;
    std::vector<Content> contents_;
};

TEST_F(DeviceCrash, EveryPrefixOfItsWritesLeavesWhatWasAcknowledgedAndNothingHalfMade)
{
    {
        const Opened opened(device_.path());
        Remember();
        Acknowledge(opened);
        Make(opened, 1, 1, 0x11);
        Make(opened, 1, 2, 0x12);
        Remove(opened, 1, 1);
        Make(opened, 2, 1, 0x21);
        Make(opened, 1, 3, 0x13); /* in the slot of the one that was removed */
        Remove(opened, 1, 2);
        Remove(opened, 2, 1);
        recording = false;
    }
    ASSERT_EQ(operations.size(), 4 * 4 + 3 * 2U) << "fill, flush, two copies; two copies";

    size_t crashes = 0;
    for (size_t at = 0; at <= operations.size(); at++) {
        const size_t sectors =
            at < operations.size() ? operations[at].bytes.size() / kSectorBytes : 0;
        for (const Unflushed unflushed :
             {Unflushed::KEPT, Unflushed::LOST, Unflushed::EVERY_OTHER_SECTOR}) {
            for (size_t cut = 0; cut <= sectors; cut += sectors > 8 ? 5 : 1) {
                const Torn front = [&](size_t i, size_t) { return i < cut; };
                const Torn back = [&](size_t i, size_t) { return i >= cut; };
                for (const Torn &torn : {front, back}) {
                    SCOPED_TRACE("operation " + std::to_string(at) + ", sector " +
                                 std::to_string(cut));
                    Crash(at, torn, unflushed);
                    ExpectGood(at);
                    if (HasFailure()) { return; }
                    crashes++;
                }
            }
        }
    }
    EXPECT_GT(crashes, 900U);
}

TEST_F(DeviceCrash, MendingMayBeInterruptedToo)
{
    {
        const Opened opened(device_.path());
        Make(opened, 1, 1, 0x11);
    }
    device_.FlipByte(device_.superblock().table_positions[0] + 70);
    device_.FlipByte(40); /* of the superblock */
    acknowledged_.clear();
    contents_.clear();
    {
        Remember();
        const Opened opened(device_.path());
        recording = false;
        acknowledged_.emplace_back(0, opened.List());
    }
    ASSERT_EQ(operations.size(), 3U) << "both superblocks, one block of the table";

    for (size_t at = 0; at <= operations.size(); at++) {
        for (size_t cut = 0; cut <= DISK_BLOCK_BYTES / kSectorBytes; cut++) {
            Crash(
                at, [&](size_t i, size_t) { return i < cut; }, Unflushed::LOST);
            ExpectGood(at);
        }
    }
}

} // namespace
