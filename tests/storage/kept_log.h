// kept_log.h - logs that released versions of the format wrote, kept as text under tests/data.
//
// A directory log-v<version>/<name> holds a file a segment, <number>.hex: `size N`, then
// `<position>: <bytes>`, both in hexadecimal, where there is anything but zeros; records.txt, what
// a consumer has to get, byte for byte: topic, offset, timestamp, value, with tabs between; and
// lanes.txt: producer id, last sequence, confirmed, hash. None of it is ever written again.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace penstock_test {

struct KeptRecord {
    std::string topic;
    uint64_t offset;
    int64_t timestamp_ms;
    std::string value;
    bool operator==(const KeptRecord &other) const
    {
        return topic == other.topic && offset == other.offset &&
               timestamp_ms == other.timestamp_ms && value == other.value;
    }
};

struct KeptLane {
    std::string producer; // hexadecimal
    uint64_t last_sequence;
    uint64_t confirmed;
    uint64_t hash;
};

class KeptLog {
  public:
    // "log-v1/worker"
    explicit KeptLog(const std::string &name) : directory_(std::string(KEPT_LOGS) + "/" + name)
    {
        while (LoadSegment(segments.size() + 1)) {}
        LoadRecords();
        LoadLanes();
    }

    std::vector<std::string> segments; // number 1 first
    std::vector<KeptRecord> records;   // by topic, in the order of offsets
    std::vector<KeptLane> lanes;

  private:
    bool LoadSegment(size_t number)
    {
        char name[32];
        std::snprintf(name, sizeof name, "/%016zx.hex", number);
        std::ifstream in(directory_ + name);
        std::string line;
        std::string word;
        size_t size = 0;
        if (!(in >> word >> size)) { return false; }
        std::string bytes(size, '\0');
        std::getline(in, line);
        while (std::getline(in, line)) {
            const size_t colon = line.find(": ");
            const size_t at = std::stoul(line.substr(0, colon), nullptr, 16);
            const std::string hex = line.substr(colon + 2);
            EXPECT_LE(at + hex.size() / 2, size) << line;
            for (size_t i = 0; i + 1 < hex.size(); i += 2) {
                bytes.at(at + i / 2) = static_cast<char>(std::stoul(hex.substr(i, 2), nullptr, 16));
            }
        }
        segments.push_back(bytes);
        return true;
    }
    void LoadRecords()
    {
        std::ifstream in(directory_ + "/records.txt");
        std::string line;
        while (std::getline(in, line)) {
            std::istringstream fields(line);
            KeptRecord record = {};
            fields >> record.topic >> record.offset >> record.timestamp_ms;
            fields.get(); // the tab
            std::getline(fields, record.value);
            records.push_back(record);
        }
    }
    void LoadLanes()
    {
        std::ifstream in(directory_ + "/lanes.txt");
        KeptLane lane;
        while (in >> lane.producer >> lane.last_sequence >> lane.confirmed >> lane.hash) {
            lanes.push_back(lane);
        }
    }

    std::string directory_;
};

} // namespace penstock_test
