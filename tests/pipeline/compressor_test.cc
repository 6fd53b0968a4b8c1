#include "pipeline/compressor.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/cycles.h"
#include "pipeline/compression_meter.h"
#include "wire/record_codec.h"

namespace {

constexpr uint64_t kSecond = NS_PER_S;
constexpr uint64_t kMillisecond = NS_PER_MS;
constexpr uint64_t kNow = 1000 * kSecond;

class Compressor : public testing::Test {
  protected:
    void Create(uint32_t share_percent)
    {
        struct compressor_options options = {};
        options.lz4 = true;
        options.zstd = true;
        options.batch_bytes_max = 2 << 20;
        options.share_percent = share_percent;
        options.stats = stats_.get();
        struct compressor *made = nullptr;
        ASSERT_EQ(compressor_create(&options, &made), STATUS_OK);
        compressor_.reset(made);

        struct batch_options batch = {};
        batch.topic_count = 1;
        batch.records_max = 20000;
        batch.headers_max = 1;
        batch.encoded_bytes_max = 2 << 20;
        struct batch *made_batch = nullptr;
        ASSERT_EQ(batch_create(&batch, &made_batch), STATUS_OK);
        batch_.reset(made_batch);
    }

    void Fill(const std::vector<std::string> &values)
    {
        values_ = values;
        batch_clear(batch_.get());
        const uint16_t topic = 0;
        int64_t timestamp_ms = 1700000000000;
        for (const std::string &value : values_) {
            struct record record = {};
            record.key = bytes_null();
            record.value = bytes_of(value.data(), value.size());
            record.timestamp_ms = timestamp_ms++;
            ASSERT_EQ(batch_add(batch_.get(), &record, &topic, 1), STATUS_OK);
        }
    }

    // Encodes what was filled in, and packs it.
    struct batch_encoded Pack(enum record_codec codec, uint64_t now_ns = kNow)
    {
        bytes_.assign(batch_encoded_bytes(batch_.get()), 0);
        struct sink sink = sink_into(bytes_.data(), bytes_.size());
        plain_ = batch_encode(batch_.get(), 0, 77, 5, &sink);
        plain_bytes_ = bytes_;
        compressor_begin(compressor_.get(), now_ns);
        return compressor_pack(compressor_.get(), codec, bytes_.data(), &plain_);
    }

    // Everything that a consumer can see, but the codec and the bytes.
    void ExpectAsFilled(const struct batch_encoded &told, enum record_codec codec)
    {
        const struct bytes batch = bytes_of(bytes_.data(), told.length_bytes);
        struct record_batch_header plain;
        struct record_batch_header header;
        ASSERT_EQ(
            record_batch_header_decode(bytes_of(plain_bytes_.data(), plain_.length_bytes), &plain),
            STATUS_OK);
        ASSERT_EQ(record_batch_header_decode(batch, &header), STATUS_OK);
        EXPECT_TRUE(record_batch_crc_holds(batch));
        EXPECT_EQ(told.crc32c, crc32c(batch));
        EXPECT_EQ(header.length_bytes, static_cast<int32_t>(told.length_bytes));
        EXPECT_EQ(header.attributes, codec);
        EXPECT_EQ(header.base_offset, 77);
        EXPECT_EQ(header.leader_epoch, 5);
        EXPECT_EQ(header.last_offset_delta, plain.last_offset_delta);
        EXPECT_EQ(header.base_timestamp_ms, plain.base_timestamp_ms);
        EXPECT_EQ(header.max_timestamp_ms, plain.max_timestamp_ms);
        EXPECT_EQ(header.record_count, plain.record_count);
        EXPECT_EQ(header.producer_id, -1);
        EXPECT_EQ(told.record_count, values_.size());
        EXPECT_EQ(told.max_timestamp_ms, plain_.max_timestamp_ms);

        struct record_batch_walk walk;
        uint8_t *unpacked;
        ASSERT_EQ(record_codec_walk_begin(&walk, batch, &header, &unpacked), STATUS_OK);
        EXPECT_EQ(unpacked != nullptr, codec != RECORD_CODEC_NONE);
        struct record_batch_record record;
        size_t count = 0;
        enum status status;
        while ((status = record_batch_next(&walk, &record)) == STATUS_OK) {
            ASSERT_LT(count, values_.size());
            ASSERT_EQ(std::string(reinterpret_cast<const char *>(record.value.at),
                                  record.value.len_bytes),
                      values_[count]);
            ASSERT_EQ(record.offset, 77 + static_cast<int64_t>(count));
            ASSERT_EQ(record.timestamp_ms, 1700000000000 + static_cast<int64_t>(count));
            count++;
        }
        EXPECT_EQ(status, STATUS_NOT_FOUND);
        EXPECT_EQ(count, values_.size());
        free(unpacked);
    }

