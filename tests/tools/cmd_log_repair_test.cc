#include "tools/log_repair.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include "tests/tools/log_fixture.h"
#include "tools/log_command.h"

namespace {

using namespace penstock_test;

class Repair : public CmdLogPlaces {
  protected:
    int Repair_(std::vector<std::string> arguments)
    {
        arguments.insert(arguments.begin(), "repair");
        return Run(arguments);
    }
    int RepairAll() { return Repair_({"--yes", storage_.path()}); }
    int Verify() { return Run({"verify", storage_.path()}); }
    std::string SideFile() const
    {
        std::string found;
        for (const auto &entry : std::filesystem::directory_iterator(storage_.path())) {
            if (entry.path().extension() == ".ndjson") { found = entry.path().string(); }
        }
        return found;
    }
    // Mends one kind of damage, looks that the log verifies, and takes it back.
    void ExpectMendedAndUndone()
    {
        const auto damaged = Files();
        ASSERT_NE(Verify(), 0) << output_;

        EXPECT_EQ(RepairAll(), 0) << output_ << errors_;
        EXPECT_EQ(Verify(), 0) << output_;

        EXPECT_EQ(Repair_({"--undo", SideFile()}), 0) << output_ << errors_;
        EXPECT_EQ(Files(), damaged);
        EXPECT_EQ(Repair_({"--undo", SideFile()}), 0) << errors_; // again: nothing to do
        EXPECT_EQ(Files(), damaged);
    }
    struct entry FooterEntry(uint64_t number, const BuiltCommit &footer, uint16_t type)
    {
        const struct bytes commit =
            bytes_of(SegmentBytes(disk_, number) + footer.position, footer.length_bytes);
        for (uint32_t i = 0;; i++) {
            const struct entry entry = entry_decode(commit, i);
            if (entry.type == type) { return entry; }
        }
    }
};

TEST_F(Repair, OfASoundLogDoesNothing)
{
    Save(4);
    const auto before = Files();

    EXPECT_EQ(RepairAll(), 0) << output_;
    EXPECT_NE(output_.find("nothing to mend"), std::string::npos) << output_;
    EXPECT_EQ(Files(), before);
    EXPECT_EQ(SideFile(), "");
}

TEST_F(Repair, DoesNothingUnasked)
{
    Save(4);
    Zero(3, log_.Capacity() - LOG_BLOCK_BYTES, log_.Capacity());
    const auto before = Files();

    EXPECT_EQ(Repair_({"--dry-run", storage_.path()}), 1);
    EXPECT_NE(output_.find(PathOf(3) + ": bytes 61440..65536: write anew"), std::string::npos)
        << output_;
    EXPECT_EQ(Repair_({storage_.path()}), 1); // no terminal to ask on
    EXPECT_EQ(Files(), before);
    EXPECT_EQ(SideFile(), "");
}

TEST_F(Repair, WritesATrailerAgainToTheByte)
{
    Save(4);
    const auto sound = Files();
    Zero(3, log_.Capacity() - LOG_BLOCK_BYTES, log_.Capacity());

    ExpectMendedAndUndone();
    ASSERT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), sound);
}

TEST_F(Repair, WritesARottenTrailerAgain)
{
    Save(4);
    Flip(2, log_.Capacity() - LOG_BLOCK_BYTES + 20);

    ExpectMendedAndUndone();
}

TEST_F(Repair, WritesAFootersIndexAgainToTheByte)
{
    Save(4);
    const auto sound = Files();
    Flip(3, footer_.position + FooterEntry(3, footer_, ENTRY_INDEX).position + 20);

    ExpectMendedAndUndone();
    ASSERT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), sound);
}

TEST_F(Repair, WritesAFootersAnchorsAgainToTheByte)
{
    Save(4);
    const auto sound = Files();
    Flip(3, footer_.position + FooterEntry(3, footer_, ENTRY_ANCHORS).position + 20);

    ExpectMendedAndUndone();
    ASSERT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), sound);
}

TEST_F(Repair, WritesAFootersTopicsAgainToTheByte)
{
    Save(4);
    const auto sound = Files();
    Flip(3, footer_.position + FooterEntry(3, footer_, ENTRY_TOPICS).position + 33);

    ExpectMendedAndUndone();
    ASSERT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), sound);
}

TEST_F(Repair, LeavesAFooterWhoseDirectoryIsGone)
{
    Save(4);
    Flip(3, footer_.position + 60);
    const auto before = Files();

    EXPECT_EQ(RepairAll(), 1);
    EXPECT_NE(output_.find("the footer does not hold"), std::string::npos) << output_;
    EXPECT_EQ(Files(), before);
}

TEST_F(Repair, WritesAHeaderThatItsNeighboursKnow)
{
    Save(4);
    Zero(2, 0, LOG_BLOCK_BYTES);

    ExpectMendedAndUndone();
}

