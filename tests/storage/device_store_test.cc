// Storage paths that are raw devices: every claim on a file that holds an image of one and, where
// this machine gives one, on a loop device.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "storage/files.h"
#include "tests/storage/test_device.h"
#include "wire/log_format.h"

namespace {

constexpr size_t kSegmentBytes = 256 * 1024;
constexpr uint32_t kSlots = 4;

using Findings = std::map<enum path_finding, uint64_t>;

struct Store {
    Store(std::vector<std::string> paths, bool read_only = false, uint64_t segment_bytes = 0)
    {
        std::vector<const char *> names;
        for (const auto &path : paths) { names.push_back(path.c_str()); }
        const struct posix_files_options options = {
            names.data(),
            names.size(),
            read_only,
            segment_bytes,
            [](void *context, const char *, enum path_finding finding, uint64_t value) {
                (*static_cast<Findings *>(context))[finding] = value;
            },
            &findings};
        status = posix_files_open(&options, &self);
        if (status == STATUS_OK) { port = posix_files_port(self); }
    }
    ~Store()
    {
        for (const int file : open) { files_close(port, file); }
        posix_files_destroy(self);
    }
    Store(const Store &) = delete;
    Store &operator=(const Store &) = delete;

    int Create(uint32_t partition, uint64_t number)
    {
        int file = -1;
        EXPECT_EQ(TryCreate(partition, number, kSegmentBytes, &file), STATUS_OK);
        open.push_back(file);
        return file;
    }
    enum status TryCreate(uint32_t partition, uint64_t number, uint64_t bytes, int *file)
    {
        return files_create(port, Name(partition, number).c_str(), bytes, file);
    }
    int Open(uint32_t partition, uint64_t number)
    {
        int file = -1;
        uint64_t size_bytes = 0;
        EXPECT_EQ(files_open(port, Name(partition, number).c_str(), FILES_READ, &file, &size_bytes),
                  STATUS_OK);
        EXPECT_EQ(size_bytes, kSegmentBytes);
        open.push_back(file);
        return file;
    }
    enum status Remove(uint32_t partition, uint64_t number)
    {
        return files_remove(port, Name(partition, number).c_str());
    }
    void Fill(int file, int fill)
    {
        const Blocks blocks = BlocksOf(kSegmentBytes, fill);
        EXPECT_EQ(files_write(port, file, 0, bytes_of(blocks.get(), kSegmentBytes)), STATUS_OK);
    }
    // The one byte that all of the segment is; -1: it is not; -2: it cannot be read.
    int Filled(int file)
    {
        const Blocks read = BlocksOf(kSegmentBytes, 0x99);
        if (files_read(port, file, 0, read.get(), kSegmentBytes) != STATUS_OK) { return -2; }
        const bool same = std::all_of(read.get(), read.get() + kSegmentBytes,
                                      [&](uint8_t byte) { return byte == read[0]; });
        return same ? read[0] : -1;
    }
    std::set<uint64_t> Segments(uint32_t partition)
    {
        std::set<uint64_t> out;
        const enum status listed = files_list_segments(
            port, partition,
            [](void *context, uint64_t number, uint64_t) {
                static_cast<std::set<uint64_t> *>(context)->insert(number);
            },
            &out);
        EXPECT_EQ(listed, out.empty() ? STATUS_NOT_FOUND : STATUS_OK);
        return out;
    }
    std::vector<uint32_t> Partitions()
    {
        std::vector<uint32_t> out;
        EXPECT_EQ(files_list_partitions(
                      port,
                      [](void *context, uint32_t partition) {
                          static_cast<std::vector<uint32_t> *>(context)->push_back(partition);
                      },
                      &out),
                  STATUS_OK);
        return out;
    }
    uint64_t Space()
    {
        uint64_t free_bytes = 0;
        EXPECT_EQ(files_space(port, 0, &free_bytes), STATUS_OK);
        return free_bytes;
    }
    static std::string Name(uint32_t partition, uint64_t number)
    {
        char name[LOG_NAME_BYTES];
        log_segment_name(partition, number, name);
        return name;
    }

