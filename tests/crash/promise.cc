#include "tests/crash/promise.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "storage/lane_recovery.h"
#include "storage/reader.h"
#include "storage/recovery.h"

namespace penstock_test {
namespace {

constexpr double RECOVERY_SECONDS_MAX = 10;

// What recovery had to say, and which of it may not be said where nothing rots.
struct Findings {
    std::ostringstream text;
    uint64_t skipped = 0;
    bool claims_rot = false;
};

void OnFinding(void *context, uint32_t, enum recovery_finding finding, uint64_t number,
               uint64_t value, uint64_t other)
{
    auto *const findings = static_cast<Findings *>(context);
    findings->skipped += finding == RECOVERY_SKIPPED_OFFSETS ? 1 : 0;
    findings->claims_rot |= finding == RECOVERY_FENCED || finding == RECOVERY_MISSING_SEGMENT ||
                            finding == RECOVERY_LOST_LOG || finding == RECOVERY_UNSUPPORTED;
    findings->text << " [finding " << finding << ": " << number << " " << value << " " << other
                   << "]";
}

void OnLaneFinding(void *context, uint32_t, enum lane_finding finding, uint64_t number,
                   uint64_t value, uint64_t other)
{
    auto *const findings = static_cast<Findings *>(context);
    findings->claims_rot = true;
    findings->text << " [lanes, finding " << finding << ": " << number << " " << value << " "
                   << other << "]";
}

struct FreeDeleter {
    void operator()(void *at) const { std::free(at); }
};

struct ReaderDeleter {
    void operator()(struct reader *reader) const { reader_destroy(reader); }
};

PromisedLanes LanesOf(const struct lane_resume_set &set)
{
    PromisedLanes out;
    for (size_t i = 0; i < set.count; i++) {
        const struct lane_state &state = set.lanes[i].state;
        const std::string id(reinterpret_cast<const char *>(state.key.producer.bytes),
                             sizeof state.key.producer.bytes);
        out[{id, state.key.number}] = {state.epoch, state.last_sequence, state.hash};
    }
    return out;
}

void TakeLanes(const FoundCommit &commit, PromisedLanes *lanes)
{
    for (const FoundLane &lane : commit.lanes) {
        const struct lane_state &state = lane.item.state;
        const std::string id(reinterpret_cast<const char *>(state.key.producer.bytes),
                             sizeof state.key.producer.bytes);
        const std::pair<std::string, uint32_t> key = {id, state.key.number};
        if ((lane.item.flags & LANE_FORGOTTEN) != 0) {
            lanes->erase(key);
        } else {
            (*lanes)[key] = {state.epoch, state.last_sequence, state.hash};
        }
    }
}

// One crashed log, from recovery to the last record read. Throws what is broken as text.
class Trial {
  public:
    Trial(const Promise &promise, struct files files) : promise_(promise), files_(files) {}

    void Run(uint64_t durable_number, bool again)
    {
        const auto begin = std::chrono::steady_clock::now();
        const enum status status = Recover(&resume_, &findings_);
        if (status == STATUS_NOT_FOUND) {
            Claim(promise_.numbers.empty() || durable_number < promise_.numbers.front(),
                  "there is no log, and commit " + std::to_string(durable_number) +
                      " was promised");
            return;
        }
        Claim(status == STATUS_OK, "recovery: status " + std::to_string(status));
        RecoverLanes();
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
        Claim(taken.count() < RECOVERY_SECONDS_MAX, "recovery took too long");

        const uint64_t newest = NewestKept();
        const auto promised =
            std::upper_bound(promise_.numbers.begin(), promise_.numbers.end(), durable_number);
        const uint64_t owed = promised == promise_.numbers.begin() ? 0 : *std::prev(promised);
        Claim(newest >= owed, "the log ends at commit " + std::to_string(newest) + ", and commit " +
                                  std::to_string(owed) + " was promised");
        Claim(!findings_.claims_rot, "rot is claimed where there is none");
        CheckServed(newest);
        CheckOffsets(newest);
        CheckLanes(newest);
        if (again) { CheckSettled(); }
    }
    std::string Told() const { return findings_.text.str(); }

  private:
    void Claim(bool holds, const std::string &what) const
    {
        if (!holds) { throw what; }
    }
    // The root page died with the machine.
    enum status Recover(struct log_resume *out, Findings *findings)
    {
        struct recovery_report report = {};
        report.found = OnFinding;
        report.context = findings;
        *out = (struct log_resume){};
        return recovery_run(files_, promise_.partition, nullptr, &report, out);
    }
    void RecoverLanes()
    {
        const struct lane_recovery_report report = {OnLaneFinding, &findings_};
        struct lane_resume_set set = {};
        const enum status status =
            lane_recovery_run(files_, promise_.partition, &report, &resume_, &set);
        lanes_ = LanesOf(set);
        lane_resume_set_deinit(&set);
        Claim(status == STATUS_OK, "recovery of lanes: status " + std::to_string(status));
    }
    // Recovery writes footers: they may have the number of a commit that it cut.
    uint64_t NewestKept() const
    {
        uint64_t newest = 0;
        for (const FoundCommit &commit : LogWalk(files_, promise_.partition).chain) {
            if ((commit.header.flags & COMMIT_FLAG_FOOTER) == 0) { newest = commit.header.number; }
        }
        return newest;
    }

