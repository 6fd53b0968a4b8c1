// read_back.h - everything that a reader would serve from the segments of a disk, batch by batch.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "storage/reader.h"
#include "tests/storage/log_builder.h"

namespace penstock_test {

struct ReadBatch {
    std::string topic;
    uint64_t base_offset;
    uint64_t next_offset;
    enum status status; // of reading its bytes
    std::string bytes;  // on STATUS_OK
};

inline bool operator==(const ReadBatch &left, const ReadBatch &right)
{
    return left.topic == right.topic && left.base_offset == right.base_offset &&
           left.next_offset == right.next_offset && left.status == right.status &&
           left.bytes == right.bytes;
}

struct ReadBack {
    std::vector<ReadBatch> batches; // by topic, then by offset
    bool complete;                  // the reader says that it sees all there is
};

class BatchReader {
  public:
    explicit BatchReader(const SimDisk &disk)
    {
        EXPECT_EQ(reader_create_over(sim_disk_files(disk.get()), "/nonexistent", 1 << 20, &reader_),
                  STATUS_OK);
        reader_refresh(reader_, NS_PER_S);
    }
    ~BatchReader() { reader_destroy(reader_); }
    BatchReader(const BatchReader &) = delete;
    BatchReader &operator=(const BatchReader &) = delete;

    ReadBack All()
    {
        ReadBack out = {{}, reader_partition_complete(reader_, 0)};
        for (size_t topic = 0; topic < reader_topic_count(reader_); topic++) {
            ReadTopic(topic, &out.batches);
        }
        return out;
    }

  private:
    void ReadTopic(size_t topic, std::vector<ReadBatch> *out)
    {
        struct reader_watermarks marks;
        reader_watermarks(reader_, topic, 0, &marks);
        for (uint64_t offset = marks.log_start; offset < marks.high_watermark;) {
            struct batch_location found;
            if (reader_find_offset(reader_, topic, 0, offset, &found) != STATUS_OK) { return; }
            out->push_back({reader_topic_name(reader_, topic), found.base_offset, found.next_offset,
                            STATUS_OK, ""});
            Read(found, &out->back());
            ASSERT_GT(found.next_offset, offset);
            offset = found.next_offset;
        }
    }
    void Read(const struct batch_location &found, ReadBatch *out)
    {
        const std::unique_ptr<uint8_t, decltype(&std::free)> scratch(
            static_cast<uint8_t *>(std::aligned_alloc(
                LOG_BLOCK_BYTES,
                (reader_cold_bytes(&found) / LOG_BLOCK_BYTES + 1) * LOG_BLOCK_BYTES)),
            &std::free);
        const uint8_t *bytes;
        out->status = reader_read_cold(reader_, &found, scratch.get(), &bytes);
        if (out->status == STATUS_OK) {
            out->bytes.assign(reinterpret_cast<const char *>(bytes), found.length_bytes);
        }
    }

    struct reader *reader_ = nullptr;
};

inline ReadBack ReadAll(const SimDisk &disk) { return BatchReader(disk).All(); }

} // namespace penstock_test
