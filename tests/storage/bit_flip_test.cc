// One bit flipped in every byte of a segment: in the midst of a log, the newest that is sealed, and
// the one that a kill left open. What each byte means is worked out here from docs/log-format.md,
// not from the product's decoders; a byte is inert when that document puts it under no checksum.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/endian.h"
#include "tests/storage/lane_builder.h"
#include "tests/storage/read_back.h"
#include "tests/storage/recovery_rig.h"
#include "tools/log_verify.h"

namespace {

using namespace penstock_test;

constexpr uint64_t CAPACITY = 7 * LOG_BLOCK_BYTES; // header, commits, footer, zeros, trailer
constexpr uint64_t TRAILER = CAPACITY - LOG_BLOCK_BYTES;

// ------------------------------------------------------------------- what a byte means

enum class Meaning { kInert, kHeader, kDirectory, kEntry, kTrailer, kZeros };

struct Place {
    Meaning meaning;
    uint64_t begin; // of what a flip in it damages
    uint64_t end;
    uint64_t commit_number; // of a directory or an entry; 0: none
    uint16_t entry_type;    // of an entry
};

constexpr uint16_t RECORDS = 1; // "type" of an entry
constexpr uint64_t HEADER_BYTES = 256;
constexpr uint64_t COMMIT_HEADER_BYTES = 128;
constexpr uint64_t LINE_BYTES = 48;
constexpr uint64_t TRAILER_BYTES = 64;

void Mark(std::vector<Place> *map, uint64_t begin, uint64_t end, const Place &place)
{
    for (uint64_t at = begin; at < end; at++) { (*map)[at] = place; }
}

// Commits stand back to back from the second block on, to the first block that begins with zeros.
std::vector<Place> MapOf(const uint8_t *segment)
{
    std::vector<Place> map(CAPACITY, {Meaning::kInert, 0, 0, 0, 0});
    Mark(&map, 0, HEADER_BYTES, {Meaning::kHeader, 0, LOG_BLOCK_BYTES, 0, 0});
    uint64_t at = LOG_BLOCK_BYTES;
    while (at < TRAILER && load_le64(segment + at) != 0) {
        const uint8_t *const commit = segment + at;
        const uint64_t end = at + load_le32(commit + 72);
        const uint64_t number = load_le64(commit + 56);
        const uint32_t lines = load_le32(commit + 68);
        Mark(&map, at, at + COMMIT_HEADER_BYTES + lines * LINE_BYTES,
             {Meaning::kDirectory, at, end, number, 0});
        for (uint32_t i = 0; i < lines; i++) {
            const uint8_t *const line = commit + COMMIT_HEADER_BYTES + i * LINE_BYTES;
            const uint64_t begin = at + load_le32(line + 28);
            const uint64_t entry_end = begin + load_le32(line + 32);
            Mark(&map, begin, entry_end,
                 {Meaning::kEntry, begin, entry_end, number, load_le16(line)});
        }
        at = end;
    }
    Mark(&map, at, TRAILER, {Meaning::kZeros, at, TRAILER, 0, 0});
    if (load_le64(segment + TRAILER) != 0) {
        Mark(&map, TRAILER, TRAILER + TRAILER_BYTES, {Meaning::kTrailer, TRAILER, CAPACITY, 0, 0});
    }
    return map;
}

// --------------------------------------------------------------------------- the log

std::string Filled(size_t bytes, char fill) { return std::string(bytes, fill); }

// Three commits of two topics and a lane, nearly full of records: 3 blocks.
void Fill(LogBuilder &log)
{
    const auto fill = static_cast<char>('a' + log.NextCommit());
    log.Lanes({LaneItem(9, 0, 1, {{NATIVE_DROPPED, 2}})});
    log.Commit({{0, 1, 0, 1000, {Filled(1700, fill)}}, {1, 2, 0, 1000, {Filled(700, 'p'), "q"}}});
    log.Commit({{1, 1, 0, 1000, {Filled(3000, fill)}}});
    log.Commit({{0, 2, 0, 1000, {"last of " + Filled(3, fill), Filled(2600, 'z')}}});
}

using Range = std::pair<uint64_t, uint64_t>;

// What `penstock log verify` says of a segment.
std::vector<Range> Damages(const SimDisk &disk, uint64_t number, uint64_t last_number)
{
    std::vector<Range> out;
    struct log_verify verify = {};
    struct log_verified verified;
    verify.files = sim_disk_files(disk.get());
    verify.context = &out;
    verify.on_damage = [](void *context, const struct log_damage *damage) {
        static_cast<std::vector<Range> *>(context)->emplace_back(damage->begin, damage->end);
    };
    EXPECT_EQ(log_verify_segment(&verify, SegmentName(number).c_str(), last_number, &verified),
              STATUS_OK);
    return out;
}

class BitFlip : public ::testing::Test {
  protected:
    BitFlip() { log_.RealBatches(); }

