#include "nic/checksum.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/endian.h"

namespace {

// RFC 1071 as it is written: 16-bit big-endian words, end-around carry.
uint16_t ByTheBook(const std::vector<uint8_t> &bytes)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.size(); i++) {
        sum += i % 2 == 0 ? static_cast<uint32_t>(bytes[i] << 8) : bytes[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(~sum);
}

uint16_t BigEndian(uint16_t finished)
{
    uint8_t field[2];
    store_le16(field, finished);
    return load_be16(field);
}

uint16_t Ours(const std::vector<uint8_t> &bytes)
{
    return BigEndian(checksum_finish(checksum_add(0, bytes_of(bytes.data(), bytes.size()))));
}

TEST(Checksum, AgreesWithTheExampleOfRfc1071)
{
    EXPECT_EQ(Ours({0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}), 0x220d); // ~ddf2
}

TEST(Checksum, AgreesWithAHeaderFromTheWire)
{
    const std::vector<uint8_t> header = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40,
                                         0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
                                         0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

    EXPECT_EQ(Ours(header), 0xb861);
}

class ChecksumLength : public testing::TestWithParam<size_t> {};

TEST_P(ChecksumLength, AgreesWithTheBookAtAnyLengthAndContent)
{
    std::vector<uint8_t> rising(GetParam());
    const std::vector<uint8_t> ones(GetParam(), 0xff);
    for (size_t i = 0; i < rising.size(); i++) { rising[i] = static_cast<uint8_t>(i * 37 + 11); }

    EXPECT_EQ(Ours(rising), ByTheBook(rising));
    EXPECT_EQ(Ours(ones), ByTheBook(ones));
}

INSTANTIATE_TEST_SUITE_P(Lengths, ChecksumLength,
                         testing::Values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1480,
                                         65535));

TEST(Checksum, CanBeAddedUpInParts)
{
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

    const uint64_t parts =
        checksum_add(checksum_add(0, bytes_of(bytes, 6)), bytes_of(bytes + 6, 6));

    EXPECT_EQ(checksum_finish(parts), checksum_finish(checksum_add(0, bytes_of(bytes, 12))));
}

TEST(Checksum, CoversThePseudoHeaderOfRfc768)
{
    const std::vector<uint8_t> pseudo = {192, 0, 2, 1, 192, 0, 2, 10, 0, 17, 0x12, 0x34};

    EXPECT_EQ(
        BigEndian(checksum_finish(checksum_pseudo_header(0xc0000201, 0xc000020a, 17, 0x1234))),
        ByTheBook(pseudo));
}

} // namespace
