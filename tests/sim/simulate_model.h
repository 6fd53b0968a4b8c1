// simulate_model.h - what must become of every record that a producer gave to a lane.
//
// Purpose  Makes records whose bytes say whose they are, knows the fate that each must get, takes
// in
//          the fates that producers were told, and judges the log that is left at the end.
// Owns     Every record of a run, until its end: lanes hold slices of them.
// Errors   Violation. Threads: one.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/files.h"
#include "storage/lane_resume.h"
#include "tests/sim/sim_random.h"
#include "wire/native.h"

namespace simulate {

enum Topic { kEvents, kAudit, kTopicCount };
inline const char *const kTopicNames[kTopicCount] = {"events", "audit"};

// The rules that the model's expectations stand on: all versions agree on some records. Of FLIP
// records they differ in the topic, of FADE records in whether they are stored.
inline constexpr const char *kRules =
    "rules:\n"
    "  - { name: drop, when: 'DROP', do: drop }\n"
    "  - { name: both, when: 'BOTH', do: { route: [events, audit] } }\n"
    "  - { name: audit, when: 'AUDIT', do: { route: audit } }\n"
    "  - { name: fade, when: 'FADE', do: drop }\n";
inline constexpr const char *kOtherRules =
    "rules:\n"
    "  - { name: flip, when: 'FLIP', do: { route: audit } }\n"
    "  - { name: audit, when: 'AUDIT', do: { route: audit } }\n"
    "  - { name: both, when: 'BOTH', do: { route: [events, audit] } }\n"
    "  - { name: drop, when: 'DROP', do: drop }\n";

struct Sent {
    uint32_t lane;    // the model's number of it
    uint32_t process; // of the lane: which life of the producer made it
    uint64_t sequence;
    std::optional<std::string> key;
    std::optional<std::string> value;
    std::vector<std::pair<std::string, std::optional<std::string>>> headers;
    std::vector<native_header> header_slices;
    native_record record;
    uint8_t expected; // fate
    std::set<int> topics;
    bool flips = false; // its topic is the rules', and `topics` is empty
    bool fades = false; // stored by kOtherRules alone
    bool told = false;
    bool may_be_gone = false; // its producer was told that it may be lost, or cannot be told
    bool at_risk = false;     // … or has not asked yet
    bool said_lost = false;   // its producer was told that just this is lost
    uint32_t copies_max = 1;  // more where a lane began again
    uint32_t copies = 0;      // found in the log, of topic *topics.begin()
    uint64_t given_ns = 0;    // to its lane, for the first time
};

class Model {
  public:
    explicit Model(uint64_t seed) : random_{seed} {}

    uint32_t AddLane(const native_producer_id &producer, uint32_t number, uint64_t first_sequence);

    // A record that this process of the lane gives next. `bytes_max` is about what it may have.
    Sent *Make(uint32_t lane, uint32_t process, uint64_t sequence, size_t bytes_max,
               size_t record_limit_bytes);
    // The lane did not take it.
    void Unmake(const Sent *sent);
    void MakeLine(std::string *out);
    // Bytes that reached the lines listener, damaged perhaps: each may be stored.
    void AllowLines(struct bytes payload);

    // The appliance said so, durably.
    void Told(Sent *sent, uint8_t fate);
    // … that it lost them: only where the disk did.
    void ToldLost(uint32_t lane, uint64_t first, uint64_t count);
    // A process without memory goes on at `next`.
    void WentOnAt(uint32_t lane, uint64_t next);
    // The producer of a lane that the appliance has forgotten begins it again.
    void BeganAgain(uint32_t lane);
    // A process was lost with what it remembered: nobody sends these again.
    void Abandoned(uint32_t lane);

    // Another, older disk was put into the machine: durable records may be gone from now on.
    // Whether a lane's are is known once its producer has opened it again.
    void DiskPutBack();
    void OpenedAgain(uint32_t lane);
    // Recovery fenced commits off: their records are gone, and only operators are told.
    void CommitsWereFenced();
    void LanesMayBeForgotten() { forgetful_ = true; }
    void LaneMayBeTaken(uint32_t lane) { lanes_[lane].taken = true; }
    bool LanesMayBeLost() const { return put_back_ || forgetful_; }
    bool DiskWasPutBack() const { return put_back_; }

    // A record in a commit that names rules: whether these put it there. `topic` as it is in the
    // log.
    void CheckPlace(const std::optional<std::string> &key, const std::optional<std::string> &value,
                    int topic, bool by_other_rules);
    // The whole log at rest, and the lanes as recovery puts them together.
    // Retention took what a partition's segments before this one hold; their files are there yet.
    // Judges these records as the end would. Answers when the newest of them was given: nothing of
    // them was stored earlier than that. 0: none of a lane.
    uint64_t TakeRetired(struct files files, uint32_t partition, uint64_t segment);
    // When the newest record of a lane was given in this range of a topic's offsets; likewise.
    uint64_t NewestGiven(struct files files, uint32_t partition, int topic, uint64_t from,
                         uint64_t to);

    // The whole log at rest, but for what was taken, and the lanes as recovery puts them together.
    void CheckLog(struct files files);
    void CheckLanes(const std::vector<const lane_resume_set *> &partitions);

    uint64_t StoredCount() const { return stored_count_; }
    uint64_t ToldCount() const { return told_count_; }

  private:
    struct Lane {
        native_producer_id producer;
        uint32_t number;
        uint64_t first_sequence;
        std::map<uint64_t, std::vector<Sent *>> by_sequence;
        uint64_t durable_max = 0; // the highest that any process was told
        uint32_t beginnings = 1;
        bool ambiguous = false; // its running hash cannot be told from what is known
        bool taken = false;     // a stranger may have held it
    };
    struct Found {
        uint32_t partition;
        int topic;
        const Sent *sent;
    };
    struct LogRecord;

    static std::vector<LogRecord> ReadLog(struct files files, uint64_t *unreadable);
    Sent *SentOf(const LogRecord &record);
    void JudgeRecord(const LogRecord &record);
    void JudgeOrder(const std::vector<Found> &found);
    void JudgeFates();
    uint64_t HashOf(const Lane &lane, uint64_t last_sequence) const;
    Sent *FindByIdentity(const std::string &text);

    struct random random_;
    std::deque<Sent> sent_;
    std::vector<Lane> lanes_;
    std::multiset<std::string> lines_allowed_;
    uint64_t line_count_ = 0;
    uint64_t stored_count_ = 0;
    uint64_t told_count_ = 0;
    bool put_back_ = false;
    bool forgetful_ = false;
    bool rotten_ = false; // some batches of the log cannot be read
    std::vector<Found> found_;
    std::map<std::pair<uint32_t, int>, uint64_t> taken_; // offsets below, by partition and topic
};

} // namespace simulate