    // Segments `sealed`, and then an open one where `open`.
    void Build(int sealed, bool open)
    {
        for (int i = 0; i < sealed; i++) {
            log_.OpenSegment();
            Fill(log_);
            last_numbers_.push_back(log_.Seal().number);
        }
        if (open) {
            log_.OpenSegment();
            Fill(log_);
        }
        last_numbers_.push_back(UINT64_MAX);
        for (const BuiltBatch &batch : log_.Batches()) {
            written_.push_back({batch.topic == 0 ? "events" : "payments", batch.base_offset,
                                batch.base_offset + batch.record_count, STATUS_OK, batch.bytes});
        }
    }

    // Calls `check` with each bit of what is under a checksum as a whole, and one of each other
    // byte, flipped in segment `number`; the disk is as before afterwards.
    void ForEachFlip(uint64_t number,
                     const std::function<void(uint64_t at, const Place &place)> &check)
    {
        const std::vector<Place> map = MapOf(SegmentBytes(disk_, number));
        for (uint64_t at = 0; at < CAPACITY; at++) {
            const Place &place = map[at];
            const bool every = place.meaning == Meaning::kHeader ||
                               place.meaning == Meaning::kDirectory ||
                               place.meaning == Meaning::kTrailer;
            for (uint64_t bit = every ? 0 : at % 8; bit <= (every ? 7 : at % 8); bit++) {
                SCOPED_TRACE("byte " + std::to_string(at) + " bit " + std::to_string(bit));
                SegmentBytes(disk_, number)[at] ^= static_cast<uint8_t>(1U << bit);
                ASSERT_NO_FATAL_FAILURE(check(at, place));
                SegmentBytes(disk_, number)[at] ^= static_cast<uint8_t>(1U << bit);
            }
        }
    }

    static bool Hits(const Place &place, const BuiltBatch &batch, uint64_t number)
    {
        return place.meaning == Meaning::kEntry && batch.segment == number &&
               batch.position == place.begin;
    }

    // What is written, but for the batches of which `is_gone` (not there any more) and `is_corrupt`
    // (there, and no byte of it is handed out) say otherwise. By topic, as a reader has them.
    using Claim = std::function<bool(const BuiltBatch &)>;
    std::vector<ReadBatch> Expected(const Claim &is_gone, const Claim &is_corrupt) const
    {
        std::vector<ReadBatch> out;
        for (const char *topic : {"events", "payments"}) {
            for (size_t i = 0; i < written_.size(); i++) {
                if (written_[i].topic != topic || is_gone(log_.Batches()[i])) { continue; }
                out.push_back(written_[i]);
                if (!is_corrupt(log_.Batches()[i])) { continue; }
                out.back().status = STATUS_CORRUPT;
                out.back().bytes.clear();
            }
        }
        return out;
    }
    std::vector<ReadBatch> ExpectedWithout(const Place &place, uint64_t number) const
    {
        return Expected([](const BuiltBatch &) { return false; },
                        [&](const BuiltBatch &batch) { return Hits(place, batch, number); });
    }

