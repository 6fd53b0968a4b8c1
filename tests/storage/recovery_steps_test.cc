// Recovery interrupted at any of its steps.
#include "storage/recovery.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <tuple>

#include "tests/storage/read_back.h"
#include "tests/storage/recovery_rig.h"

namespace {

using namespace penstock_test;

// The footer that a recovery put over the torn one has its number: the segment that was cut, and
// not yet removed, does not continue it.
TEST(Recovery, DropsASegmentThatWasCutThoughThePowerGoesBeforeItIsRemoved)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        SimDisk disk = MakeDisk(seed);
        LogBuilder log(disk);
        log.InFlight(4).OpenSegment();
        log.Commit({{0, 3}});
        log.Commit({{0, 1}});
        const BuiltCommit footer = log.Footer();
        log.OpenSegment();
        log.Commit({{0, 9}});
        std::memset(SegmentBytes(disk, 1) + footer.position, 0, footer.length_bytes);
        SegmentBytes(disk, 2)[50] ^= 1;
        sim_disk_cut_power_after(disk.get(), /*operations=*/2); // trailer and footer
        Recover(disk);
        disk = AfterCrash(disk);

        const Recovered again = Recover(disk);

        EXPECT_FALSE(Exists(disk, 2)) << "seed " << seed;
        EXPECT_EQ(again.log->next_commit_number, 4U) << "seed " << seed;
        EXPECT_EQ(again.log->topics[0].next_offset, 4U + 1000U) << "seed " << seed;
        EXPECT_EQ(CommitsInIndex(disk, 1), Numbers({1, 2}));
    }
}

// Crashes at every changing call, up to three deep, end in the state of an undisturbed run.
TEST(Recovery, EndsTheSameHoweverOftenItIsInterrupted)
{
    SimDisk original = MakeDisk();
    LogBuilder log(original);
    log.InFlight(6).OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{0, 4}});
    log.Commit({{0, 5}});
    const BuiltCommit torn = log.Commit({{0, 6}});
    log.InFlight(2);
    log.Commit({{0, 7}}); // says that the rotten one was durable
    log.InFlight(6);
    log.Footer();
    log.OpenSegment();
    log.Commit({{1, 8}});
    SegmentBytes(original, 1)[rotten.position + 17] ^= 1;
    std::memset(SegmentBytes(original, 1) + torn.position, 0, torn.length_bytes);
    SegmentBytes(original, 2)[50] ^= 1;
    SimDisk undisturbed = AfterCrash(original);
    const Recovered expected = Recover(undisturbed);
    ASSERT_EQ(expected.status, STATUS_OK);
    const Numbers commits = CommitsInIndex(undisturbed, 1);

    for (uint64_t seed = 0; seed < 400; seed++) {
        SimDisk disk = AfterCrash(original, seed);
        for (uint64_t depth = 0; depth < 3; depth++) {
            sim_disk_cut_power_after(disk.get(), (seed >> (2 * depth)) % 4);
            Recover(disk);
            disk = AfterCrash(disk, seed * 3 + depth);
        }
        const Recovered recovered = Recover(disk);

        ASSERT_EQ(recovered.status, STATUS_OK) << "seed " << seed;
        ASSERT_EQ(CommitsInIndex(disk, 1), commits) << "seed " << seed;
        ASSERT_EQ(recovered.log->next_commit_number, expected.log->next_commit_number);
        ASSERT_GE(recovered.log->topics[0].next_offset, expected.log->topics[0].next_offset);
        ASSERT_GE(recovered.log->leader_epoch, expected.log->leader_epoch);
        ASSERT_FALSE(Exists(disk, 2)) << "seed " << seed;
    }
}

