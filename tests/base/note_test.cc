#include "base/note.h"

#include <gtest/gtest.h>

#include <memory>

namespace {

TEST(Note, ArrivesInOrderWithItsOrigin)
{
    auto ring = std::make_unique<struct note_ring>();
    note_ring_init(ring.get(), /*origin=*/7);

    note_post(ring.get(), NOTE_SEGMENT_OPENED, STATUS_OK, 1, 100);
    note_post(ring.get(), NOTE_LOG_CLOSED, STATUS_IO, 2, 200);

    struct note note;
    ASSERT_TRUE(note_take(ring.get(), &note));
    EXPECT_EQ(note.code, NOTE_SEGMENT_OPENED);
    EXPECT_EQ(note.origin, 7U);
    ASSERT_TRUE(note_take(ring.get(), &note));
    EXPECT_EQ(note.why, STATUS_IO);
    EXPECT_EQ(note.other, 200U);
    EXPECT_FALSE(note_take(ring.get(), &note));
}

TEST(Note, AFullRingKeepsTheOldestAndCountsTheRest)
{
    auto ring = std::make_unique<struct note_ring>();
    note_ring_init(ring.get(), 0);
    for (uint64_t i = 0; i < NOTE_RING_CAPACITY + 3; i++) {
        note_post(ring.get(), NOTE_SEGMENT_OPENED, STATUS_OK, i, 0);
    }

    struct note note;
    ASSERT_TRUE(note_take(ring.get(), &note));
    EXPECT_EQ(note.value, 0U);
    EXPECT_EQ(note_take_lost(ring.get()), 3U);
    EXPECT_EQ(note_take_lost(ring.get()), 0U);
}

} // namespace