    Findings findings;
    enum status status = STATUS_OK;
    struct posix_files *self = nullptr;
    struct files port = {};
    std::vector<int> open;
};

class DeviceStore : public testing::TestWithParam<TestDevice::Kind> {
  protected:
    DeviceStore() : device_(GetParam(), kSlots) {}
    void SetUp() override
    {
        if (!device_.there()) { GTEST_SKIP() << "no loop device to be had here"; }
        device_.Format(1);
    }
    // Where a block of the slot table lies.
    uint64_t Table(unsigned copy) const { return device_.superblock().table_positions[copy]; }

    // A segment's header, as its first write.
    void WriteHeader(Store &store, int file, uint32_t partition, uint64_t number)
    {
        struct segment_header header = {};
        header.partition = partition;
        header.number = number;
        header.capacity_bytes = kSegmentBytes;
        const Blocks block = BlocksOf(LOG_BLOCK_BYTES, 0);
        segment_header_encode(&header, block.get());
        ASSERT_EQ(files_write(store.port, file, 0, bytes_of(block.get(), LOG_BLOCK_BYTES)),
                  STATUS_OK);
    }

    TestDevice device_;
};

INSTANTIATE_TEST_SUITE_P(Media, DeviceStore, testing::Values(TestDevice::IMAGE, TestDevice::LOOP),
                         [](const auto &kind) {
                             return kind.param == TestDevice::LOOP ? "LoopDevice" : "Image";
                         });

// ---------------------------------------------------------------------------------- the contract

TEST_P(DeviceStore, ANewSegmentIsAllZerosWhateverStoodThere)
{
    Store store({device_.path()});

    const int file = store.Create(3, 1);

    EXPECT_EQ(store.Filled(file), 0);
    EXPECT_NE(fcntl(file, F_GETFL) & O_DIRECT, 0);
}

TEST_P(DeviceStore, SegmentsKeepApart)
{
    Store store({device_.path()});
    std::vector<int> files;
    for (uint32_t i = 0; i < kSlots; i++) { files.push_back(store.Create(0, i + 1)); }

    for (uint32_t i = 0; i < kSlots; i++) { store.Fill(files[i], static_cast<int>(i + 1)); }

    for (uint32_t i = 0; i < kSlots; i++) {
        EXPECT_EQ(store.Filled(store.Open(0, i + 1)), static_cast<int>(i + 1));
    }
}

TEST_P(DeviceStore, TheDiskPortFindsASegmentWhereItBegins)
{
    Store store({device_.path()});
    store.Create(0, 1);
    const int file = store.Create(0, 2);
    const uint64_t begin = files_begin(store.port, file);
    const Blocks block = BlocksOf(DISK_BLOCK_BYTES, 0x5a);

    ASSERT_EQ(pwrite(file, block.get(), DISK_BLOCK_BYTES, static_cast<off_t>(begin + 8192)),
              static_cast<ssize_t>(DISK_BLOCK_BYTES));

    const Blocks read = BlocksOf(DISK_BLOCK_BYTES, 0);
    ASSERT_EQ(files_read(store.port, file, 8192, read.get(), DISK_BLOCK_BYTES), STATUS_OK);
    EXPECT_EQ(memcmp(read.get(), block.get(), DISK_BLOCK_BYTES), 0);
    EXPECT_EQ(begin, device_.superblock().slots_position + kMiB);
}

TEST_P(DeviceStore, NothingIsReadOrWrittenPastASegmentsEnd)
{
    Store store({device_.path()});
    const int file = store.Create(0, 1);
    const Blocks blocks = BlocksOf(2 * DISK_BLOCK_BYTES, 0);
    const uint64_t last = kSegmentBytes - DISK_BLOCK_BYTES;

    EXPECT_EQ(files_read(store.port, file, last, blocks.get(), 2 * DISK_BLOCK_BYTES),
              STATUS_TRUNCATED);
    EXPECT_EQ(files_write(store.port, file, last, bytes_of(blocks.get(), 2 * DISK_BLOCK_BYTES)),
              STATUS_INVALID);
    EXPECT_EQ(files_write(store.port, file, last, bytes_of(blocks.get(), DISK_BLOCK_BYTES)),
              STATUS_OK);
}

/* On a device whose sectors are larger, the blocks around it are read. */
TEST_P(DeviceStore, ReadsAsFineAsASector)
{
    Store store({device_.path()});
    const int file = store.Create(0, 1);
    const Blocks written = BlocksOf(2 * DISK_BLOCK_BYTES, 0);
    for (size_t i = 0; i < 2 * DISK_BLOCK_BYTES; i++) {
        written.get()[i] = static_cast<uint8_t>(i / FILES_READ_UNIT_BYTES + 1);
    }
    ASSERT_EQ(files_write(store.port, file, DISK_BLOCK_BYTES,
                          bytes_of(written.get(), 2 * DISK_BLOCK_BYTES)),
              STATUS_OK);

    const Blocks read = BlocksOf(DISK_BLOCK_BYTES, 0);
    const uint64_t inside = DISK_BLOCK_BYTES - FILES_READ_UNIT_BYTES;
    ASSERT_EQ(files_read(store.port, file, DISK_BLOCK_BYTES + inside, read.get(),
                         3 * FILES_READ_UNIT_BYTES),
              STATUS_OK);
    EXPECT_EQ(memcmp(read.get(), written.get() + inside, 3 * FILES_READ_UNIT_BYTES), 0);
    EXPECT_EQ(files_read(store.port, file, kSegmentBytes - FILES_READ_UNIT_BYTES, read.get(),
                         2 * FILES_READ_UNIT_BYTES),
              STATUS_TRUNCATED);
}

TEST_P(DeviceStore, RefusesANameThatIsTakenAndASegmentLargerThanASlot)
{
    Store store({device_.path()});
    store.Create(0, 1);

    int file;
    EXPECT_EQ(store.TryCreate(0, 1, kSegmentBytes, &file), STATUS_EXISTS);
    EXPECT_EQ(store.TryCreate(0, 2, kMiB + 4096, &file), STATUS_INVALID);
    EXPECT_EQ(store.TryCreate(0, 2, kMiB, &file), STATUS_OK);
    store.open.push_back(file);
}

TEST_P(DeviceStore, AFullDeviceHasNoSpaceUntilASegmentGoes)
{
    Store store({device_.path()});
    EXPECT_EQ(store.Space(), kSlots * kMiB);
    for (uint64_t i = 1; i <= kSlots; i++) { store.Create(0, i); }
    EXPECT_EQ(store.Space(), 0U);

    int file;
    EXPECT_EQ(store.TryCreate(1, 1, kSegmentBytes, &file), STATUS_NO_SPACE);
    ASSERT_EQ(store.Remove(0, 2), STATUS_OK);
    EXPECT_EQ(store.Space(), kMiB);
    store.Create(1, 1);

    EXPECT_EQ(store.Segments(0), (std::set<uint64_t>{1, 3, 4}));
    EXPECT_EQ(store.Segments(1), std::set<uint64_t>{1});
}

TEST_P(DeviceStore, TakesTheSlotThatHasBeenFreeLongest)
{
    Store store({device_.path()});
    std::map<uint64_t, uint64_t> begin;
    for (uint64_t i = 1; i <= kSlots; i++) {
        begin[i] = files_begin(store.port, store.Create(0, i));
    }
    ASSERT_EQ(store.Remove(0, 3), STATUS_OK);
    ASSERT_EQ(store.Remove(0, 1), STATUS_OK);

    EXPECT_EQ(files_begin(store.port, store.Create(0, 5)), begin[3]);
    EXPECT_EQ(files_begin(store.port, store.Create(0, 6)), begin[1]);
}

TEST_P(DeviceStore, EverythingIsThereAtTheNextStart)
{
    {
        Store store({device_.path()});
        store.Fill(store.Create(2, 0x1f), 0x33);
        store.Create(7, 1);
        store.Create(2, 0x20);
        ASSERT_EQ(store.Remove(2, 0x20), STATUS_OK);
    }

    Store store({device_.path()});

    EXPECT_TRUE(store.findings.empty());
    EXPECT_EQ(store.Partitions(), (std::vector<uint32_t>{2, 7}));
    EXPECT_EQ(store.Segments(2), std::set<uint64_t>{0x1f});
    EXPECT_EQ(store.Filled(store.Open(2, 0x1f)), 0x33);
    EXPECT_EQ(store.Remove(2, 0x20), STATUS_NOT_FOUND);
}

TEST_P(DeviceStore, ADirectoryBesideADeviceHoldsEverySecondPartition)
{
    const TemporaryDirectory directory;
    {
        Store store({directory / "a", device_.path()});
        store.Create(4, 1);
        store.Create(5, 1);
    }

    Store store({device_.path(), directory / "a"});
    store.Create(4, 2);

    EXPECT_TRUE(std::filesystem::exists(directory / "a/part-0004/0000000000000002.segment"));
    EXPECT_FALSE(std::filesystem::exists(directory / "a/part-0005"));
    EXPECT_EQ(store.Segments(5), std::set<uint64_t>{1});
    EXPECT_EQ(store.Partitions().size(), 2U);
}

// --------------------------------------------------------------------------------------- readers

TEST_P(DeviceStore, AReaderSeesWhatTheWriterMadeAndRemoved)
{
    Store writer({device_.path()});
    Store reader({device_.path()}, /*read_only=*/true);
    EXPECT_TRUE(reader.Partitions().empty());

    writer.Fill(writer.Create(0, 1), 0x44);
    writer.Create(0, 2);

    EXPECT_EQ(reader.Segments(0), (std::set<uint64_t>{1, 2}));
    EXPECT_EQ(reader.Filled(reader.Open(0, 1)), 0x44);
    ASSERT_EQ(writer.Remove(0, 1), STATUS_OK);
    EXPECT_EQ(reader.Segments(0), std::set<uint64_t>{2});
}

TEST_P(DeviceStore, NobodyReadsTheNextSegmentOfASlotForThisOne)
{
    Store writer({device_.path()});
    Store reader({device_.path()}, /*read_only=*/true);
    for (uint64_t i = 1; i <= kSlots; i++) { writer.Fill(writer.Create(0, i), 0x11); }
    const int read_elsewhere = reader.Open(0, 1);
    const int read_here = writer.Open(0, 1);
    EXPECT_EQ(reader.Filled(read_elsewhere), 0x11);

    ASSERT_EQ(writer.Remove(0, 1), STATUS_OK);
    writer.Fill(writer.Create(0, 9), 0x22); /* the one slot that is free */

    const Blocks block = BlocksOf(DISK_BLOCK_BYTES, 0);
    EXPECT_EQ(files_read(reader.port, read_elsewhere, 0, block.get(), DISK_BLOCK_BYTES),
              STATUS_NOT_FOUND);
    EXPECT_EQ(files_read(writer.port, read_here, 0, block.get(), DISK_BLOCK_BYTES),
              STATUS_NOT_FOUND);
    EXPECT_EQ(files_write(writer.port, read_here, 0, bytes_of(block.get(), DISK_BLOCK_BYTES)),
              STATUS_NOT_FOUND);
    EXPECT_EQ(reader.Filled(reader.Open(0, 9)), 0x22);
}

TEST_P(DeviceStore, AReaderFollowsADeviceThatIsInitialisedAnew)
{
    Store reader({device_.path()}, /*read_only=*/true);
    {
        Store writer({device_.path()});
        writer.Fill(writer.Create(0, 1), 0x11);
    }
    const int old = reader.Open(0, 1);

    device_.Format(2);
    Store writer({device_.path()});
    writer.Fill(writer.Create(0, 1), 0x22);

    EXPECT_EQ(reader.Segments(0), std::set<uint64_t>{1});
    EXPECT_EQ(reader.Filled(old), -2) << "it is another segment, of the same name and slot";
    EXPECT_EQ(reader.Filled(reader.Open(0, 1)), 0x22);
}

TEST_P(DeviceStore, AReaderMayComeBeforeTheDeviceIsInitialised)
{
    const Blocks zeros = BlocksOf(DISK_BLOCK_BYTES, 0);
    device_.Write(0, zeros.get(), DISK_BLOCK_BYTES);
    Store reader({device_.path()}, /*read_only=*/true);
    ASSERT_EQ(reader.status, STATUS_OK);
    EXPECT_TRUE(reader.Partitions().empty());

    device_.Format(3);
    Store writer({device_.path()});
    writer.Create(1, 1);

    EXPECT_EQ(reader.Partitions(), std::vector<uint32_t>{1});
}

// ---------------------------------------------------------------------------------- who may open

TEST_P(DeviceStore, IsOneWritersAlone)
{
    Store first({device_.path()});

    Store second({device_.path()});

    EXPECT_EQ(second.status, STATUS_BUSY);
    EXPECT_EQ(second.findings.count(PATH_IN_USE), 1U);
}

TEST_P(DeviceStore, RefusesADeviceWhoseFirstBlockIsSomebodyElses)
{
    const Blocks foreign = BlocksOf(DISK_BLOCK_BYTES, 0xeb);
    device_.Write(0, foreign.get(), DISK_BLOCK_BYTES);

    Store store({device_.path()});

    EXPECT_EQ(store.status, STATUS_NOT_FOUND);
    EXPECT_EQ(store.findings.count(PATH_NOT_INITIALISED), 1U);
    EXPECT_EQ(memcmp(device_.Read(0, DISK_BLOCK_BYTES).get(), foreign.get(), DISK_BLOCK_BYTES), 0);
}

TEST_P(DeviceStore, SaysThatSlotsAreTooSmall)
{
    Store fits({device_.path()}, false, /*segment_bytes=*/kMiB);
    EXPECT_EQ(fits.status, STATUS_OK);
    posix_files_destroy(fits.self);
    fits.self = nullptr;

    Store store({device_.path()}, false, /*segment_bytes=*/kMiB + 4096);

    EXPECT_EQ(store.status, STATUS_INVALID);
    EXPECT_EQ(store.findings, (Findings{{PATH_SLOTS_TOO_SMALL, kMiB}}));
}

// ---------------------------------------------------------------------------------------- damage

TEST_P(DeviceStore, ADamagedCopyOfTheSuperblockIsMended)
{
    {
        Store store({device_.path()});
        store.Create(0, 1);
    }
    for (const uint64_t position : {uint64_t{0}, uint64_t{DEVICE_SUPERBLOCK_COPY}}) {
        device_.FlipByte(position + 40);

        Store damaged({device_.path()});
        EXPECT_EQ(damaged.findings, (Findings{{PATH_MENDED, 1}}));
        EXPECT_EQ(damaged.Segments(0), std::set<uint64_t>{1});
        posix_files_destroy(damaged.self);
        damaged.self = nullptr;
        Store mended({device_.path()});
        EXPECT_TRUE(mended.findings.empty());
    }
}

TEST_P(DeviceStore, WithoutASuperblockItIsDamagedAndLeftAlone)
{
    device_.FlipByte(40);
    device_.FlipByte(DEVICE_SUPERBLOCK_COPY + 40);

    Store store({device_.path()});

    EXPECT_EQ(store.status, STATUS_CORRUPT);
    EXPECT_EQ(store.findings.count(PATH_DAMAGED), 1U);
}

TEST_P(DeviceStore, ADamagedCopyOfTheSlotTableTakesNothingWithIt)
{
    {
        Store store({device_.path()});
        store.Create(0, 1);
        store.Create(0, 2);
        ASSERT_EQ(store.Remove(0, 1), STATUS_OK);
    }
    for (unsigned copy = 0; copy < DEVICE_COPIES; copy++) {
        device_.FlipByte(Table(copy) + 100);
        Store reader({device_.path()}, /*read_only=*/true);
        EXPECT_EQ(reader.Segments(0), std::set<uint64_t>{2});

        Store damaged({device_.path()});
        EXPECT_EQ(damaged.findings, (Findings{{PATH_MENDED, 1}}));
        EXPECT_EQ(damaged.Segments(0), std::set<uint64_t>{2});
        posix_files_destroy(damaged.self);
        damaged.self = nullptr;
        Store mended({device_.path()});
        EXPECT_TRUE(mended.findings.empty());
    }
}

TEST_P(DeviceStore, SlotsThatTheTableLostAreRecognisedByWhatStandsInThem)
{
    {
        Store store({device_.path()});
        for (uint64_t i = 1; i <= kSlots; i++) {
            const int file = store.Create(5, i);
            if (i != 4) { WriteHeader(store, file, 5, i); } /* prepared, never opened */
        }
    }
    device_.FlipByte(Table(0) + 100);
    device_.FlipByte(Table(1) + 100);

    Store store({device_.path()});

    EXPECT_EQ(store.findings, (Findings{{PATH_SLOTS_RECOGNISED, kSlots}}));
    EXPECT_EQ(store.Segments(5), (std::set<uint64_t>{1, 2, 3}));
    EXPECT_EQ(store.Space(), kMiB);
    store.Create(5, 9);
    EXPECT_EQ(store.Segments(5), (std::set<uint64_t>{1, 2, 3, 9}));
}

TEST_P(DeviceStore, ASlotThatNothingTellsApartIsNeverUsedAgain)
{
    {
        Store store({device_.path()});
        WriteHeader(store, store.Create(5, 1), 5, 1);
        store.Fill(store.Create(5, 2), 0x77); /* a segment whose header rotted */
    }
    device_.FlipByte(Table(0) + 100);
    device_.FlipByte(Table(1) + 100);

    Store store({device_.path()});

    EXPECT_EQ(store.findings.count(PATH_SLOTS_LOST), 1U);
    EXPECT_EQ(store.findings[PATH_SLOTS_LOST], 3U) << "two of them never held anything of ours";
    EXPECT_EQ(store.Segments(5), std::set<uint64_t>{1});
    EXPECT_EQ(store.Space(), 0U);
    int file;
    EXPECT_EQ(store.TryCreate(5, 3, kSegmentBytes, &file), STATUS_NO_SPACE);
    const Blocks second = device_.Read(device_.superblock().slots_position + kMiB, 4096);
    EXPECT_EQ(second[0], 0x77);
}

// ------------------------------------------------------------------------- not of this kind at all

TEST(DevicePaths, AMissingDeviceIsNoDirectoryToBeMade)
{
    const std::string path = "/dev/penstock-test-no-such-device";

    Store store({path});

    EXPECT_EQ(store.status, STATUS_NOT_FOUND);
    EXPECT_EQ(store.findings.count(PATH_REFUSED), 1U);
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(DevicePaths, NeitherDirectoryNorDeviceIsRefused)
{
    Store store({"/dev/null"});

    EXPECT_EQ(store.status, STATUS_INVALID);
    EXPECT_EQ(store.findings.count(PATH_REFUSED), 1U);
}

TEST(DevicePaths, AnImageThatWasCutIsSaidToBeShorter)
{
    TestDevice device(TestDevice::IMAGE, kSlots);
    device.Format(1);
    std::filesystem::resize_file(device.path(), (kSlots + 1) * kMiB);

    Store store({device.path()});

    EXPECT_EQ(store.status, STATUS_TRUNCATED);
    EXPECT_EQ(store.findings.count(PATH_SHRUNK), 1U);
}

} // namespace
