#include "wire/record_codec.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

struct PackerDeleter {
    void operator()(struct record_packer *packer) const { record_packer_destroy(packer); }
};
using Packer = std::unique_ptr<struct record_packer, PackerDeleter>;

struct bytes View(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }

Packer Create(enum record_codec codec, size_t plain_bytes_max = 4 << 20)
{
    struct record_packer *packer = nullptr;
    EXPECT_EQ(record_packer_create(codec, plain_bytes_max, &packer), STATUS_OK);
    return Packer(packer);
}

Bytes Lines(size_t bytes, unsigned seed = 1)
{
    std::mt19937 random(seed);
    std::string out;
    while (out.size() < bytes) {
        out += "2026-03-01T12:00:0" + std::to_string(random() % 10) + " host-" +
               std::to_string(random() % 50) + " sshd[" + std::to_string(random() % 30000) +
               "]: connection from 10.0." + std::to_string(random() % 256) + "." +
               std::to_string(random() % 256) + " accepted\n";
    }
    return Bytes(out.begin(), out.begin() + static_cast<ptrdiff_t>(bytes));
}

Bytes Noise(size_t bytes, unsigned seed = 2)
{
    std::mt19937 random(seed);
    Bytes out(bytes);
    for (uint8_t &byte : out) { byte = static_cast<uint8_t>(random()); }
    return out;
}

// Exactly as large as it is told: a sanitizer sees one byte more.
Bytes Pack(struct record_packer *packer, const Bytes &plain, size_t capacity_bytes)
{
    std::unique_ptr<uint8_t[]> room(new uint8_t[capacity_bytes + 1]);
    const size_t packed_bytes = record_packer_pack(packer, View(plain), room.get(), capacity_bytes);
    EXPECT_LE(packed_bytes, capacity_bytes);
    return Bytes(room.get(), room.get() + packed_bytes);
}

enum status Unpack(enum record_codec codec, const Bytes &packed, size_t capacity_bytes, Bytes *out)
{
    out->resize(capacity_bytes);
    size_t unpacked_bytes = 0;
    const enum status status =
        record_codec_unpack(codec, View(packed), out->data(), capacity_bytes, &unpacked_bytes);
    EXPECT_LE(unpacked_bytes, capacity_bytes);
    out->resize(unpacked_bytes);
    return status;
}

class EveryCodec : public testing::TestWithParam<enum record_codec> {};

INSTANTIATE_TEST_SUITE_P(RecordCodec, EveryCodec,
                         testing::Values(RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD),
                         [](const auto &info) {
                             return std::string(record_codec_text(info.param));
                         });

TEST_P(EveryCodec, GivesBackWhatItTookAtEveryLengthAroundABlock)
{
    const Packer packer = Create(GetParam());
    for (size_t bytes : {1U, 2U, 61U, 4096U, 65535U, 65536U, 65537U, 131072U, 1000003U, 4U << 20}) {
        const Bytes plain = Lines(bytes);
        const Bytes packed = Pack(packer.get(), plain, bytes + 100 + bytes / 1000);
        ASSERT_FALSE(packed.empty()) << bytes;
        Bytes unpacked;
        ASSERT_EQ(Unpack(GetParam(), packed, bytes, &unpacked), STATUS_OK) << bytes;
        EXPECT_EQ(unpacked, plain) << bytes;
        if (bytes >= 4096) { EXPECT_LT(packed.size(), bytes / 2) << bytes; }
    }
}

TEST_P(EveryCodec, NoiseFitsIntoNothingSmaller)
{
    const Packer packer = Create(GetParam());
    const Bytes plain = Noise(100000);
    EXPECT_TRUE(Pack(packer.get(), plain, plain.size() - plain.size() / 16).empty());
    // Behind a refusal the packer is as good as new.
    const Bytes lines = Lines(100000);
    Bytes unpacked;
    ASSERT_EQ(Unpack(GetParam(), Pack(packer.get(), lines, lines.size()), lines.size(), &unpacked),
              STATUS_OK);
    EXPECT_EQ(unpacked, lines);
}

TEST_P(EveryCodec, ABlockThatDoesNotShrinkIsCarriedAlong)
{
    const Packer packer = Create(GetParam());
    Bytes plain = Lines(200000);
    const Bytes noise = Noise(65536);
    std::copy(noise.begin(), noise.end(), plain.begin() + 65536);
    Bytes unpacked;
    const Bytes packed = Pack(packer.get(), plain, plain.size());
    ASSERT_FALSE(packed.empty());
    ASSERT_EQ(Unpack(GetParam(), packed, plain.size(), &unpacked), STATUS_OK);
    EXPECT_EQ(unpacked, plain);
}

