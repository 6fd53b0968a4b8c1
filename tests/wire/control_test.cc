#include "wire/control.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace {

using Message = std::array<uint8_t, CONTROL_MESSAGE_BYTES>;

Message Request(uint16_t type)
{
    Message out;
    const struct control_request request = {type};
    control_request_encode(&request, out.data());
    return out;
}

enum status Decode(const Message &message, struct control_request *out)
{
    return control_request_decode(bytes_of(message.data(), message.size()), out);
}

TEST(Control, SubscribeHasTheDocumentedBytes)
{
    const Message expected = {'P', 'S', 'C', 'T', 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    EXPECT_EQ(Request(CONTROL_SUBSCRIBE), expected);
}

TEST(Control, AnAnswerHasTheDocumentedBytes)
{
    const Message expected = {'P', 'S', 'C', 'T', 1, 0, 1, 0x80, STATUS_BUSY, 0, 0, 0, 0, 0, 0, 0};
    const struct control_answer answer = {CONTROL_SUBSCRIBE, STATUS_BUSY};
    Message out;

    control_answer_encode(&answer, out.data());

    EXPECT_EQ(out, expected);
}

TEST(Control, DecodesWhatItEncoded)
{
    const struct control_answer answer = {CONTROL_SUBSCRIBE, STATUS_CLOSED};
    Message out;
    control_answer_encode(&answer, out.data());
    struct control_request request;
    struct control_answer decoded;

    ASSERT_EQ(Decode(Request(7), &request), STATUS_OK);
    ASSERT_EQ(control_answer_decode(bytes_of(out.data(), out.size()), &decoded), STATUS_OK);

    EXPECT_EQ(request.type, 7);
    EXPECT_EQ(decoded.type, CONTROL_SUBSCRIBE);
    EXPECT_EQ(decoded.status, STATUS_CLOSED);
}

TEST(Control, RefusesAnotherLengthMagicVersionAndDirection)
{
    struct control_request request;
    const Message good = Request(CONTROL_SUBSCRIBE);
    Message bad_magic = good;
    bad_magic[0] = 'Q';
    Message bad_version = good;
    bad_version[4] = 2;
    Message answer = good;
    answer[7] = 0x80;

    EXPECT_EQ(control_request_decode(bytes_of(good.data(), 15), &request), STATUS_TRUNCATED);
    EXPECT_EQ(Decode(bad_magic, &request), STATUS_CORRUPT);
    EXPECT_EQ(Decode(bad_version, &request), STATUS_UNSUPPORTED);
    EXPECT_EQ(Decode(answer, &request), STATUS_CORRUPT);
}

TEST(Control, AnUnknownStatusReadsAsAnError)
{
    Message answer = Request(CONTROL_SUBSCRIBE);
    answer[7] = 0x80;
    answer[8] = 200;
    struct control_answer decoded;

    ASSERT_EQ(control_answer_decode(bytes_of(answer.data(), answer.size()), &decoded), STATUS_OK);

    EXPECT_EQ(decoded.status, STATUS_IO);
}

std::vector<uint8_t> Report(const std::string &text)
{
    std::vector<uint8_t> out(CONTROL_REPORT_BYTES_MAX);
    const struct control_report report = {0x0123456789abcdef, 7, 250, 2,
                                          bytes_of(text.data(), text.size())};
    out.resize(control_report_encode(&report, out.data()));
    return out;
}

enum status DecodeReport(const std::vector<uint8_t> &packet, struct control_report *out)
{
    return control_report_decode(bytes_of(packet.data(), packet.size()), out);
}

TEST(ControlReport, HasTheDocumentedBytes)
{
    const std::vector<uint8_t> expected = {
        'P', 'S', 'C', 'R', 1, 0, 0, 0, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 7,   0,
        0,   0,   250, 0,   0, 0, 2, 0, 0,    0,    3,    0,    0,    0,    'n',  'o',  '\n'};

    EXPECT_EQ(Report("no\n"), expected);
}

TEST(ControlReport, ComesBackAsItWent)
{
    struct control_report report;
    const std::vector<uint8_t> packet = Report("a\nb\n");

    ASSERT_EQ(DecodeReport(packet, &report), STATUS_OK);

    EXPECT_EQ(report.epoch, 0x0123456789abcdefU);
    EXPECT_EQ(report.rule_count, 7U);
    EXPECT_EQ(report.took_ms, 250U);
    EXPECT_EQ(report.worker_count, 2U);
    EXPECT_TRUE(bytes_equal_text(report.text, "a\nb\n"));
}

TEST(ControlReport, IsCutBehindAWholeLine)
{
    const std::string line(999, 'x');
    std::string text;
    while (text.size() <= CONTROL_TEXT_BYTES_MAX) { text += line + "\n"; }
    struct control_report report;

    ASSERT_EQ(DecodeReport(Report(text), &report), STATUS_OK);

    EXPECT_EQ(report.text.len_bytes, CONTROL_TEXT_BYTES_MAX / 1000 * 1000U);
}

TEST(ControlReport, ALineLongerThanAllRoomIsCutInIt)
{
    struct control_report report;

    ASSERT_EQ(DecodeReport(Report(std::string(CONTROL_TEXT_BYTES_MAX + 1, 'x')), &report),
              STATUS_OK);

    EXPECT_EQ(report.text.len_bytes, size_t{CONTROL_TEXT_BYTES_MAX});
}

TEST(ControlReport, RefusesOneByteLessAndOneMore)
{
    struct control_report report;
    std::vector<uint8_t> packet = Report("text\n");
    packet.pop_back();
    EXPECT_EQ(DecodeReport(packet, &report), STATUS_TRUNCATED);
    packet.push_back('\n');
    packet.push_back('\n');
    EXPECT_EQ(DecodeReport(packet, &report), STATUS_CORRUPT);
    packet.resize(CONTROL_REPORT_BYTES - 1);
    EXPECT_EQ(DecodeReport(packet, &report), STATUS_TRUNCATED);
}

TEST(ControlReport, RefusesAnotherMagicVersionAndATextThatIsTooLong)
{
    struct control_report report;
    std::vector<uint8_t> packet = Report("text\n");
    packet[3] = 'T';
    EXPECT_EQ(DecodeReport(packet, &report), STATUS_CORRUPT);
    packet[3] = 'R';
    packet[4] = 2;
    EXPECT_EQ(DecodeReport(packet, &report), STATUS_UNSUPPORTED);
    packet[4] = 1;
    packet[30] = 2; // 128 KiB
    EXPECT_EQ(DecodeReport(packet, &report), STATUS_CORRUPT);
}

TEST(Control, AnAddressIsRefusedThatNoSocketCanHave)
{
    struct sockaddr_un address;
    EXPECT_TRUE(control_address("/dev/shm/penstock", &address));
    EXPECT_STREQ(address.sun_path, "/dev/shm/penstock/control.sock");
    EXPECT_FALSE(control_address(("/" + std::string(120, 'x')).c_str(), &address));
}

} // namespace