TEST_F(Repair, BringsBackWhatStandsBehindALostBeginning)
{
    log_.Seal();
    log_.OpenSegment();
    log_.Commit({{0, 2}});
    log_.Commit({{0, 3}});
    log_.Seal();
    log_.OpenSegment();
    log_.Commit({{0, 1}});
    Save(6);
    Zero(5, 0, 2 * LOG_BLOCK_BYTES); // header and first commit
    const auto damaged = Files();
    ASSERT_EQ(Run({"export", storage_.path(), "--topic", "events"}), 1);
    const auto before = static_cast<size_t>(std::count(output_.begin(), output_.end(), '\n'));

    EXPECT_EQ(RepairAll(), 0) << output_ << errors_;
    EXPECT_EQ(Run({"export", storage_.path(), "--topic", "events"}), 1);
    EXPECT_EQ(static_cast<size_t>(std::count(output_.begin(), output_.end(), '\n')), before + 3);
    EXPECT_EQ(Repair_({"--undo", SideFile()}), 0) << errors_;
    EXPECT_EQ(Files(), damaged);
}

TEST_F(Repair, ExchangesTwoSwappedNames)
{
    Save(4);
    const auto sound = Files();
    const std::string aside = PathOf(9);
    ASSERT_EQ(rename(PathOf(2).c_str(), aside.c_str()), 0);
    ASSERT_EQ(rename(PathOf(3).c_str(), PathOf(2).c_str()), 0);
    ASSERT_EQ(rename(aside.c_str(), PathOf(3).c_str()), 0);

    ExpectMendedAndUndone();
    ASSERT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), sound);
}

TEST_F(Repair, BringsASegmentHomeWhoseNameIsFree)
{
    Save(4);
    const auto sound = Files();
    ASSERT_EQ(rename(PathOf(2).c_str(), PathOf(9).c_str()), 0);

    ExpectMendedAndUndone();
    ASSERT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), sound);
}

TEST_F(Repair, MovesAsideWhatIsNoSegmentOfTheLog)
{
    Save(4);
    WriteFile(PathOf(5), std::string(16 * LOG_BLOCK_BYTES, 'x'));
    WriteFile(storage_ / "part-0000/notes.txt", "left by somebody");
    std::filesystem::copy_file(PathOf(2), PathOf(8)); // the same number twice

    ExpectMendedAndUndone();
    ASSERT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(FileBytes(storage_ / "part-0000.quarantine/notes.txt"), "left by somebody");
    EXPECT_FALSE(std::filesystem::exists(PathOf(5)));
    EXPECT_FALSE(std::filesystem::exists(PathOf(8)));
}

TEST_F(Repair, LeavesTheNewestSegmentToRecovery)
{
    const BuiltCommit torn = log_.Commit({{0, 3}});
    Save(4);
    Flip(4, torn.position + 60);
    const auto before = Files();

    EXPECT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), before);
}

TEST_F(Repair, LeavesRottenRecordsAlone)
{
    Save(4);
    Flip(1, log_.Batches()[0].position + 70);
    const auto before = Files();

    EXPECT_EQ(RepairAll(), 0) << output_;
    EXPECT_EQ(Files(), before);
}

TEST_F(Repair, AdvisesWhereASegmentIsMissing)
{
    Save(4);
    ASSERT_EQ(unlink(PathOf(2).c_str()), 0);

    EXPECT_EQ(RepairAll(), 1);
    EXPECT_NE(output_.find("put its file back from a copy"), std::string::npos) << output_;
}

TEST_F(Repair, RefusesBesideARunningNode)
{
    Save(4);
    Zero(3, log_.Capacity() - LOG_BLOCK_BYTES, log_.Capacity());
    const auto before = Files();
    const int lock = open(storage_.path().c_str(), O_RDONLY | O_DIRECTORY);
    ASSERT_EQ(flock(lock, LOCK_EX | LOCK_NB), 0); // as penstock-ingest does

    EXPECT_EQ(RepairAll(), 75);
    close(lock);
    EXPECT_EQ(Files(), before);
    EXPECT_EQ(RepairAll(), 0) << output_ << errors_;
}

TEST_F(Repair, UndoRefusesWhatIsNoSideFile)
{
    Save(4);
    const std::string cut = storage_ / "cut.ndjson";
    Zero(3, log_.Capacity() - LOG_BLOCK_BYTES, log_.Capacity());
    ASSERT_EQ(RepairAll(), 0);
    const std::string whole = FileBytes(SideFile());
    WriteFile(cut, whole.substr(0, whole.rfind("{\"change\":\"end\""))); // no end

    EXPECT_EQ(Repair_({"--undo", cut}), 65);
    EXPECT_EQ(Repair_({"--undo", storage_ / "nothing"}), 66);
    EXPECT_EQ(Repair_({"--undo", cut, storage_.path()}), 64);
    EXPECT_EQ(Repair_({}), 64);
}

