#include "client/receipts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

constexpr struct native_producer_id OWNER = {{1, 2, 3}};
constexpr off_t HEADER_BYTES = 64;
constexpr off_t ENTRY_BYTES = 56 + 8; // of one run

class Receipts : public testing::Test {
  protected:
    void SetUp() override
    {
        char name[] = "/tmp/receipts_test.XXXXXX";
        const int fd = mkstemp(name);
        ASSERT_GE(fd, 0);
        close(fd);
        path_ = name;
        unlink(name);
    }
    void TearDown() override { unlink(path_.c_str()); }

    struct receipts *Open(enum status expected = STATUS_OK, struct native_producer_id owner = OWNER)
    {
        struct receipts *receipts = nullptr;
        EXPECT_EQ(receipts_open(path_.c_str(), &owner, RECEIPTS_SYNC_NEVER, &receipts), expected);
        return receipts;
    }

    /* Entries of one record each. */
    void Write(uint64_t first, uint64_t last)
    {
        struct receipts *const receipts = Open();
        for (uint64_t sequence = first; sequence <= last; sequence++) {
            const struct receipt receipt = Of(sequence);
            ASSERT_EQ(receipts_append(receipts, &receipt), STATUS_OK);
        }
        ASSERT_EQ(receipts_commit(receipts), STATUS_OK);
        receipts_close(receipts);
    }

    static struct receipt Of(uint64_t sequence)
    {
        struct receipt receipt = {};
        receipt.lane = 5;
        receipt.chained = true;
        receipt.epoch = 9;
        receipt.first = sequence;
        receipt.last = sequence;
        receipt.hash = sequence * 1000;
        receipt.time_ms = 1234567;
        receipt.run_count = 1;
        receipt.runs[0] = {NATIVE_STORED, 1};
        return receipt;
    }

    /* How many entries read well, and how it ended. */
    std::pair<int, enum status> Read()
    {
        struct receipts_reader *reader;
        struct native_producer_id owner;
        struct receipt receipt;
        const enum status opened = receipts_reader_open(path_.c_str(), &reader, &owner);
        if (opened != STATUS_OK) { return {-1, opened}; }
        int count = 0;
        enum status status;
        while ((status = receipts_next(reader, &receipt)) == STATUS_OK) { count++; }
        receipts_reader_close(reader);
        return {count, status};
    }

    void FlipByteAt(off_t at)
    {
        const int fd = open(path_.c_str(), O_RDWR);
        uint8_t byte;
        ASSERT_EQ(pread(fd, &byte, 1, at), 1);
        byte ^= 0x40;
        ASSERT_EQ(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }

    off_t Size()
    {
        struct stat file;
        EXPECT_EQ(stat(path_.c_str(), &file), 0);
        return file.st_size;
    }

    std::string path_;
};

using Result = std::pair<int, enum status>;

TEST_F(Receipts, ReadBackAsTheyWereWritten)
{
    struct receipts *const receipts = Open();
    struct receipt written = Of(1);
    written.last = 1003;
    written.run_count = 3;
    written.runs[0] = {NATIVE_STORED, 1000};
    written.runs[1] = {NATIVE_DROPPED, 1};
    written.runs[2] = {NATIVE_NO_TOPIC, 2};
    ASSERT_EQ(receipts_append(receipts, &written), STATUS_OK);
    ASSERT_EQ(receipts_commit(receipts), STATUS_OK);
    receipts_close(receipts);

    struct receipts_reader *reader;
    struct native_producer_id owner;
    struct receipt read;
    ASSERT_EQ(receipts_reader_open(path_.c_str(), &reader, &owner), STATUS_OK);
    ASSERT_EQ(receipts_next(reader, &read), STATUS_OK);
    receipts_reader_close(reader);

    EXPECT_EQ(memcmp(&owner, &OWNER, sizeof owner), 0);
    EXPECT_EQ(read.lane, 5u);
    EXPECT_EQ(read.epoch, 9u);
    EXPECT_EQ(read.first, 1u);
    EXPECT_EQ(read.last, 1003u);
    EXPECT_EQ(read.hash, 1000u);
    EXPECT_EQ(read.time_ms, 1234567);
    EXPECT_TRUE(read.chained);
    ASSERT_EQ(read.run_count, 3u);
    EXPECT_EQ(read.runs[2].fate, NATIVE_NO_TOPIC);
    EXPECT_EQ(read.runs[2].count, 2u);
}

TEST_F(Receipts, GoOnWhereTheyEndedAndKnowTheChain)
{
    Write(1, 3);
    Write(4, 5);

    struct receipts *const receipts = Open();
    uint64_t sequence = 0;
    uint64_t hash = 0;
    EXPECT_TRUE(receipts_last(receipts, 5, &sequence, &hash));
    EXPECT_FALSE(receipts_last(receipts, 6, &sequence, &hash));
    receipts_close(receipts);

    EXPECT_EQ(sequence, 5u);
    EXPECT_EQ(hash, 5000u);
    EXPECT_EQ(Read(), Result(5, STATUS_NOT_FOUND));
}

TEST_F(Receipts, TellATornTailAndCutIt)
{
    for (off_t torn_bytes : {1L, 55L, 56L, 63L}) {
        Write(1, 3);
        ASSERT_EQ(truncate(path_.c_str(), HEADER_BYTES + 2 * ENTRY_BYTES + torn_bytes), 0);
        EXPECT_EQ(Read(), Result(2, STATUS_TRUNCATED)) << torn_bytes;

        receipts_close(Open());

        EXPECT_EQ(Size(), HEADER_BYTES + 2 * ENTRY_BYTES);
        EXPECT_EQ(Read(), Result(2, STATUS_NOT_FOUND));
        unlink(path_.c_str());
    }
}

TEST_F(Receipts, TakeZerosAndABadLastEntryForATornTail)
{
    Write(1, 2);
    ASSERT_EQ(truncate(path_.c_str(), HEADER_BYTES + 2 * ENTRY_BYTES + 5000), 0);
    EXPECT_EQ(Read(), Result(2, STATUS_TRUNCATED));
    receipts_close(Open());

    FlipByteAt(HEADER_BYTES + ENTRY_BYTES + 40);
    EXPECT_EQ(Read(), Result(1, STATUS_TRUNCATED));
}

TEST_F(Receipts, RefuseRotBeforeTheEnd)
{
    Write(1, 3);
    FlipByteAt(HEADER_BYTES + ENTRY_BYTES + 40);

    EXPECT_EQ(Read(), Result(1, STATUS_CORRUPT));
    EXPECT_EQ(Open(STATUS_CORRUPT), nullptr);
    EXPECT_EQ(Size(), HEADER_BYTES + 3 * ENTRY_BYTES) << "nothing was cut";
}

TEST_F(Receipts, BelongToOneProducerAndOneWriter)
{
    Write(1, 1);
    struct receipts *const receipts = Open();

    EXPECT_EQ(Open(STATUS_BUSY), nullptr);
    receipts_close(receipts);
    EXPECT_EQ(Open(STATUS_EXISTS, {{7}}), nullptr);
}

TEST_F(Receipts, RefuseAForeignFileAndALaterVersion)
{
    Write(1, 1);
    FlipByteAt(0);
    EXPECT_EQ(Open(STATUS_CORRUPT), nullptr);
    FlipByteAt(0);
    FlipByteAt(8);
    EXPECT_EQ(Open(STATUS_CORRUPT), nullptr) << "its checksum covers the version";
}

} // namespace
