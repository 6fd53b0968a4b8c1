#include "tests/sim/simulate_retention.h"

#include <algorithm>

#include "storage/segment_look.h"

namespace simulate {

namespace {

constexpr uint64_t kWallMarginNs = 2 * NS_PER_MS; // commits and ages have whole milliseconds
constexpr uint64_t kHurriedGraceNs = NS_PER_S;    // retention.c, where bytes press
constexpr uint64_t kTurnsNs = uint64_t{100} * NS_PER_MS;

bool IsSealed(struct files files, uint32_t partition, uint64_t number, int64_t *wall_ms)
{
    struct segment_look look;
    struct scanned_commit footer;
    if (segment_look_begin(files, partition, number, &look) != STATUS_OK) { return false; }
    const bool sealed = segment_scan_footer(look.scan, &footer) == STATUS_OK;
    if (sealed) { *wall_ms = footer.header.wall_ms; }
    segment_look_end(&look);
    return sealed;
}

} // namespace

RetentionCheck::RetentionCheck(const struct sim_node_settings *settings, Model *model, Trace *trace)
    : settings_(settings), model_(model), trace_(trace)
{}

bool RetentionCheck::IsOn() const
{
    bool on = settings_->retain_bytes != 0 || settings_->retain_age_ns != 0;
    for (const uint64_t age_ns : settings_->topic_retain_age_ns) { on = on || age_ns != 0; }
    return on;
}

uint64_t RetentionCheck::RestNs() const
{
    /* The segment that is open at the end is closed first, and makes room below. */
    return settings_->segment_age_ns + 2 * settings_->retention_period_ns + kHurriedGraceNs +
           kTurnsNs;
}

RetentionCheck::Files RetentionCheck::FilesOf(struct sim_node *node)
{
    Files out;
    struct Listing {
        Files *out;
        uint32_t partition;
    } listing = {&out, 0};
    const auto on_segment = [](void *context, uint64_t number, uint64_t size_bytes) {
        const auto *const at = static_cast<Listing *>(context);
        at->out->numbers[at->partition].push_back(number);
        at->out->sizes[at->partition].push_back(size_bytes);
        at->out->total_bytes += size_bytes;
    };
    const struct files files = sim_disk_files(sim_node_disk(node));
    for (; listing.partition < sim_node_partition_count(node); listing.partition++) {
        const enum status status =
            files_list_segments(files, listing.partition, on_segment, &listing);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            Violate("the segments cannot be listed: %s", status_text(status));
        }
    }
    return out;
}

bool RetentionCheck::IsOldEnough(uint64_t given_ns, uint64_t age_ns, uint64_t now_ns) const
{
    return !ages_hold_ || given_ns == 0 || now_ns - given_ns + kWallMarginNs >= age_ns;
}

// Of what went last, all but the largest was over the limit already.
bool RetentionCheck::BytesAskForIt(struct sim_node *node) const
{
    const uint64_t limit_bytes = settings_->retain_bytes;
    if (limit_bytes == 0) { return false; }
    uint64_t kept_bytes = 0;
    uint64_t gone_bytes_max = 0;
    const Files files = FilesOf(node);
    for (size_t p = 0; p < known_.size(); p++) {
        const uint64_t first = sim_node_root(node)->partitions[p].first_segment_number;
        for (size_t i = 0; i < files.numbers[p].size(); i++) {
            const uint64_t number = files.numbers[p][i];
            if (number >= first) {
                kept_bytes += files.sizes[p][i];
            } else if (number >= known_[p].first_segment) {
                gone_bytes_max = std::max(gone_bytes_max, files.sizes[p][i]);
            }
        }
    }
    return kept_bytes + gone_bytes_max > limit_bytes - limit_bytes / 2;
}

void RetentionCheck::FollowSegments(struct sim_node *node, uint64_t now_ns)
{
    const struct files files = sim_disk_files(sim_node_disk(node));
    const bool by_bytes = BytesAskForIt(node);
    for (uint32_t p = 0; p < known_.size(); p++) {
        const uint64_t first = sim_node_root(node)->partitions[p].first_segment_number;
        if (first == known_[p].first_segment) { continue; }
        const uint64_t newest_ns = model_->TakeRetired(files, p, first);
        const uint64_t age_ns = settings_->retain_age_ns;
        const bool by_age = age_ns != 0 && IsOldEnough(newest_ns, age_ns, now_ns);
        if (!by_age && !by_bytes) {
            Violate("retention: partition %u: segments below %llu went, and no limit asks for it",
                    p, static_cast<unsigned long long>(first));
        }
        trace_->Add(now_ns, "retention: partition %llu: segments below %llu go", p, first);
        segments_taken_ += first - known_[p].first_segment;
        known_[p].first_segment = first;
    }
}