    // Through the read side: every batch of commits 1..newest and no other, each byte under its
    // CRC.
    void CheckServed(uint64_t newest) const
    {
        struct reader *made = nullptr;
        Claim(reader_create_over(files_, "/nonexistent", 1 << 20, &made) == STATUS_OK, "no reader");
        const std::unique_ptr<struct reader, ReaderDeleter> reader(made);
        reader_refresh(reader.get(), NS_PER_S);
        for (size_t topic = 0; topic < promise_.topics.size(); topic++) {
            CheckTopic(reader.get(), static_cast<int32_t>(topic), newest);
        }
    }
    void CheckTopic(struct reader *reader, int32_t number, uint64_t newest) const
    {
        const std::string &name = promise_.topics[static_cast<size_t>(number)];
        const int32_t topic = reader_topic_find(reader, name.c_str(), name.size());
        uint64_t offset = 0;
        for (const FoundEntry &entry : promise_.records) {
            if (entry.topic != number || entry.commit_number > newest) { continue; }
            Claim(topic >= 0, "topic " + name + " is gone");
            CheckBatch(reader, static_cast<size_t>(topic), offset, entry);
            offset = entry.base_offset + entry.record_count;
        }
        if (topic < 0) { return; }
        struct batch_location beyond;
        Claim(reader_find_offset(reader, static_cast<size_t>(topic), promise_.partition, offset,
                                 &beyond) == STATUS_NOT_FOUND,
              name + " serves what was never written, behind offset " + std::to_string(offset));
    }
    void CheckBatch(struct reader *reader, size_t topic, uint64_t offset,
                    const FoundEntry &entry) const
    {
        const std::string where = reader_topic_name(reader, topic) + std::string(" at offset ") +
                                  std::to_string(offset) + ", commit " +
                                  std::to_string(entry.commit_number);
        struct batch_location found;
        Claim(reader_find_offset(reader, topic, promise_.partition, offset, &found) == STATUS_OK,
              where + ": not served");
        Claim(found.base_offset == entry.base_offset &&
                  found.next_offset == entry.base_offset + entry.record_count,
              where + ": another batch stands there");
        Claim(found.check == index_check(entry.crc32c), where + ": other bytes stand there");
        const std::unique_ptr<uint8_t, FreeDeleter> scratch(static_cast<uint8_t *>(
            std::aligned_alloc(4096, (reader_cold_bytes(&found) / 4096 + 1) * 4096)));
        const uint8_t *bytes;
        Claim(reader_read_cold(reader, &found, scratch.get(), &bytes) == STATUS_OK,
              where + ": cannot be read");
    }

    // No offset is given twice.
    void CheckOffsets(uint64_t newest) const
    {
        for (const FoundEntry &entry : promise_.records) {
            if (entry.commit_number > newest) { continue; }
            Claim(resume_.topics[entry.topic].next_offset >= entry.base_offset + entry.record_count,
                  "an offset would be given twice");
        }
    }
    void CheckLanes(uint64_t newest) const
    {
        const auto after = promise_.lanes.upper_bound(newest);
        const PromisedLanes none;
        const PromisedLanes &wanted =
            after == promise_.lanes.begin() ? none : std::prev(after)->second;
        Claim(lanes_ == wanted,
              "the lanes are not as commit " + std::to_string(newest) + " left them");
    }
    void CheckSettled()
    {
        Findings findings;
        const auto second = std::make_unique<struct log_resume>();
        Claim(Recover(second.get(), &findings) == STATUS_OK, "a second start fails");
        Claim(!findings.claims_rot && findings.skipped == 0,
              "a second start finds something:" + findings.text.str());
        Claim(second->next_commit_number == resume_.next_commit_number &&
                  second->leader_epoch == resume_.leader_epoch,
              "a second start goes on elsewhere");
    }

    const Promise &promise_;
    const struct files files_;
    Findings findings_;
    PromisedLanes lanes_;
    struct log_resume resume_ = {};
};

} // namespace

Promise Promise::OfLog(struct files files, uint32_t partition, std::vector<std::string> topics)
{
    Promise out;
    out.partition = partition;
    out.topics = std::move(topics);
    const LogWalk walk(files, partition);
    walk.ExpectChainHolds();
    out.records = walk.Records();
    PromisedLanes lanes;
    for (const FoundCommit &commit : walk.chain) {
        if ((commit.header.flags & COMMIT_FLAG_FOOTER) == 0) {
            out.numbers.push_back(commit.header.number);
        }
        TakeLanes(commit, &lanes);
        out.lanes[commit.header.number] = lanes;
    }
    return out;
}

uint64_t Promise::CommitOf(uint32_t lane, uint64_t sequence) const
{
    for (const auto &[number, known] : lanes) {
        for (const auto &[key, state] : known) {
            if (key.second == lane && state.last_sequence >= sequence) { return number; }
        }
    }
    return 0;
}

std::string PromiseBroken(const Promise &promise, struct files files, uint64_t durable_number,
                          bool again)
{
    const auto trial = std::make_unique<Trial>(promise, files);
    const int doubts = ::testing::UnitTest::GetInstance()->ad_hoc_test_result().total_part_count();
    try {
        trial->Run(durable_number, again);
    } catch (const std::string &broken) {
        return broken + ";" + trial->Told();
    }
    if (::testing::UnitTest::GetInstance()->ad_hoc_test_result().total_part_count() != doubts) {
        return "the chain does not hold;" + trial->Told();
    }
    return "";
}

} // namespace penstock_test