// Commit 2 rots, 3 was in flight, and only 4 says that 2 was durable: a footer of three blocks in
// the place of 2 takes its witness away. A crash in the midst of the footer must not take what it
// said.
TEST(Recovery, RemembersWhatTheCommitUnderItsFooterTestified)
{
    SimDisk original = MakeDisk();
    LogBuilder log(original);
    for (int i = 0; i < 40; i++) { log.AddTopic(std::to_string(i) + std::string(200, 'x')); }
    log.OpenSegment();
    log.Commit({{0, 3}});
    const BuiltCommit rotten = log.Commit({{0, 4}});
    const BuiltCommit torn = log.Commit({{0, 5}});
    log.InFlight(2);
    const BuiltCommit witness = log.Commit({{0, 6}});
    uint8_t *const bytes = SegmentBytes(original, 1);
    bytes[rotten.position + 17] ^= 1;
    std::memset(bytes + torn.position, 0, torn.length_bytes);
    SimDisk undisturbed = AfterCrash(original);
    const Recovered expected = Recover(undisturbed);
    ASSERT_EQ(expected.log->next_commit_number, 4U) << "2 is gone, 3 is the footer";
    ASSERT_NE(SegmentBytes(undisturbed, 1)[witness.position], bytes[witness.position]);

    for (uint64_t seed = 0; seed < 64; seed++) {
        SimDisk disk = AfterCrash(original, seed);
        sim_disk_cut_power_after(disk.get(), seed % 2); /* the first write or the second: half */
        Recover(disk);
        disk = AfterCrash(disk, seed);

        const Recovered recovered = Recover(disk);

        ASSERT_EQ(recovered.log->next_commit_number, 4U) << "seed " << seed;
    }
}

// ------------------------------------------------------------------- every step of every kind

// A log that ended badly, and what is known of it.
struct Scene {
    SimDisk disk = MakeDisk();
    LogBuilder log{disk};
    uint64_t durable_number = 0; // was acknowledged up to here
    std::set<uint64_t> rotten;   // of these: commits that the disk lost
    uint64_t witness_segment = 0;

    uint8_t *At(const BuiltCommit &commit, uint64_t byte) const
    {
        return SegmentBytes(disk, commit.segment) + commit.position + byte;
    }
    void Rot(const BuiltCommit &commit, uint64_t byte)
    {
        *At(commit, byte) ^= 1;
        rotten.insert(commit.number);
    }
    void Zero(const BuiltCommit &commit) const
    {
        std::memset(At(commit, 0), 0, commit.length_bytes);
    }
    void Durable(const BuiltCommit &commit)
    {
        durable_number = commit.number;
        witness_segment = commit.segment;
    }
    struct recovery_witness Witness() const { return WitnessOf(witness_segment, durable_number); }
};

struct SceneKind {
    const char *name;
    void (*build)(Scene &scene);
};

constexpr uint64_t IN_DIRECTORY = 20; // a byte of a commit that its own checksum covers

