// simulate_world.h - one run: producers with real lanes, a bad network, an appliance that crashes.
//
// Purpose  By seed alone: builds a world, lets it live through trouble, then through peace, and
// asks
//          the model whether all promises of docs/protocol.md were kept.
// Errors   Violation. Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "client/lane.h"
#include "pipeline/rules.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/simulate_model.h"
#include "tests/sim/simulate_retention.h"
#include "tests/sim/simulate_trace.h"

namespace simulate {

// What happened how often, over runs: trouble that never comes is not tested.
struct Tally {
    uint64_t records_stored;
    uint64_t fates_told;
    uint64_t crashes;
    uint64_t power_cuts_at_start;
    uint64_t stops;
    uint64_t producers_crashed;
    uint64_t redirects;
    uint64_t reopened;
    uint64_t lanes_lost;
    uint64_t lanes_unknown;
    uint64_t lanes_fenced;
    uint64_t lanes_full;
    uint64_t lanes_imported;
    uint64_t lanes_forgotten;
    uint64_t takeovers_refused;
    uint64_t fragments;
    uint64_t ahead_kept;
    uint64_t over_share;
    uint64_t unknown_sessions;
    uint64_t disks_put_back;
    uint64_t replayed;
    uint64_t rules_swapped; // by workers
    uint64_t commits_by_other_rules;
    uint64_t segments_retired;
    uint64_t topic_starts_moved;
};

// Compiled once for all worlds.
struct Rules {
    struct rule_set *first; // kRules
    struct rule_set *other; // kOtherRules
};

class World {
  public:
    // Some worlds go over to the other rules and back.
    World(uint64_t seed, const Rules &rules, Trace *trace);
    ~World();
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    void Live();
    void AddTo(Tally *tally) const;

    // The settings that rules for all worlds are made for.
    static struct sim_node_settings Settings(uint64_t seed);

  private:
    // Kinds of trouble: each seed has some of them.
    enum Trouble {
        kLoss,
        kDuplication,
        kReordering,
        kCorruption,
        kCuts,
        kClogs,
        kMtu,
        kNodeCrash,
        kNodeStop,
        kOtherWorkers,
        kPowerCutAtStart,
        kProducerCrash,
        kProducerForgets,
        kRebind,
        kSlowDisk,
        kDiskErrors,
        kDiskFull,
        kDiskHangs,
        kDiskPutBack,
        kWallClock,
        kStalls,
        kReplay,
        kStranger,
        kLongOutage,
        kLines,
        kTroubleCount
    };
    struct Producer;
    struct Captured {
        struct sim_address source;
        std::string payload;
    };
    using DiskImage = std::map<std::string, std::string>;

    uint64_t Between(uint64_t min, uint64_t max) { return sim_random_between(&random_, min, max); }
    bool OneIn(uint64_t count) { return sim_random_below(&random_, count) == 0; }
    bool Has(Trouble trouble) const { return (troubles_ >> trouble & 1) != 0; }
    uint32_t ChanceUpTo(Trouble trouble, uint32_t ppm)
    {
        return Has(trouble) ? static_cast<uint32_t>(Between(0, ppm)) : 0;
    }
    uint64_t NowNs() const { return clock_.mono_ns; }

    void DrawTroubles();
    void DrawSettings(uint64_t seed);
    void DrawRetention(uint64_t seed);
    void AddProducers();
    void AddLane(size_t host, const native_producer_id &producer);

    // The appliance.
    void StartNode();
    bool TryToStart();
    void CrashNode(enum sim_node_loss loss);
    void StopNode();
    void MakeDiskBad();
    DiskImage TakeImage();
    void PutBack(const DiskImage &image);
    void CheckAtRest();
    uint64_t SegmentsOpened() const;
    void CheckRetentionAtRest();

    // Producers.
    void CreateLane(Producer *producer);
    void CrashProducer(Producer *producer);
    void Give(Producer *producer);
    void Pump(Producer *producer);
    void HandleEvent(Producer *producer, const struct lane_event &event);
    void HandleFailure(Producer *producer, const struct lane_event &event);
    void Move(Producer *producer, uint16_t port);
    void Transmit(Producer *producer);
    bool AllSettled() const;
    bool IsSettled(const Producer &producer) const;
    static bool
    IsShutOut(const Producer &producer); // the table is full of lanes that are remembered
    void SayWhatIsMissing() const;

    // The world around.
    void MakeNetworkBad();
    void Meddle();
    void MeddleWithDisk();
    void Replay();
    void Impersonate(Producer *victim);
    void PumpImpostor();
    void StepWallClock();
    void SendLines();
    void Deliver();
    uint64_t NextNs() const;
    void RunUntil(uint64_t end_ns);
    void Step(uint64_t end_ns);

    void BePeaceful();
    void Settle();
    void CloseAll();
    void CheckEnd();
    void SwapRules();
    void CheckRulesOfCommits();
    void CheckRulesOfSegment(struct bytes file);
    void CheckRulesOfEntry(struct bytes batch, int topic, bool by_other_rules);

    struct random random_;
    Trace *trace_;
    struct sim_clock clock_ = {};
    uint64_t troubles_ = 0;
    struct sim_node_settings settings_ = {};
    Model model_;
    RetentionCheck retention_{&settings_, &model_, trace_};
    struct sim_node *node_ = nullptr;
    struct sim_network *network_ = nullptr;
    size_t node_endpoint_ = 0;
    size_t stranger_endpoint_ = 0;
    struct sim_address stranger_ = {};
    std::vector<std::unique_ptr<Producer>> producers_;
    std::vector<Captured> captured_;
    struct lane *impostor_ = nullptr; // says that it is one of the producers, from another host
    uint64_t impostor_ns_ = UINT64_MAX;
    bool impostor_is_fenced_ = false; // a newer process of the lane was accepted before it began
    uint64_t meddle_ns_ = UINT64_MAX;
    uint64_t lines_ns_ = UINT64_MAX;
    struct random rules_random_; // a stream of its own: worlds without swaps live as they did
    uint64_t rules_ns_ = UINT64_MAX;
    Rules rules_;
    uint64_t rules_epoch_; // of kRules
    bool has_other_rules_ = false;
    uint64_t node_back_ns_ = 0;         // down until then
    uint64_t incarnation_ = 0;          // of what runs, or ran last
    bool incarnation_is_clear_ = false; // no run before had the same: a lost disk takes its along
    std::set<uint64_t> incarnations_;
    bool stopping_ = false;
    bool peace_ = false;
    size_t workers_ = 1;
    size_t workers_max_ = 1;
    std::unique_ptr<DiskImage> image_;
    uint64_t fenced_ = 0; // commits, by recoveries that no power cut ended
    uint64_t steps_ = 0;
    Tally tally_ = {};
    uint8_t room_[65536];
};

} // namespace simulate
