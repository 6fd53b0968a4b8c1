// simulate_retention.h - whether retention takes what its limits say, and nothing else.
//
// Purpose  Follows the log starts of a node after its turns. What went is taken into the model as
//          long as its files are there; then it need not be in the log. Log starts never go back
//          while the pages live (a power cut takes them, and files that were not removed yet are
//          the log's again), and never pass what lanes are recovered from.
// Limits   By age: nothing goes that was given to its lane less than the age ago, to two
//          milliseconds; not judged once the wall clock was stepped. By bytes: before the last
//          segment went, over half of the limit was kept (retention.c keeps room for what comes, at
//          most the other half). At rest: no more than the limits, but for what must stay.
// Errors   Violation. Threads: one.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/sim/sim_node.h"
#include "tests/sim/simulate_model.h"
#include "tests/sim/simulate_trace.h"

namespace simulate {

class RetentionCheck {
  public:
    RetentionCheck(const struct sim_node_settings *settings, Model *model, Trace *trace);

    // After each turn of a node whose power is on. Costs nothing while no log start moves.
    void Follow(struct sim_node *node, uint64_t now_ns);
    void PagesLost() { known_ = {}; }
    void WallClockStepped() { ages_hold_ = false; }

    // At rest, RestNs() later: all that may go has gone.
    bool IsOn() const;
    uint64_t RestNs() const;
    void CheckAtRest(struct sim_node *node, int64_t wall_ms) const;

    uint64_t SegmentsTaken() const { return segments_taken_; }
    uint64_t StartsMoved() const { return starts_moved_; }

  private:
    struct Known {
        struct log_id log_id;
        uint64_t first_segment;
        uint64_t starts[kTopicCount];
    };
    struct Files {
        uint64_t total_bytes = 0;
        std::vector<uint64_t> numbers[SIM_NODE_WORKERS_MAX]; // rising
        std::vector<uint64_t> sizes[SIM_NODE_WORKERS_MAX];
    };

    static Files FilesOf(struct sim_node *node);
    void FollowSegments(struct sim_node *node, uint64_t now_ns);
    void FollowStarts(struct sim_node *node, uint32_t partition, uint64_t now_ns);
    bool IsOldEnough(uint64_t given_ns, uint64_t age_ns, uint64_t now_ns) const;
    bool BytesAskForIt(struct sim_node *node) const;
    uint64_t TopicAgeNs(int topic) const;

    const struct sim_node_settings *settings_;
    Model *model_;
    Trace *trace_;
    std::vector<Known> known_;
    bool ages_hold_ = true;
    uint64_t segments_taken_ = 0;
    uint64_t starts_moved_ = 0;
};

} // namespace simulate
