/* lane_builder.h - lanes' items as a log would hold them, for the tests of those who read them. */
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "storage/lane_resume.h"
#include "wire/log_format.h"

namespace penstock_test {

using FateRuns = std::vector<std::pair<int, uint32_t>>; // fate, how many

inline struct lane_key LaneKey(uint64_t producer)
{
    struct lane_key key = {};
    std::memcpy(key.producer.bytes, &producer, sizeof producer);
    key.number = 7;
    return key;
}

// One encoded item: runs from `first_sequence` on.
inline std::string LaneItem(uint64_t producer, uint64_t confirmed, uint64_t first_sequence,
                            const FateRuns &fates, uint32_t flags = 0, uint32_t home = 0,
                            int64_t active_wall_ms = 1000)
{
    struct lane_item item = {};
    std::vector<struct lane_run> runs;
    item.state.key = LaneKey(producer);
    item.state.home = home;
    item.state.epoch = 1;
    item.state.confirmed = confirmed;
    item.state.active_wall_ms = active_wall_ms;
    item.state.last_sequence = first_sequence - 1;
    for (const auto &[fate, count] : fates) {
        runs.push_back({count, static_cast<uint8_t>(fate), LOG_NO_TOPIC, 0});
        item.state.last_sequence += count;
    }
    item.state.hash = item.state.last_sequence * 31;
    item.first_sequence = first_sequence;
    item.flags = flags;
    item.run_count = static_cast<uint32_t>(runs.size());
    std::string out(lane_item_bytes(runs.size()), '\0');
    struct sink sink = sink_into(out.data(), out.size());
    lane_item_encode(&item, runs.data(), &sink);
    return out;
}

inline enum status TakeItem(struct lane_resume_set *set, const std::string &encoded)
{
    struct bytes bytes = bytes_of(encoded.data(), encoded.size());
    struct lane_item item;
    const enum status status = lane_item_decode(&bytes, &item);
    return status == STATUS_OK ? lane_resume_set_take(set, &item) : status;
}

inline FateRuns FatesOf(const struct lane_resume &lane)
{
    FateRuns out;
    for (size_t i = 0; i < lane.run_count; i++) {
        out.emplace_back(lane.runs[i].fate, lane.runs[i].count);
    }
    return out;
}

} // namespace penstock_test
