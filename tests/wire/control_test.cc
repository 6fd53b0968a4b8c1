#include "wire/control.h"

#include <gtest/gtest.h>

#include <array>

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

} // namespace
