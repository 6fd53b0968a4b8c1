#include "wire/control.h"

#include <gtest/gtest.h>

namespace {

TEST(Control, ComesBackAsItWasSent)
{
    const struct control_message sent = {CONTROL_SUBSCRIBED, STATUS_BUSY};
    uint8_t packet[CONTROL_MESSAGE_BYTES];
    control_message_encode(&sent, packet);

    struct control_message got;
    ASSERT_EQ(control_message_decode(bytes_of(packet, sizeof packet), &got), STATUS_OK);
    EXPECT_EQ(got.type, CONTROL_SUBSCRIBED);
    EXPECT_EQ(got.status, STATUS_BUSY);
}

TEST(Control, RefusesEveryOtherLengthMagicAndVersion)
{
    const struct control_message sent = {CONTROL_SUBSCRIBE, 0};
    uint8_t packet[CONTROL_MESSAGE_BYTES + 1] = {};
    control_message_encode(&sent, packet);
    struct control_message got;

    EXPECT_EQ(control_message_decode(bytes_of(packet, 15), &got), STATUS_TRUNCATED);
    EXPECT_EQ(control_message_decode(bytes_of(packet, 17), &got), STATUS_CORRUPT);
    packet[4]++;
    EXPECT_EQ(control_message_decode(bytes_of(packet, 16), &got), STATUS_UNSUPPORTED);
    packet[0]++;
    EXPECT_EQ(control_message_decode(bytes_of(packet, 16), &got), STATUS_CORRUPT);
}

} // namespace