const SceneKind scene_kinds[] = {
    {"CleanKill",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         s.Durable(s.log.Commit({{1, 2}, {0, 1}}));
     }},
    {"SealedAndASpare",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}, {1, 4}});
         s.Durable(s.log.Seal());
         s.log.Spare();
     }},
    {"TornTail",
     [](Scene &s) {
         s.log.InFlight(2).OpenSegment();
         s.Durable(s.log.Commit({{0, 3}}));
         const BuiltCommit torn = s.log.Commit({{0, 10}});
         std::memset(s.At(torn, 200), 0xFF, 512);
     }},
    {"HoleInFlight",
     [](Scene &s) {
         s.log.InFlight(4).OpenSegment();
         s.Durable(s.log.Commit({{0, 3}}));
         s.Zero(s.log.Commit({{0, 10}}));
         s.log.Commit({{0, 2}});
     }},
    {"RotInTheMiddle",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit rotten = s.log.Commit({{0, 10}, {1, 1}});
         s.Durable(s.log.Commit({{0, 2}}));
         s.Rot(rotten, IN_DIRECTORY);
     }},
    {"RotInABatch",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit rotten = s.log.Commit({{0, 10}});
         s.Durable(s.log.Commit({{0, 2}}));
         s.Rot(rotten, commit_entries_position(2) + 10);
     }},
    {"RotThenATornTail",
     [](Scene &s) {
         s.log.InFlight(2).OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit rotten = s.log.Commit({{0, 10}});
         s.log.Commit({{0, 2}});
         s.Durable(s.log.Commit({{1, 2}}));
         s.Zero(s.log.Commit({{1, 5}}));
         s.Rot(rotten, IN_DIRECTORY);
     }},
    {"FooterWithoutTrailer",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         s.Durable(s.log.Footer());
     }},
    {"TornFooter",
     [](Scene &s) {
         s.log.OpenSegment();
         s.Durable(s.log.Commit({{0, 3}}));
         const BuiltCommit footer = s.log.Footer();
         std::memset(s.At(footer, 0), 0, 512);
     }},
    {"RottenNewestFooter",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit footer = s.log.Seal();
         s.Durable(footer);
         s.Rot(footer, IN_DIRECTORY);
     }},
    {"TopicsOfTheNewestFooterAreRotten",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit footer = s.log.Seal();
         s.Durable(footer);
         s.Rot(footer, commit_entries_position(3) + 30);
     }},
    {"RollWithTornTrailerAndHeader",
     [](Scene &s) {
         s.log.LeaderEpoch(5).OpenSegment();
         s.log.Commit({{0, 3}});
         s.log.Seal();
         s.log.OpenSegment();
         s.Durable(s.log.Commit({{0, 4}}));
         SegmentBytes(s.disk, 1)[s.log.Capacity() - LOG_BLOCK_BYTES + 20] ^= 1;
         SegmentBytes(s.disk, 2)[50] ^= 1;
     }},
    {"OpenedAndNeverWritten",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         s.Durable(s.log.Seal());
         s.log.OpenSegment();
     }},
    {"SegmentThatIsCut",
     [](Scene &s) {
         s.log.InFlight(6).OpenSegment();
         s.log.Commit({{0, 3}});
         s.Durable(s.log.Commit({{0, 1}}));
         s.Zero(s.log.Footer());
         s.log.OpenSegment();
         s.log.Commit({{0, 9}});
         SegmentBytes(s.disk, 2)[50] ^= 1;
     }},
    {"SegmentThatWasGivenUp",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit footer = s.log.Seal();
         s.log.OpenSegment();
         s.log.Commit({{0, 4}});
         s.log.ContinueBehind(footer, {3, 0}).OpenSegment();
         s.Durable(s.log.Commit({{0, 4}}));
     }},
    {"AbandonedCommits",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit last_good = s.log.Commit({{0, 4}});
         s.log.Commit({{0, 50}});
         s.log.ContinueBehind(last_good, {7, 0}).OpenSegment();
         s.Durable(s.log.Commit({{0, 1}}));
     }},
    {"MissingSegment",
     [](Scene &s) {
         for (int i = 0; i < 3; i++) {
             s.log.OpenSegment();
             s.Durable(s.log.Commit({{0, 3}}));
             if (i < 2) { s.log.Seal(); }
         }
         s.rotten.insert(3);
         EXPECT_EQ(files_remove(sim_disk_files(s.disk.get()), SegmentName(2).c_str()), STATUS_OK);
     }},
    {"NewestSegmentIsGone",
     [](Scene &s) {
         s.log.OpenSegment();
         s.log.Commit({{0, 3}});
         s.log.Seal();
         s.log.OpenSegment();
         s.Durable(s.log.Commit({{0, 80}}));
         s.rotten.insert(3);
         EXPECT_EQ(files_remove(sim_disk_files(s.disk.get()), SegmentName(2).c_str()), STATUS_OK);
     }},
    {"TornAgainAfterASkip",
     [](Scene &s) {
         s.log.InFlight(2).OpenSegment();
         s.log.Commit({{0, 3}});
         std::memset(s.At(s.log.Commit({{0, 10}}), 200), 0xFF, 512);
         s.rotten.insert(2);
         const Recovered before = Recover(s.disk);
         s.log.GoOn(*before.log).LeaderEpoch(before.log->leader_epoch).OpenSegment();
         s.Durable(s.log.Commit({{0, 1}}));
         std::memset(s.At(s.log.Commit({{0, 7}}), 200), 0xFF, 512);
     }},
    {"SkippedAndNotGoneOn",
     [](Scene &s) {
         s.log.InFlight(2).OpenSegment();
         s.Durable(s.log.Commit({{0, 3}}));
         std::memset(s.At(s.log.Commit({{0, 10}}), 200), 0xFF, 512);
         s.rotten.insert(2);
         s.durable_number = Recover(s.disk).log->next_commit_number - 1;
     }},
    {"FooterOfManyBlocks",
     [](Scene &s) {
         for (int i = 0; i < 40; i++) { s.log.AddTopic(std::to_string(i) + std::string(200, 'x')); }
         s.log.InFlight(2).OpenSegment();
         s.log.Commit({{0, 3}});
         const BuiltCommit rotten = s.log.Commit({{0, 4}});
         s.Durable(rotten);
         s.Zero(s.log.Commit({{0, 5}}));
         s.log.Commit({{0, 6}});
         s.Rot(rotten, IN_DIRECTORY);
     }},
};