    uint64_t Counted(enum stats_counter counter) const { return stats_->counters[counter]; }

    struct CompressorDeleter {
        void operator()(struct compressor *compressor) const { compressor_destroy(compressor); }
    };
    struct BatchDeleter {
        void operator()(struct batch *batch) const { batch_destroy(batch); }
    };
    std::unique_ptr<struct stats_page> stats_ = std::make_unique<struct stats_page>();
    std::unique_ptr<struct compressor, CompressorDeleter> compressor_;
    std::unique_ptr<struct batch, BatchDeleter> batch_;
    std::vector<std::string> values_;
    std::vector<uint8_t> bytes_;
    std::vector<uint8_t> plain_bytes_;
    struct batch_encoded plain_ = {};
};

std::vector<std::string> Lines(size_t count)
{
    std::mt19937 random(7);
    std::vector<std::string> out;
    for (size_t i = 0; i < count; i++) {
        out.push_back("2026-03-01T12:00:00Z host-" + std::to_string(random() % 50) + " nginx[" +
                      std::to_string(random() % 30000) + "]: 10.0." +
                      std::to_string(random() % 256) + "." + std::to_string(random() % 256) +
                      " GET /api/v1/items/" + std::to_string(random() % 100000) + " 200 " +
                      std::to_string(random() % 90000) + " \"Mozilla/5.0 (X11; Linux x86_64)\"");
    }
    return out;
}

std::vector<std::string> Noise(size_t count)
{
    std::mt19937 random(8);
    std::vector<std::string> out;
    for (size_t i = 0; i < count; i++) {
        std::string value(120, '\0');
        for (char &byte : value) { byte = static_cast<char>(random()); }
        out.push_back(value);
    }
    return out;
}

TEST_F(Compressor, PacksAndChangesNothingThatAConsumerSees)
{
    Create(100);
    for (enum record_codec codec : {RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD}) {
        Fill(Lines(1000));
        const struct batch_encoded told = Pack(codec, kNow);
        EXPECT_LT(told.length_bytes, plain_.length_bytes / 2);
        ExpectAsFilled(told, codec);
    }
    EXPECT_EQ(Counted(STATS_batches_compressed), 2U);
    EXPECT_EQ(Counted(STATS_compression_in_bytes),
              2U * (plain_.length_bytes - RECORD_BATCH_HEADER_BYTES));
    EXPECT_GT(Counted(STATS_compression_out_bytes), 0U);
    EXPECT_LT(Counted(STATS_compression_out_bytes), Counted(STATS_compression_in_bytes) / 2);
    EXPECT_GT(Counted(STATS_compression_cycles), 0U);
}

TEST_F(Compressor, WhatDoesNotGetSmallerStaysPlainAndIsCounted)
{
    Create(100);
    for (enum record_codec codec : {RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD}) {
        Fill(Noise(500));
        const struct batch_encoded told = Pack(codec);
        EXPECT_EQ(bytes_, plain_bytes_);
        EXPECT_EQ(told.length_bytes, plain_.length_bytes);
        EXPECT_EQ(told.crc32c, plain_.crc32c);
        ExpectAsFilled(told, RECORD_CODEC_NONE);
    }
    Fill({"x"});
    ExpectAsFilled(Pack(RECORD_CODEC_ZSTD), RECORD_CODEC_NONE);
    EXPECT_EQ(Counted(STATS_batches_plain_no_gain), 3U);
    EXPECT_EQ(Counted(STATS_batches_compressed), 0U);
    EXPECT_EQ(Counted(STATS_compression_in_bytes), 0U);
    EXPECT_GT(Counted(STATS_compression_cycles), 0U) << "tried in vain: time went all the same";
}

TEST_F(Compressor, WithoutTimeItStaysPlainAndIsCounted)
{
    Create(0);
    Fill(Lines(1000));
    const struct batch_encoded told = Pack(RECORD_CODEC_LZ4);
    EXPECT_EQ(bytes_, plain_bytes_);
    ExpectAsFilled(told, RECORD_CODEC_NONE);
    EXPECT_EQ(Counted(STATS_batches_plain_no_time), 1U);
    EXPECT_EQ(Counted(STATS_compression_cycles), 0U);
}

// Time stands still: the balance of the start is spent, and then everything is plain.
TEST_F(Compressor, SpendsWhatItHasAndThenStoresPlain)
{
    Create(100);
    Fill(Lines(8000));
    int packed = 0;
    while (Counted(STATS_batches_plain_no_time) == 0 && packed < 1000) {
        (void)Pack(RECORD_CODEC_ZSTD, kNow);
        packed++;
    }
    EXPECT_GT(Counted(STATS_batches_compressed), 0U);
    EXPECT_LT(packed, 1000);
    ExpectAsFilled(plain_, RECORD_CODEC_NONE);
    // An hour later there is time again.
    (void)Pack(RECORD_CODEC_LZ4, kNow + 3600 * kSecond);
    (void)Pack(RECORD_CODEC_LZ4, kNow + 7200 * kSecond);
    EXPECT_EQ(Counted(STATS_batches_plain_no_time), 1U);
}

// Prints what docs/log-format.md tells; asserts only that it is some work and not madness.
TEST_F(Compressor, CostOfLines)
{
    Create(100);
    Fill(Lines(6000));
    for (enum record_codec codec : {RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD}) {
        *stats_ = {};
        uint64_t best_cycles = UINT64_MAX;
        struct batch_encoded told = {};
        for (uint64_t i = 1; i <= 40; i++) {
            const uint64_t before = Counted(STATS_compression_cycles);
            told = Pack(codec, kNow + i * 3600 * kSecond);
            const uint64_t cycles = Counted(STATS_compression_cycles) - before;
            if (cycles > 0 && cycles < best_cycles) { best_cycles = cycles; }
        }
        const double ns =
            static_cast<double>(best_cycles) * 1e9 / static_cast<double>(cycles_per_second());
        printf("%s: %u bytes to %u (%.1f%%), %.2f ns a byte\n", record_codec_text(codec),
               plain_.length_bytes, told.length_bytes,
               100.0 * told.length_bytes / plain_.length_bytes, ns / plain_.length_bytes);
        EXPECT_GT(Counted(STATS_batches_compressed), 0U);
        EXPECT_LT(told.length_bytes, plain_.length_bytes / 2);
    }
}

// ------------------------------------------------------------------------------------ the meter

class Meter : public testing::Test {
  protected:
    void Init(uint32_t share_percent)
    {
        compression_meter_init(&meter_, share_percent);
        compression_meter_fill(&meter_, now_ns_);
    }
    void Pass(uint64_t ns) { compression_meter_fill(&meter_, now_ns_ += ns); }
    bool Allows(size_t bytes) { return compression_meter_allows(&meter_, RECORD_CODEC_LZ4, bytes); }
    void Charge(size_t bytes, uint64_t ns)
    {
        compression_meter_charge(&meter_, RECORD_CODEC_LZ4, bytes, ns);
    }

