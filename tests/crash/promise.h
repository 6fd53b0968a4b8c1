// promise.h - what a log promised, and whether what a crash left of it keeps that.
//
// A Promise knows every commit that was ever handed to the log. Check recovers what is there, as a
// start does, and reads all of it, as a consumer does. It is to hold a beginning of what was
// written: every commit up to some number, none else (C3), each record once, at its offset, with
// its bytes (C2), every lane as that commit left it, and nothing shorter than what had been
// promised when the crash came (C1).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "storage/files.h"
#include "tests/storage/log_rig.h"

namespace penstock_test {

// A lane as a commit left it.
struct PromisedLane {
    uint64_t epoch;
    uint64_t last_sequence;
    uint64_t hash;
    bool operator==(const PromisedLane &other) const
    {
        return epoch == other.epoch && last_sequence == other.last_sequence && hash == other.hash;
    }
};
using PromisedLanes = std::map<std::pair<std::string, uint32_t>, PromisedLane>; // by id and number

struct Promise {
    uint32_t partition = 0;
    std::vector<std::string> topics;         // by their number in the log
    std::vector<FoundEntry> records;         // in the order written
    std::vector<uint64_t> numbers;           // of commits, in order; footers left out
    std::map<uint64_t, PromisedLanes> lanes; // behind the commit of that number; empty: none ever

    // As a whole log tells it, with the decoders of wire/ alone.
    static Promise OfLog(struct files files, uint32_t partition, std::vector<std::string> topics);

    // The first commit behind which the lane has `sequence`; 0: none has.
    uint64_t CommitOf(uint32_t lane, uint64_t sequence) const;
};

// "": kept. Else what is not. `durable_number`: the last commit that was promised before the crash.
// With `again` a second start is to find nothing left to do.
std::string PromiseBroken(const Promise &promise, struct files files, uint64_t durable_number,
                          bool again);

} // namespace penstock_test