TEST_P(EveryCodec, NeverWritesBeyondItsRoom)
{
    const Packer packer = Create(GetParam());
    const Bytes plain = Lines(70000);
    const size_t whole = Pack(packer.get(), plain, plain.size()).size();
    for (size_t room = 0; room < whole; room += room < 40 ? 1 : 997) {
        EXPECT_TRUE(Pack(packer.get(), plain, room).empty()) << room;
    }
}

TEST_P(EveryCodec, TheSameBytesAgainPackTheSame)
{
    const Packer packer = Create(GetParam());
    const Bytes plain = Lines(50000);
    const Bytes first = Pack(packer.get(), plain, plain.size());
    (void)Pack(packer.get(), Lines(90000, 7), 90000);
    EXPECT_EQ(Pack(packer.get(), plain, plain.size()), first);
}

TEST_P(EveryCodec, MoreThanThereIsRoomForIsCorrupt)
{
    const Packer packer = Create(GetParam());
    const Bytes plain = Lines(100000);
    const Bytes packed = Pack(packer.get(), plain, plain.size());
    Bytes unpacked;
    EXPECT_EQ(Unpack(GetParam(), packed, plain.size() - 1, &unpacked), STATUS_CORRUPT);
    EXPECT_EQ(Unpack(GetParam(), packed, 0, &unpacked), STATUS_CORRUPT);
    EXPECT_EQ(Unpack(GetParam(), packed, plain.size() + 100, &unpacked), STATUS_OK);
}

TEST_P(EveryCodec, CutShortOrWithMoreBehindItIsCorrupt)
{
    const Packer packer = Create(GetParam());
    const Bytes plain = Lines(3000);
    const Bytes packed = Pack(packer.get(), plain, plain.size());
    Bytes unpacked;
    for (size_t bytes = 0; bytes < packed.size(); bytes++) {
        const Bytes cut(packed.begin(), packed.begin() + static_cast<ptrdiff_t>(bytes));
        EXPECT_EQ(Unpack(GetParam(), cut, plain.size(), &unpacked), STATUS_CORRUPT) << bytes;
    }
    Bytes longer = packed;
    longer.push_back(0);
    EXPECT_EQ(Unpack(GetParam(), longer, plain.size(), &unpacked), STATUS_CORRUPT);
    Bytes twice = packed;
    twice.insert(twice.end(), packed.begin(), packed.end());
    EXPECT_EQ(Unpack(GetParam(), twice, plain.size() * 2, &unpacked), STATUS_CORRUPT);
}

TEST_P(EveryCodec, AnyFlippedByteIsTakenOrRefusedAndNothingElse)
{
    const Packer packer = Create(GetParam());
    const Bytes plain = Lines(3000);
    const Bytes packed = Pack(packer.get(), plain, plain.size());
    for (size_t at = 0; at < packed.size(); at++) {
        Bytes flipped = packed;
        flipped[at] ^= 0x41;
        Bytes unpacked;
        const enum status status = Unpack(GetParam(), flipped, plain.size(), &unpacked);
        EXPECT_TRUE(status == STATUS_OK || status == STATUS_CORRUPT) << at;
    }
}

TEST(RecordCodec, Lz4IsAFrameOfIndependentBlocksWithoutChecksums)
{
    const Packer packer = Create(RECORD_CODEC_LZ4);
    const Bytes packed = Pack(packer.get(), Lines(1000), 1000);
    const Bytes head(packed.begin(), packed.begin() + 7);
    EXPECT_EQ(head, (Bytes{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}));
    EXPECT_EQ(Bytes(packed.end() - 4, packed.end()), (Bytes{0, 0, 0, 0}));
}

TEST(RecordCodec, ZstdIsOneFrameWithItsContentSize)
{
    const Packer packer = Create(RECORD_CODEC_ZSTD);
    const Bytes packed = Pack(packer.get(), Lines(1000), 1000);
    const Bytes magic(packed.begin(), packed.begin() + 4);
    EXPECT_EQ(magic, (Bytes{0x28, 0xb5, 0x2f, 0xfd}));
    EXPECT_EQ(packed[4] & 0x04, 0) << "no checksum: the batch has one";
    EXPECT_EQ(packed[4] & 0x20, 0x20) << "one segment: its size is there";
}

TEST(RecordCodec, WhatIsNoCodecIsRefused)
{
    struct record_packer *packer = nullptr;
    EXPECT_EQ(record_packer_create(RECORD_CODEC_NONE, 100, &packer), STATUS_INVALID);
    EXPECT_EQ(record_packer_create(RECORD_CODEC_LZ4, 0, &packer), STATUS_INVALID);
    EXPECT_EQ(record_packer_create(RECORD_CODEC_LZ4, RECORD_UNPACKED_BYTES_MAX + 1, &packer),
              STATUS_INVALID);
    Bytes unpacked;
    EXPECT_EQ(Unpack(RECORD_CODEC_NONE, {1, 2, 3}, 10, &unpacked), STATUS_UNSUPPORTED);
}

} // namespace