// What the root page is to the attempts at recovery.
enum class RootPage { kGone, kSurvives, kGoesWithTheFirstAttempt };

class Steps : public ::testing::TestWithParam<std::tuple<size_t, RootPage>> {
  protected:
    Steps()
    {
        scene_kinds[std::get<0>(GetParam())].build(scene_);
        undisturbed_ = AfterCrash(scene_.disk);
        expected_ = Attempt(undisturbed_, 0);
        served_ = ReadAll(undisturbed_);
        SimDisk unproven = AfterCrash(scene_.disk);
        const Recovered least = Recover(unproven);
        for (size_t i = 0; i < expected_.log->topic_count; i++) {
            next_offset_min_.push_back(
                Least(expected_.log->topics[i].next_offset, least.log->topics[i].next_offset));
        }
        next_commit_min_ = Least(expected_.log->next_commit_number, least.log->next_commit_number);
        leader_epoch_min_ = Least(expected_.log->leader_epoch, least.log->leader_epoch);
    }

    // What only the root page knew goes with it when nothing was written yet.
    static uint64_t Least(uint64_t with_page, uint64_t without)
    {
        const bool goes = std::get<1>(GetParam()) == RootPage::kGoesWithTheFirstAttempt;
        return goes ? std::min(with_page, without) : with_page;
    }

    Recovered Attempt(const SimDisk &disk, int attempt) const
    {
        const RootPage page = std::get<1>(GetParam());
        const struct recovery_witness witness = scene_.Witness();
        const bool there = page == RootPage::kSurvives ||
                           (page == RootPage::kGoesWithTheFirstAttempt && attempt == 0);
        return Recover(disk, there ? &witness : nullptr);
    }

    bool Serves(const BuiltBatch &batch) const
    {
        return std::any_of(
            served_.batches.begin(), served_.batches.end(), [&](const ReadBatch &each) {
                return each.topic == (batch.topic == 0 ? "events" : "payments") &&
                       each.base_offset == batch.base_offset && each.bytes == batch.bytes;
            });
    }

    // Cuts the power at the next attempt's call number `at`; what a write leaves is chosen by
    // `tear`. False: the attempt has fewer calls.
    using Tear = std::function<void(struct sim_disk *)>;
    bool Interrupt(SimDisk &disk, int attempt, uint64_t at, const Tear &tear, uint64_t seed)
    {
        sim_disk_cut_power_after(disk.get(), at);
        tear(disk.get());
        const Recovered interrupted = Attempt(disk, attempt);
        const bool met = sim_disk_power_is_off(disk.get());
        cut_sectors_ = sim_disk_cut_write_sectors(disk.get());
        disk = AfterCrash(disk, seed);
        return met;
    }

    // The last attempt is left in peace: it ends where the undisturbed one did. Each attempt before
    // it may have had to skip once more.
    void ExpectTheSame(SimDisk &disk, int attempts)
    {
        const Recovered last = Attempt(disk, attempts);
        ASSERT_EQ(last.status, STATUS_OK);
        ASSERT_EQ(last.log->topic_count, expected_.log->topic_count);
        for (uint32_t i = 0; i < last.log->topic_count; i++) {
            ASSERT_GE(last.log->topics[i].next_offset, next_offset_min_[i]);
        }
        ASSERT_GE(last.log->next_commit_number, next_commit_min_);
        ASSERT_LE(last.log->next_commit_number,
                  expected_.log->next_commit_number + static_cast<uint64_t>(attempts));
        ASSERT_GE(last.log->leader_epoch, leader_epoch_min_);
        ASSERT_LE(last.log->leader_epoch,
                  expected_.log->leader_epoch + static_cast<uint32_t>(attempts));
        ASSERT_EQ(ReadAll(disk).batches, served_.batches);
        ExpectSettled(disk, *last.log);
    }