    void ExpectVerified(const SimDisk &disk, const Place &place, uint64_t number) const
    {
        std::vector<Range> expected;
        if (place.meaning != Meaning::kInert && place.meaning != Meaning::kZeros) {
            expected.push_back({place.begin, place.end});
        }
        ASSERT_EQ(Damages(disk, number, last_numbers_[number - 1]), expected);
    }

    static bool Reports(const Recovered &recovered, enum recovery_finding finding, uint64_t number,
                        const Place &place)
    {
        return std::any_of(
            recovered.findings.begin(), recovered.findings.end(), [&](const Finding &each) {
                return each.finding == finding && each.number == number &&
                       each.value == place.begin && each.other == place.end - place.begin;
            });
    }

    SimDisk disk_ = MakeDisk();
    LogBuilder log_{disk_, CAPACITY};
    std::vector<uint64_t> last_numbers_; // by segment: the commit that the next one continues
    std::vector<ReadBatch> written_;     // as Batches()
};

TEST_F(BitFlip, TheTestKnowsWhatEveryByteOfASegmentMeans)
{
    Build(1, false);

    const std::vector<Place> map = MapOf(SegmentBytes(disk_, 1));
    const auto count = [&](Meaning meaning) {
        return std::count_if(map.begin(), map.end(),
                             [&](const Place &place) { return place.meaning == meaning; });
    };

    EXPECT_EQ(count(Meaning::kDirectory), 4 * 128 + (5 + 2 + 2 + 4) * 48) << "three and the footer";
    EXPECT_GT(count(Meaning::kEntry), 8000);
    EXPECT_EQ(count(Meaning::kZeros), LOG_BLOCK_BYTES);
    EXPECT_EQ(Damages(disk_, 1, UINT64_MAX), std::vector<Range>());
    EXPECT_EQ(ReadAll(disk_).batches, ExpectedWithout(map[300], 1));
}

// Recovery reads header, trailer and footer of it: what else rots there, verify and scrub and
// readers say.
TEST_F(BitFlip, InTheMidstOfALogIsFoundAndCostsNothingElse)
{
    Build(3, false);

    ForEachFlip(2, [&](uint64_t, const Place &place) {
        ASSERT_NO_FATAL_FAILURE(ExpectVerified(disk_, place, 2));
        const std::vector<ReadBatch> expected = ExpectedWithout(place, 2);
        ASSERT_EQ(ReadAll(disk_).batches, expected);

        const SimDisk disk = AfterCrash(disk_);
        const Recovered recovered = Recover(disk);
        ASSERT_EQ(recovered.status, STATUS_OK);
        ASSERT_EQ(ReadAll(disk).batches, expected);
        const bool in_footer = place.commit_number == last_numbers_[1];
        ASSERT_EQ(recovered.Count(RECOVERY_FENCED), in_footer ? 1U : 0U);
        ASSERT_EQ(recovered.Count(RECOVERY_UNREADABLE),
                  place.meaning == Meaning::kHeader ? 1U : 0U);
        ASSERT_EQ(recovered.Count(RECOVERY_UNSEALED), place.meaning == Meaning::kTrailer ? 1U : 0U);
        ASSERT_EQ(recovered.log->topics[0].next_offset, log_.NextOffset(0));
        ASSERT_EQ(recovered.log->leader_epoch, 0U);
    });
}

TEST_F(BitFlip, InTheNewestSealedSegmentIsFoundAndCostsNothingElse)
{
    Build(2, false);

    ForEachFlip(2, [&](uint64_t, const Place &place) {
        ASSERT_NO_FATAL_FAILURE(ExpectVerified(disk_, place, 2));
        const std::vector<ReadBatch> expected = ExpectedWithout(place, 2);
        /* Without its trailer it is one that may still be written: recovery says what it is. */
        if (place.meaning != Meaning::kTrailer) { ASSERT_EQ(ReadAll(disk_).batches, expected); }

        const SimDisk disk = AfterCrash(disk_);
        const Recovered recovered = Recover(disk);
        ASSERT_EQ(recovered.status, STATUS_OK);
        ASSERT_EQ(ReadAll(disk).batches, expected);
        ASSERT_EQ(Damages(disk, 1, last_numbers_[0]), std::vector<Range>());
        ASSERT_GE(recovered.log->topics[0].next_offset, log_.NextOffset(0));
        ASSERT_GE(recovered.log->topics[1].next_offset, log_.NextOffset(1));
        const bool is_read = place.meaning == Meaning::kHeader ||
                             place.meaning == Meaning::kTrailer ||
                             place.commit_number == log_.NextCommit() - 1;
        ASSERT_EQ(recovered.findings.empty(), !is_read);
        ASSERT_TRUE(Recover(disk).findings.empty());
    });
}

class OpenBitFlip : public BitFlip {
  protected:
    OpenBitFlip()
    {
        Build(1, true);
        last_ = log_.NextCommit() - 1;
    }