TEST_F(Repair, UndoLeavesWhatWasWrittenSince)
{
    Save(4);
    Zero(3, log_.Capacity() - LOG_BLOCK_BYTES, log_.Capacity());
    ASSERT_EQ(RepairAll(), 0);
    Flip(3, log_.Capacity() - 100);
    const auto since = Files();

    EXPECT_EQ(Repair_({"--undo", SideFile()}), 1);
    EXPECT_EQ(Files(), since);
}

// ---- a crash after each step

class RepairCutShort : public Repair {
  protected:
    // A rotten trailer, a header, an index, two swapped names and a stranger.
    void Damage()
    {
        Save(4);
        WriteFile(storage_ / "part-0000/notes.txt", "left by somebody");
        Zero(1, log_.Capacity() - LOG_BLOCK_BYTES, log_.Capacity());
        Zero(2, 0, LOG_BLOCK_BYTES);
        Flip(3, footer_.position + FooterEntry(3, footer_, ENTRY_INDEX).position + 20);
    }
    // Makes the first `steps` changes of a plan; answers how many there are.
    size_t MakeSteps(size_t steps, const std::string &side_file)
    {
        struct log_places places;
        struct repair_plan plan;
        struct log_cuts *cuts = nullptr;
        int code = -1;
        std::string path = storage_.path();
        char *paths[] = {path.data()};
        EXPECT_TRUE(log_places_open(&places, nullptr, paths, 1, &code));
        EXPECT_EQ(repair_plan_make(&places.at[0], &plan), STATUS_OK);
        EXPECT_EQ(log_cuts_create(side_file.c_str(), &cuts), STATUS_OK);
        repair_plan_keep(&plan, cuts);
        EXPECT_EQ(log_cuts_commit(cuts), STATUS_OK);
        log_cuts_destroy(cuts);
        for (size_t i = 0; i < steps && i < plan.step_count; i++) {
            EXPECT_EQ(repair_step_make(&plan, i), STATUS_OK);
        }
        const size_t count = plan.step_count;
        repair_plan_free(&plan);
        log_places_close(&places);
        return count;
    }
};

TEST_F(RepairCutShort, AnotherOneMakesWhatIsLeft)
{
    Damage();
    const auto damaged = Files();
    const size_t count = MakeSteps(SIZE_MAX, storage_ / "0.ndjson");
    const auto mended = Files();
    ASSERT_EQ(Repair_({"--undo", storage_ / "0.ndjson"}), 0) << errors_;
    ASSERT_EQ(Files(), damaged);
    ASSERT_GE(count, 4U);

    for (size_t steps = 0; steps < count; steps++) {
        const std::string side_file = storage_ / (std::to_string(steps + 1) + ".ndjson");
        MakeSteps(steps, side_file);
        EXPECT_EQ(RepairAll(), 0) << output_ << errors_ << "after " << steps;
        EXPECT_EQ(Files(), mended) << "after " << steps;
        EXPECT_EQ(Verify(), 0) << output_ << "after " << steps;
        unlink(side_file.c_str());
        ASSERT_EQ(Repair_({"--undo", storage_ / "0.ndjson"}), 0) << errors_;
        ASSERT_EQ(Files(), damaged);
    }
}

TEST_F(RepairCutShort, UndoTakesBackWhatWasMade)
{
    Damage();
    const auto damaged = Files();
    const size_t count = MakeSteps(0, storage_ / "0.ndjson");

    for (size_t steps = 0; steps <= count; steps++) {
        const std::string side_file = storage_ / (std::to_string(steps + 1) + ".ndjson");
        MakeSteps(steps, side_file);
        EXPECT_EQ(Repair_({"--undo", side_file}), 0) << errors_ << "after " << steps;
        EXPECT_EQ(Files(), damaged) << "after " << steps;
    }
}

TEST_F(RepairCutShort, DoesNotWriteToAFileThatChangedSinceThePlan)
{
    Save(4);
    Zero(1, log_.Capacity() - LOG_BLOCK_BYTES, log_.Capacity());
    struct log_places places;
    struct repair_plan plan;
    int code = -1;
    std::string path = storage_.path();
    char *paths[] = {path.data()};
    ASSERT_TRUE(log_places_open(&places, nullptr, paths, 1, &code));
    ASSERT_EQ(repair_plan_make(&places.at[0], &plan), STATUS_OK);
    ASSERT_EQ(plan.step_count, 1U);
    Flip(1, log_.Capacity() - 100);
    const auto before = Files();

    EXPECT_EQ(repair_step_make(&plan, 0), STATUS_STALE);
    EXPECT_EQ(Files(), before);
    repair_plan_free(&plan);
    log_places_close(&places);
}

} // namespace