    struct compression_meter meter_ = {};
    uint64_t now_ns_ = kNow;
};

TEST_F(Meter, TakesNoMoreThanItsShareOfTheTime)
{
    for (uint32_t share : {1U, 25U, 60U, 100U}) {
        Init(share);
        uint64_t spent_ns = 0;
        const uint64_t second_ns = kSecond;
        for (uint64_t passed = 0; passed < second_ns; passed += kMillisecond) {
            Pass(kMillisecond);
            for (int i = 0; i < 20 && Allows(100000); i++) {
                Charge(100000, 200000);
                spent_ns += 200000;
            }
        }
        EXPECT_LE(spent_ns, second_ns * share / 100 + COMPRESSION_BURST_NS + 200000) << share;
        EXPECT_GE(spent_ns, second_ns * share / 100 * 9 / 10) << share;
    }
}

TEST_F(Meter, OneCommitSpendsNoMoreThanTheBurst)
{
    Init(100);
    Pass(3600 * kSecond);
    uint64_t spent_ns = 0;
    for (int i = 0; i < 10000 && Allows(50000); i++) {
        Charge(50000, 150000);
        spent_ns += 150000;
    }
    EXPECT_LE(spent_ns, static_cast<uint64_t>(COMPRESSION_BURST_NS));
    EXPECT_GT(spent_ns, static_cast<uint64_t>(COMPRESSION_BURST_NS) / 2);
}

TEST_F(Meter, LearnsWhatABatchTakesAndRefusesBeforeItBegins)
{
    Init(100);
    EXPECT_TRUE(Allows(1 << 20));
    for (int i = 0; i < 100; i++) {
        Charge(100000, 2000000); // 20 ns a byte: a slow machine
        Pass(kSecond);
    }
    EXPECT_FALSE(Allows(1 << 20)) << "21 ms";
    EXPECT_TRUE(Allows(300000)) << "6 ms";
}

TEST_F(Meter, OneAccidentDoesNotEndIt)
{
    Init(25);
    Charge(1 << 20, 10 * kSecond); // the core was away
    int refused = 0;
    for (; refused < 10000; refused++) {
        Pass(2 * kMillisecond);
        if (Allows(1 << 20)) { break; }
    }
    EXPECT_LT(refused, 1000) << "two seconds";
}

TEST_F(Meter, SlowForGoodIsTriedAgainNowAndThenOnly)
{
    Init(25);
    int tried = 0;
    for (int i = 0; i < 10000; i++) {
        Pass(2 * kMillisecond);
        if (!Allows(1 << 20)) { continue; }
        Charge(1 << 20, 40 * kMillisecond);
        tried++;
    }
    EXPECT_GT(tried, 0);
    EXPECT_LE(static_cast<uint64_t>(tried) * 40 * kMillisecond, 20 * kSecond * 30 / 100);
}

TEST_F(Meter, ShareOfNothingAllowsNothing)
{
    Init(0);
    Pass(3600 * kSecond);
    EXPECT_FALSE(Allows(1));
}

TEST_F(Meter, ShortBatchesDoNotSpoilTheGuessForLongOnes)
{
    Init(100);
    for (int i = 0; i < 1000; i++) {
        Pass(kMillisecond);
        Charge(100, 5000); // 50 ns a byte, nearly all of it for beginning
    }
    EXPECT_TRUE(Allows(1 << 20));
}

TEST_F(Meter, CodecsAreLearntApart)
{
    Init(100);
    for (int i = 0; i < 100; i++) {
        Charge(100000, 4000000);
        Pass(kSecond);
    }
    EXPECT_FALSE(Allows(1 << 20));
    EXPECT_TRUE(compression_meter_allows(&meter_, RECORD_CODEC_ZSTD, 1 << 20));
}

} // namespace