// A topic begins where its own limit says, or the node's, where a log is idle.
uint64_t RetentionCheck::TopicAgeNs(int topic) const
{
    const uint64_t node_ns = settings_->retain_age_ns;
    const uint64_t topic_ns = settings_->topic_retain_age_ns[topic];
    if (node_ns == 0 || topic_ns == 0) { return std::max(node_ns, topic_ns); }
    return std::min(node_ns, topic_ns);
}

void RetentionCheck::FollowStarts(struct sim_node *node, uint32_t partition, uint64_t now_ns)
{
    const struct topic_starts *const page = sim_node_starts(node, partition);
    for (int topic = 0; topic < kTopicCount; topic++) { /* declared in this order, in every log */
        const uint64_t start = page->starts[topic];
        uint64_t *const known = &known_[partition].starts[topic];
        if (start == *known) { continue; }
        if (start < *known) {
            Violate("retention: partition %u: topic %s begins at %llu, and began at %llu",
                    partition, kTopicNames[topic], static_cast<unsigned long long>(start),
                    static_cast<unsigned long long>(*known));
        }
        const uint64_t newest_ns = model_->NewestGiven(sim_disk_files(sim_node_disk(node)),
                                                       partition, topic, *known, start);
        const uint64_t age_ns = TopicAgeNs(topic);
        if (age_ns == 0 || !IsOldEnough(newest_ns, age_ns, now_ns)) {
            Violate("retention: partition %u: topic %s begins at %llu, behind what is %llu ms old",
                    partition, kTopicNames[topic], static_cast<unsigned long long>(start),
                    static_cast<unsigned long long>((now_ns - newest_ns) / NS_PER_MS));
        }
        trace_->Add(now_ns, "retention: partition %llu: topic %llu begins at %llu", partition,
                    static_cast<uint64_t>(topic), start);
        *known = start;
        starts_moved_++;
    }
}

void RetentionCheck::Follow(struct sim_node *node, uint64_t now_ns)
{
    bool moved = false;
    if (!IsOn()) { return; }
    known_.resize(sim_node_partition_count(node)); /* less where a log had nothing durable yet */
    for (uint32_t p = 0; p < known_.size(); p++) {
        const struct root_partition *const slot = &sim_node_root(node)->partitions[p];
        Known *const known = &known_[p];
        if (!log_id_equal(known->log_id, slot->log_id)) { *known = {slot->log_id, 0, {}}; }
        if (slot->first_segment_number < known->first_segment) {
            Violate("retention: partition %u: the log start goes back", p);
        }
        if (slot->lane_floor != 0 && slot->first_segment_number > slot->lane_floor) {
            Violate("retention: partition %u: lanes are recovered from segment %llu, which went", p,
                    static_cast<unsigned long long>(slot->lane_floor));
        }
        moved = moved || slot->first_segment_number > known->first_segment;
        FollowStarts(node, p, now_ns);
    }
    if (moved) { FollowSegments(node, now_ns); }
}

void RetentionCheck::CheckAtRest(struct sim_node *node, int64_t wall_ms) const
{
    const struct files disk = sim_disk_files(sim_node_disk(node));
    const Files files = FilesOf(node);
    const bool too_much =
        settings_->retain_bytes != 0 && files.total_bytes > settings_->retain_bytes;
    const int64_t age_ms = static_cast<int64_t>((settings_->retain_age_ns + RestNs()) / NS_PER_MS);
    for (uint32_t p = 0; p < sim_node_partition_count(node); p++) {
        const struct root_partition *const slot = &sim_node_root(node)->partitions[p];
        int64_t oldest_wall_ms = INT64_MAX; // of the sealed segments that are kept
        uint64_t newest_sealed = 0;
        uint64_t oldest_kept = UINT64_MAX;
        for (const uint64_t number : files.numbers[p]) {
            int64_t sealed_wall_ms;
            if (number < slot->first_segment_number) { continue; }
            oldest_kept = std::min(oldest_kept, number);
            if (!IsSealed(disk, p, number, &sealed_wall_ms)) { continue; }
            if (number == oldest_kept) { oldest_wall_ms = sealed_wall_ms; }
            newest_sealed = std::max(newest_sealed, number);
        }
        const bool may_go = oldest_kept < newest_sealed &&
                            (slot->lane_floor == 0 || oldest_kept < slot->lane_floor);
        if (!may_go) { continue; }
        if (too_much) {
            Violate("retention: %llu bytes are kept, and segment %llu of partition %u may go",
                    static_cast<unsigned long long>(files.total_bytes),
                    static_cast<unsigned long long>(oldest_kept), p);
        }
        if (ages_hold_ && settings_->retain_age_ns != 0 && oldest_wall_ms != INT64_MAX &&
            wall_ms - oldest_wall_ms > age_ms) {
            Violate("retention: segment %llu of partition %u is %lld ms old, and kept",
                    static_cast<unsigned long long>(oldest_kept), p,
                    static_cast<long long>(wall_ms - oldest_wall_ms));
        }
    }
}

} // namespace simulate