    // Of a commit whose directory does not hold nothing is left.
    std::vector<ReadBatch> ExpectedAfter(const Place &place, bool cut) const
    {
        const bool whole = place.meaning == Meaning::kDirectory || cut;
        return Expected(
            [&](const BuiltBatch &batch) {
                return whole && place.commit_number == batch.commit_number;
            },
            [&](const BuiltBatch &batch) { return Hits(place, batch, 2); });
    }

    void ExpectGoesOnBehind(const SimDisk &disk, const Recovered &recovered) const
    {
        ASSERT_GE(recovered.log->topics[0].next_offset, log_.NextOffset(0));
        ASSERT_GE(recovered.log->topics[1].next_offset, log_.NextOffset(1));
        const Recovered again = Recover(disk);
        ASSERT_EQ(again.Count(RECOVERY_CUT) + again.Count(RECOVERY_SKIPPED_OFFSETS), 0U);
        ASSERT_EQ(again.log->leader_epoch, recovered.log->leader_epoch);
    }

    static bool InCommit(const Place &place)
    {
        return place.meaning == Meaning::kDirectory || place.meaning == Meaning::kEntry;
    }

    uint64_t last_; // number of the newest commit
};

TEST_F(OpenBitFlip, IsFencedExactlyWhenTheRootPageSaysThatAllWasDurable)
{
    const struct recovery_witness witness = WitnessOf(2, last_);

    ForEachFlip(2, [&](uint64_t, const Place &place) {
        const SimDisk disk = AfterCrash(disk_);
        const Recovered recovered = Recover(disk, &witness);

        ASSERT_EQ(recovered.status, STATUS_OK);
        ASSERT_EQ(recovered.Count(RECOVERY_FENCED), InCommit(place) ? 1U : 0U);
        ASSERT_EQ(Reports(recovered, RECOVERY_FENCED, 2, place), InCommit(place));
        ASSERT_EQ(recovered.Count(RECOVERY_CLEAN_TAIL), place.meaning == Meaning::kZeros ? 1U : 0U);
        ASSERT_EQ(recovered.Count(RECOVERY_CUT), 0U);
        ASSERT_EQ(ReadAll(disk).batches, ExpectedAfter(place, false));
        ASSERT_NO_FATAL_FAILURE(ExpectGoesOnBehind(disk, recovered));
    });
}

// The newest commit has no witness then: it is cut, and said to be.
TEST_F(OpenBitFlip, IsFencedOrCutWithoutARootPage)
{
    ForEachFlip(2, [&](uint64_t, const Place &place) {
        const bool cut = InCommit(place) && place.commit_number == last_;
        const SimDisk disk = AfterCrash(disk_);
        const Recovered recovered = Recover(disk);

        ASSERT_EQ(recovered.status, STATUS_OK);
        ASSERT_EQ(Reports(recovered, RECOVERY_FENCED, 2, place), InCommit(place) && !cut);
        ASSERT_EQ(recovered.Count(RECOVERY_CUT), cut || place.meaning == Meaning::kZeros ? 1U : 0U);
        ASSERT_EQ(ReadAll(disk).batches, ExpectedAfter(place, cut));
        ASSERT_NO_FATAL_FAILURE(ExpectGoesOnBehind(disk, recovered));
    });
}

} // namespace
