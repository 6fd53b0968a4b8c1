#include "tests/sim/simulate_model.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/endian.h"
#include "client/lane.h"
#include "storage/lane_table.h"
#include "tests/sim/sim_log.h"
#include "tests/sim/simulate_trace.h"

namespace simulate {

namespace {

struct bytes BytesOf(const std::string &text) { return bytes_of(text.data(), text.size()); }

struct bytes BytesOf(const std::optional<std::string> &text)
{
    return text ? BytesOf(*text) : bytes_null();
}

std::optional<std::string> TextOf(struct bytes bytes)
{
    if (bytes.at == nullptr) { return std::nullopt; }
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

std::string IdentityOf(uint32_t lane, uint32_t process, uint64_t sequence)
{
    char text[64];
    snprintf(text, sizeof text, "@%u.%u.%llu@", lane, process,
             static_cast<unsigned long long>(sequence));
    return text;
}

// Letters from a to p, eight for each number drawn.
std::string FillerOf(struct random *random, size_t length)
{
    std::string out(length, ' ');
    for (size_t i = 0; i < length; i += 8) {
        uint8_t letters[8];
        store_le64(letters, 0x6161616161616161 + (random_u64(random) & 0x0f0f0f0f0f0f0f0f));
        memcpy(&out[i], letters, std::min<size_t>(8, length - i));
    }
    return out;
}

} // namespace

uint32_t Model::AddLane(const native_producer_id &producer, uint32_t number,
                        uint64_t first_sequence)
{
    Lane lane = {};
    lane.producer = producer;
    lane.number = number;
    lane.first_sequence = first_sequence;
    lanes_.push_back(std::move(lane));
    return static_cast<uint32_t>(lanes_.size() - 1);
}

// ------------------------------------------------------------------------------------- records

Sent *Model::Make(uint32_t lane, uint32_t process, uint64_t sequence, size_t bytes_max,
                  size_t record_limit_bytes)
{
    Sent &sent = sent_.emplace_back();
    sent.lane = lane;
    sent.process = process;
    sent.sequence = sequence;
    const std::string identity = IdentityOf(lane, process, sequence);
    const uint64_t kind = sim_random_below(&random_, 16);
    const std::string word = kind == 0 ? "DROP" : kind == 1 ? "AUDIT" : kind == 2 ? "BOTH" : "";
    const std::string filler = FillerOf(&random_, sim_random_below(&random_, bytes_max + 1));
    sent.value = identity + word + filler;
    sent.expected = kind == 0 ? NATIVE_DROPPED : NATIVE_STORED;
    sent.topics = kind == 1   ? std::set<int>{kAudit}
                  : kind == 2 ? std::set<int>{kEvents, kAudit}
                              : std::set<int>{kEvents};
    if (kind == 3) { sent.key = FillerOf(&random_, sim_random_below(&random_, 20)); }
    if (kind == 4) { /* a tombstone: who it is stands in its key */
        sent.key = identity + filler;
        sent.value.reset();
    }
    if (kind == 5) {
        sent.headers.emplace_back("name", "value");
        sent.headers.emplace_back(FillerOf(&random_, 3), std::nullopt);
    }
    native_record *const record = &sent.record;
    *record = {};
    if (kind == 6) {
        record->has_topic = true;
        record->topic = native_topic_hash(BytesOf(std::string("audit")));
        sent.topics = {kAudit};
    }
    if (kind == 7) {
        record->has_topic = true;
        record->topic = 0x12345678;
        sent.expected = NATIVE_NO_TOPIC;
    }
    if (kind == 9) { /* flips: only the rules' version says where it goes */
        sent.value = identity + "FLIP" + filler;
        sent.flips = true;
        sent.topics.clear();
    }
    if (kind == 10) {
        sent.value = identity + "FADE" + filler;
        sent.fades = true;
    }
    if (kind == 8) {
        record->has_timestamp = true;
        record->timestamp_ms = static_cast<int64_t>(1'600'000'000'000 + sequence % 1'000'000);
    }
    record->key = BytesOf(sent.key);
    record->value = BytesOf(sent.value);
    for (const auto &[name, value] : sent.headers) {
        sent.header_slices.push_back({BytesOf(name), BytesOf(value)});
    }
    record->header_count = static_cast<uint32_t>(sent.header_slices.size());
    record->headers = sent.header_slices.data();
    if (native_record_bytes(record) > record_limit_bytes) { sent.expected = NATIVE_TOO_LARGE; }
    if (sent.expected != NATIVE_STORED) {
        sent.topics.clear();
        sent.flips = sent.fades = false;
    }
    lanes_[lane].by_sequence[sequence].push_back(&sent);
    return &sent;
}

void Model::Unmake(const Sent *sent)
{
    auto &by_sequence = lanes_[sent->lane].by_sequence;
    const auto at = by_sequence.find(sent->sequence);
    at->second.pop_back();
    if (at->second.empty()) { by_sequence.erase(at); }
    sent_.pop_back();
}

void Model::MakeLine(std::string *out)
{
    *out = "line " + std::to_string(line_count_++) +
           FillerOf(&random_, sim_random_below(&random_, 100));
}

void Model::AllowLines(struct bytes payload)
{
    const std::string text(reinterpret_cast<const char *>(payload.at), payload.len_bytes);
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        lines_allowed_.insert(text.substr(at, end - at));
        at = end + 1;
    }
}

// --------------------------------------------------------------------------- what producers hear

void Model::Told(Sent *sent, uint8_t fate)
{
    Lane &lane = lanes_[sent->lane];
    const bool lost = fate == NATIVE_LOST && put_back_;
    /* Whoever held the lane between may have confirmed it, a stranger too. */
    if (fate == LANE_FATE_EARLIER && (sent->told || lane.taken)) { fate = sent->expected; }
    /* Judged once by some version of the rules; again only where that is forgotten. */
    const bool judged = fate == NATIVE_STORED || fate == NATIVE_DROPPED;
    if (sent->fades && judged && (!sent->told || LanesMayBeLost() || lane.beginnings > 1)) {
        sent->expected = fate;
    }
    if (fate != sent->expected && !lost) {
        Violate("C1: lane %u: record %llu has the fate %u, not %u", sent->lane,
                static_cast<unsigned long long>(sent->sequence), fate, sent->expected);
    }
    if (lost) { sent->may_be_gone = true; }
    sent->told = true;
    told_count_++;
    lane.durable_max = std::max(lane.durable_max, sent->sequence);
}

void Model::ToldLost(uint32_t lane, uint64_t first, uint64_t count)
{
    if (!put_back_) {
        Violate("C5: lane %u: told of %llu lost from %llu on, and no disk lost any", lane,
                static_cast<unsigned long long>(count), static_cast<unsigned long long>(first));
    }
    auto &by_sequence = lanes_[lane].by_sequence;
    for (auto at = by_sequence.lower_bound(first);
         at != by_sequence.end() && at->first - first < count; ++at) {
        for (Sent *const sent : at->second) { sent->may_be_gone = sent->said_lost = true; }
    }
    lanes_[lane].ambiguous = true;
}

// Also what nobody was told yet: its acknowledgement may be on the wire already. Only a lane that
// opens again talks to an appliance that knows the older disk.
void Model::DiskPutBack()
{
    put_back_ = true;
    for (Sent &sent : sent_) {
        sent.at_risk = true;
        sent.said_lost = false; // this disk may have what the one before had lost
    }
}

void Model::CommitsWereFenced()
{
    if (!put_back_) { Violate("C5: recovery found rot, and no disk was put back"); }
    rotten_ = true; /* torn when the older disk was taken out, durable by what the pages say */
}

void Model::OpenedAgain(uint32_t number)
{
    for (auto &[sequence, all] : lanes_[number].by_sequence) {
        for (Sent *const sent : all) { sent->at_risk = false; }
    }
}

void Model::WentOnAt(uint32_t number, uint64_t next)
{
    Lane &lane = lanes_[number];
    if (lane.by_sequence.empty() || next > lane.by_sequence.rbegin()->first) { return; }
    if (next <= lane.durable_max && !LanesMayBeLost()) {
        Violate("C1: lane %u: goes on at %llu, and %llu was durable", number,
                static_cast<unsigned long long>(next),
                static_cast<unsigned long long>(lane.durable_max));
    }
    if (!LanesMayBeLost()) { return; }
    lane.beginnings++;
    lane.ambiguous = true;
    lane.durable_max = std::min(lane.durable_max, next - 1);
    for (auto at = lane.by_sequence.lower_bound(next); at != lane.by_sequence.end(); ++at) {
        for (Sent *const sent : at->second) { sent->may_be_gone = sent->may_be_gone || put_back_; }
    }
}

void Model::BeganAgain(uint32_t number)
{
    Lane &lane = lanes_[number];
    lane.beginnings++;
    lane.ambiguous = true;
    for (auto &[sequence, all] : lane.by_sequence) {
        for (Sent *const sent : all) {
            if (put_back_) { sent->may_be_gone = true; }
            sent->copies_max++;
        }
    }
}

void Model::Abandoned(uint32_t lane) { lanes_[lane].ambiguous = true; }

// ------------------------------------------------------------------------------------- the log

struct Model::LogRecord {
    uint32_t partition;
    uint64_t segment;
    int topic;
    uint64_t offset;
    std::optional<std::string> key;
    std::optional<std::string> value;
    std::vector<std::pair<std::string, std::optional<std::string>>> headers;
    int64_t timestamp_ms;
};

// NULL: it says nothing of a lane.
Sent *Model::FindByIdentity(const std::string &text)
{
    unsigned lane;
    unsigned process;
    unsigned long long sequence;
    if (sscanf(text.c_str(), "@%u.%u.%llu@", &lane, &process, &sequence) != 3) { return nullptr; }
    if (lane >= lanes_.size()) { return nullptr; }
    const auto at = lanes_[lane].by_sequence.find(sequence);
    if (at == lanes_[lane].by_sequence.end()) { return nullptr; }
    for (Sent *const sent : at->second) {
        if (sent->process == process) { return sent; }
    }
    return nullptr;
}

// NULL: a line, or nothing that was ever sent.
Sent *Model::SentOf(const LogRecord &record)
{
    return FindByIdentity(record.value ? *record.value : record.key ? *record.key : "");
}

void Model::JudgeRecord(const LogRecord &record)
{
    if (record.value) {
        const auto line = lines_allowed_.find(*record.value);
        if (line != lines_allowed_.end()) {
            lines_allowed_.erase(line);
            return;
        }
    }
    Sent *const sent = SentOf(record);
    if (sent == nullptr) {
        const std::string &text = record.value ? *record.value : record.key ? *record.key : "";
        Violate("C3: in the log, never sent: %.200s", text.c_str());
    }
    const std::string who = IdentityOf(sent->lane, sent->process, sent->sequence);
    if (record.key != sent->key || record.value != sent->value || record.headers != sent->headers) {
        Violate("C3: %s: other bytes in the log than were sent", who.c_str());
    }
    if (sent->record.has_timestamp && record.timestamp_ms != sent->record.timestamp_ms) {
        Violate("C3: %s: another timestamp in the log", who.c_str());
    }
    if (sent->flips) {
        found_.push_back({record.partition, record.topic, sent});
        if (++sent->copies > sent->copies_max) { Violate("C2: %s is stored twice", who.c_str()); }
        return;
    }
    if (sent->topics.count(record.topic) == 0) {
        Violate("C1: %s: in topic %s, where it does not belong", who.c_str(),
                kTopicNames[record.topic]);
    }
    found_.push_back({record.partition, record.topic, sent});
    if (record.topic != *sent->topics.begin()) { return; }
    if (++sent->copies > sent->copies_max) { Violate("C2: %s is stored twice", who.c_str()); }
}

// Of each lane, in each partition and topic, sequences rise; they go back only where the lane began
// anew.
void Model::JudgeOrder(const std::vector<Found> &found)
{
    std::map<std::pair<uint64_t, uint32_t>, std::pair<uint64_t, uint32_t>> last;
    for (const Found &at : found) {
        const uint64_t place =
            uint64_t{at.partition} * kTopicCount + static_cast<uint64_t>(at.topic);
        auto &[sequence, steps_back] = last[{place, at.sent->lane}];
        if (at.sent->sequence <= sequence && ++steps_back >= lanes_[at.sent->lane].beginnings) {
            Violate("C2: lane %u: record %llu stands behind %llu in partition %u", at.sent->lane,
                    static_cast<unsigned long long>(at.sent->sequence),
                    static_cast<unsigned long long>(sequence), at.partition);
        }
        sequence = at.sent->sequence;
    }
}

void Model::JudgeFates()
{
    for (const Sent &sent : sent_) {
        stored_count_ += sent.copies;
        if (rotten_) { continue; }
        const std::string who = IdentityOf(sent.lane, sent.process, sent.sequence);
        const bool stored = sent.expected == NATIVE_STORED;
        if (stored && sent.told && sent.copies == 0 && !sent.may_be_gone && !sent.at_risk) {
            Violate("C1: %s: told STORED, and not in the log", who.c_str());
        }
        if (sent.said_lost && sent.copies > 0 && lanes_[sent.lane].beginnings == 1) {
            Violate("C5: %s: told lost, and in the log", who.c_str());
        }
        const bool judged_again =
            sent.fades && (LanesMayBeLost() || lanes_[sent.lane].beginnings > 1);
        if (!stored && sent.copies > 0 && !judged_again) {
            Violate("C1: %s: in the log, with the fate %u", who.c_str(), sent.expected);
        }
    }
    if (rotten_) { return; }
    std::map<const Sent *, std::map<int, uint32_t>> copies;
    for (const Found &at : found_) { copies[at.sent][at.topic]++; }
    for (const auto &[sent, by_topic] : copies) {
        for (const int topic : sent->topics) {
            const auto at = by_topic.find(topic);
            if (at != by_topic.end() && at->second == sent->copies) { continue; }
            Violate("C1: %s: not the same in all its topics",
                    IdentityOf(sent->lane, sent->process, sent->sequence).c_str());
        }
    }
}

void Model::CheckPlace(const std::optional<std::string> &key,
                       const std::optional<std::string> &value, int topic, bool by_other_rules)
{
    const Sent *const sent = FindByIdentity(value ? *value : key ? *key : "");
    if (sent == nullptr) { return; } /* a line, or damaged: CheckLog judges these */
    const int flipped = by_other_rules ? kAudit : kEvents;
    const bool right = sent->flips   ? topic == flipped
                       : sent->fades ? by_other_rules && topic == kEvents
                                     : sent->topics.count(topic) > 0;
    if (!right) {
        Violate("%s: in %s, in a commit of rules that do not put it there",
                IdentityOf(sent->lane, sent->process, sent->sequence).c_str(), kTopicNames[topic]);
    }
}

std::vector<Model::LogRecord> Model::ReadLog(struct files files, uint64_t *unreadable)
{
    std::vector<LogRecord> records;
    const auto visit = [](void *context, const struct sim_log_place *place,
                          const struct record_batch_record *record) {
        const int topic = strcmp(place->topic, kTopicNames[kEvents]) == 0 ? kEvents : kAudit;
        LogRecord out = {place->partition,
                         place->segment_number,
                         topic,
                         static_cast<uint64_t>(record->offset),
                         TextOf(record->key),
                         TextOf(record->value),
                         {},
                         record->timestamp_ms};
        struct record_batch_record walk = *record;
        struct bytes name;
        struct bytes value;
        while (record_batch_next_header(&walk, &name, &value) == STATUS_OK) {
            out.headers.emplace_back(*TextOf(name), TextOf(value));
        }
        static_cast<std::vector<LogRecord> *>(context)->push_back(std::move(out));
    };
    const enum status status = sim_log_read_around(files, visit, &records, unreadable);
    if (status != STATUS_OK) { Violate("C5: the log cannot be read: %s", status_text(status)); }
    return records;
}

uint64_t Model::TakeRetired(struct files files, uint32_t partition, uint64_t segment)
{
    uint64_t unreadable;
    uint64_t newest_ns = 0;
    for (const LogRecord &record : ReadLog(files, &unreadable)) {
        uint64_t &taken = taken_[{record.partition, record.topic}];
        if (record.partition != partition || record.segment >= segment) { continue; }
        if (record.offset < taken) { continue; } /* came back with an older root page */
        const Sent *const sent = SentOf(record);
        if (sent != nullptr) { newest_ns = std::max(newest_ns, sent->given_ns); }
        JudgeRecord(record);
        taken = record.offset + 1;
    }
    if (unreadable > 0) { Violate("C5: batches that retention takes do not hold"); }
    return newest_ns;
}

uint64_t Model::NewestGiven(struct files files, uint32_t partition, int topic, uint64_t from,
                            uint64_t to)
{
    uint64_t unreadable;
    uint64_t newest_ns = 0;
    for (const LogRecord &record : ReadLog(files, &unreadable)) {
        if (record.partition != partition || record.topic != topic) { continue; }
        if (record.offset < from || record.offset >= to) { continue; }
        const Sent *const sent = SentOf(record);
        if (sent != nullptr) { newest_ns = std::max(newest_ns, sent->given_ns); }
    }
    return newest_ns;
}

void Model::CheckLog(struct files files)
{
    uint64_t unreadable;
    for (const LogRecord &record : ReadLog(files, &unreadable)) {
        if (record.offset >= taken_[{record.partition, record.topic}]) { JudgeRecord(record); }
    }
    if (unreadable > 0 && !put_back_) { Violate("C5: batches in the log do not hold"); }
    rotten_ |= unreadable > 0;
    JudgeOrder(found_);
    JudgeFates();
}

// ------------------------------------------------------------------------------------ the lanes

uint64_t Model::HashOf(const Lane &lane, uint64_t last_sequence) const
{
    uint64_t hash = 0;
    std::vector<uint8_t> room(64 * 1024);
    for (const auto &[sequence, all] : lane.by_sequence) {
        if (sequence > last_sequence) { break; }
        const Sent &sent = *all.front();
        uint32_t digest = 0;
        if (sent.expected != NATIVE_TOO_LARGE) {
            struct sink out = sink_into(room.data(), room.size());
            native_body_encode(&out, &sent.record);
            digest = native_digest(sink_written(&out));
        }
        hash = native_hash_extend(hash, digest);
    }
    return hash;
}

// The newest copy of each counts, as storage/lane_handover.h says.
void Model::CheckLanes(const std::vector<const lane_resume_set *> &partitions)
{
    for (size_t number = 0; number < lanes_.size(); number++) {
        const Lane &lane = lanes_[number];
        if (lane.ambiguous || lane.taken || LanesMayBeLost()) { continue; }
        const lane_key key = {lane.producer, lane.number};
        const lane_state *newest = nullptr;
        for (const lane_resume_set *const set : partitions) {
            const lane_resume *const found = lane_resume_set_find(set, &key);
            if (found == nullptr) { continue; }
            const lane_state *const state = &found->state;
            if (newest == nullptr || std::pair(state->home, state->last_sequence) >
                                         std::pair(newest->home, newest->last_sequence)) {
                newest = state;
            }
        }
        if (newest == nullptr) {
            if (lane.durable_max < lane.first_sequence) { continue; }
            Violate("C1: lane %zu is not in the log", number);
        }
        if (newest->last_sequence < lane.durable_max) {
            Violate("C1: lane %zu: ends at %llu, and %llu was durable", number,
                    static_cast<unsigned long long>(newest->last_sequence),
                    static_cast<unsigned long long>(lane.durable_max));
        }
        if (newest->hash != HashOf(lane, newest->last_sequence)) {
            Violate("lane %zu: its running hash is another one", number);
        }
    }
}

} // namespace simulate