    // Another start finds nothing to say, and goes on at the same place.
    static void ExpectSettled(SimDisk &disk, const struct log_resume &last)
    {
        const Recovered again = Recover(disk);
        for (const auto finding : {RECOVERY_CUT, RECOVERY_CLEAN_TAIL, RECOVERY_SKIPPED_OFFSETS,
                                   RECOVERY_SEALED, RECOVERY_REMOVED_SPARE}) {
            ASSERT_EQ(again.Count(finding), 0U) << "finding " << finding;
        }
        ASSERT_EQ(again.log->next_commit_number, last.next_commit_number);
        ASSERT_EQ(again.log->predecessor_commit_crc32c, last.predecessor_commit_crc32c);
        ASSERT_EQ(again.log->leader_epoch, last.leader_epoch);
        for (uint32_t i = 0; i < last.topic_count; i++) {
            ASSERT_EQ(again.log->topics[i].next_offset, last.topics[i].next_offset);
        }
    }

    Scene scene_;
    SimDisk undisturbed_;
    Recovered expected_;
    ReadBack served_;
    std::vector<uint64_t> next_offset_min_; // by topic
    uint64_t next_commit_min_ = 0;
    uint64_t leader_epoch_min_ = 0;
    uint64_t cut_sectors_ = 0;
};

TEST_P(Steps, ServesWhatWasAcknowledgedAndNotLostByTheDisk)
{
    ASSERT_EQ(expected_.status, STATUS_OK);
    for (const BuiltBatch &batch : scene_.log.Batches()) {
        if (batch.commit_number > scene_.durable_number) { continue; }
        if (scene_.rotten.count(batch.commit_number) > 0) { continue; }
        EXPECT_TRUE(Serves(batch)) << "offset " << batch.base_offset << " of topic " << batch.topic;
    }
    ExpectSettled(undisturbed_, *expected_.log);
}

// The write that meets the cut leaves its first sectors, its last ones, one, or all but one.
TEST_P(Steps, EndTheSameWhereverAWriteIsTorn)
{
    for (uint64_t at = 0;; at++) {
        SimDisk whole = AfterCrash(scene_.disk);
        if (!Interrupt(
                whole, 0, at, [](struct sim_disk *disk) { sim_disk_tear_cut_write(disk, 0, 0); },
                1)) {
            break;
        }
        ASSERT_LT(at, 16U) << "recovery does not end";
        const uint64_t sectors = cut_sectors_;
        for (uint64_t i = 0; i <= sectors; i++) {
            for (const auto &[first, count] :
                 {std::pair<uint64_t, uint64_t>{0, i}, {i, sectors}, {i, 1}}) {
                SCOPED_TRACE("call " + std::to_string(at) + ", sectors " + std::to_string(first) +
                             " +" + std::to_string(count));
                SimDisk disk = AfterCrash(scene_.disk);
                Interrupt(
                    disk, 0, at,
                    [=](struct sim_disk *power) { sim_disk_tear_cut_write(power, first, count); },
                    i);
                ASSERT_NO_FATAL_FAILURE(ExpectTheSame(disk, 1));
            }
        }
    }
}

// Any call of the first attempt, then any of the second, then any of the third; what they leave is
// a matter of the seed: sectors kept, lost, or garbage.
TEST_P(Steps, EndTheSameAfterThreeInterruptions)
{
    const auto by_seed = [](struct sim_disk *) {};
    const uint64_t seeds = 4;
    uint64_t seed = 0;
    for (uint64_t first = 0; first < 5 * seeds; first++) {
        for (uint64_t second = 0; second < 4; second++) {
            for (uint64_t third = 0; third < 4; third++) {
                SCOPED_TRACE("calls " + std::to_string(first / seeds) + ", " +
                             std::to_string(second) + ", " + std::to_string(third));
                SimDisk disk = AfterCrash(scene_.disk, ++seed);
                Interrupt(disk, 0, first / seeds, by_seed, seed + 1000);
                Interrupt(disk, 1, second, by_seed, seed + 2000);
                Interrupt(disk, 2, third, by_seed, seed + 3000);
                ASSERT_NO_FATAL_FAILURE(ExpectTheSame(disk, 3));
            }
        }
    }
}

std::string StepsName(const ::testing::TestParamInfo<Steps::ParamType> &info)
{
    static const char *const pages[] = {"NoRootPage", "RootPage", "RootPageOnce"};
    return std::string(scene_kinds[std::get<0>(info.param)].name) +
           pages[static_cast<size_t>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(Recovery, Steps,
                         ::testing::Combine(::testing::Range(size_t{0}, std::size(scene_kinds)),
                                            ::testing::Values(RootPage::kGone, RootPage::kSurvives,
                                                              RootPage::kGoesWithTheFirstAttempt)),
                         StepsName);

} // namespace
