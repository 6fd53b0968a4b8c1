// torn_commits.cc - every commit in flight torn at each of its 512-byte boundaries, on a disk in
// memory; ./tools/crash runs it.
//
//   torn_commits --seed S --states N [--state K]
//
// core_log writes commits of one to eight blocks on sim_disk, several in flight, through one
// segment after another. After each step: the power goes as things are (all in flight kept, all
// lost), and for every write in flight and every boundary in it, in turn: the front of it is there,
// the back of it is there, the sector behind the boundary is garbage; the other writes are there or
// not, by seed. Each such disk is recovered and read, and held against what was durable. Runs go
// on, seed after seed, until N states have been tried; a run that was begun is finished.
#include <getopt.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>

#include "tests/crash/promise.h"
#include "tests/storage/log_builder.h"

namespace {

using namespace penstock_test;

constexpr size_t SECTOR_BYTES = 512;
constexpr int STEPS = 60;
constexpr uint64_t STATES_A_SECOND_START = 4; // one state in so many is started twice
constexpr uint64_t VIOLATIONS_TOLD_MAX = 20;  // all are counted

struct Options {
    uint64_t seed = 0;
    uint64_t states = 2000;
    uint64_t state = UINT64_MAX; // only this one
};

struct Tally {
    uint64_t states = 0;
    uint64_t violations = 0;
    uint64_t commits = 0;
    uint64_t segments = 0;
    size_t in_flight_max = 0;
};

class Run {
  public:
    Run(const Options &options, uint64_t seed, Tally *tally)
        : options_(options), seed_(seed), random_(seed), rig_(RigOptions(seed)), tally_(tally)
    {
        promise_.partition = LogRig::kPartition;
        promise_.topics = {"events", "payments"};
    }

    void Go()
    {
        for (int step = 0; step < STEPS; step++) {
            for (auto writes = random_() % 3; writes > 0; writes--) { Write(); }
            rig_.Turn();
            TryAll();
        }
        rig_.Settle();
        tally_->commits += promise_.numbers.size();
        tally_->segments += rig_.Walk().segments.size();
    }

  private:
    static LogRigOptions RigOptions(uint64_t seed)
    {
        LogRigOptions options;
        options.seed = seed;
        options.delay_reaps_max = 4;
        options.segment_bytes = 256 * 1024;
        options.commit_bytes_max = 32 * 1024;
        options.in_flight_max = 4;
        return options;
    }
    void Write()
    {
        const uint64_t number = rig_.Write(1 + static_cast<uint32_t>(random_() % 5),
                                           200 + static_cast<size_t>(random_() % 16000));
        if (number == 0) { return; } // the log takes none now
        promise_.records = rig_.written;
        promise_.numbers.push_back(number);
    }

    void TryAll()
    {
        struct sim_disk *const disk = rig_.disk;
        tally_->in_flight_max = std::max(tally_->in_flight_max, sim_disk_in_flight(disk));
        Try([](size_t, size_t) { return SIM_DISK_KEPT; });
        Try([](size_t, size_t) { return SIM_DISK_LOST; });
        for (size_t flight = 0; flight < sim_disk_in_flight(disk); flight++) {
            const size_t sectors = sim_disk_flight_bytes(disk, flight) / SECTOR_BYTES;
            for (size_t boundary = 1; boundary < sectors; boundary++) { TryTorn(flight, boundary); }
        }
    }
    void TryTorn(size_t torn, size_t boundary)
    {
        const uint64_t others = random_();
        const auto whole = [others](size_t flight) {
            return (others >> flight % 64 & 1) != 0 ? SIM_DISK_KEPT : SIM_DISK_LOST;
        };
        Try([=](size_t flight, size_t sector) {
            return flight != torn      ? whole(flight)
                   : sector < boundary ? SIM_DISK_KEPT
                                       : SIM_DISK_LOST;
        });
        Try([=](size_t flight, size_t sector) {
            return flight != torn       ? whole(flight)
                   : sector >= boundary ? SIM_DISK_KEPT
                                        : SIM_DISK_LOST;
        });
        Try([=](size_t flight, size_t sector) {
            return flight != torn       ? whole(flight)
                   : sector == boundary ? SIM_DISK_GARBAGE
                                        : SIM_DISK_KEPT;
        });
    }

    using Fate = std::function<enum sim_disk_fate(size_t flight, size_t sector)>;
    static enum sim_disk_fate FateOf(void *context, size_t flight, size_t sector)
    {
        return (*static_cast<const Fate *>(context))(flight, sector);
    }
    void Try(Fate fate)
    {
        const uint64_t index = tally_->states++;
        if (options_.state != UINT64_MAX && options_.state != index) { return; }
        const SimDisk left(sim_disk_after_cut(rig_.disk, seed_, FateOf, &fate));
        const std::string broken =
            PromiseBroken(promise_, sim_disk_files(left.get()), core_log_durable_number(rig_.log),
                          index % STATES_A_SECOND_START == 0);
        if (broken.empty()) { return; }
        if (++tally_->violations > VIOLATIONS_TOLD_MAX) { return; }
        std::printf("VIOLATION seed %" PRIu64 ", state %" PRIu64 ": %s\n"
                    "again: build/tests/crash/torn_commits --seed %" PRIu64 " --states %" PRIu64
                    " --state %" PRIu64 "\n",
                    options_.seed, index, broken.c_str(), options_.seed, options_.states, index);
        std::fflush(stdout);
    }

    const Options &options_;
    const uint64_t seed_;
    std::mt19937_64 random_;
    LogRig rig_;
    Promise promise_;
    Tally *const tally_;
};

Options ParseOptions(int count, char **words)
{
    Options out;
    static const struct option known[] = {
        {"seed", required_argument, nullptr, 's'},
        {"states", required_argument, nullptr, 'n'},
        {"state", required_argument, nullptr, 'k'},
        {nullptr, 0, nullptr, 0},
    };
    int option;
    while ((option = getopt_long(count, words, "", known, nullptr)) != -1) {
        switch (option) {
        case 's': out.seed = std::strtoull(optarg, nullptr, 10); break;
        case 'n': out.states = std::strtoull(optarg, nullptr, 10); break;
        case 'k': out.state = std::strtoull(optarg, nullptr, 10); break;
        default: std::exit(64);
        }
    }
    return out;
}

} // namespace

int main(int count, char **words)
{
    const Options options = ParseOptions(count, words);
    Tally tally;
    for (uint64_t run = 0; tally.states < options.states && run < options.states; run++) {
        Run(options, options.seed * 1000 + run, &tally).Go();
    }
    std::printf("%" PRIu64 " commits in %" PRIu64 " segments, up to %zu writes in flight\n",
                tally.commits, tally.segments, tally.in_flight_max);
    std::printf("%" PRIu64 " states, %" PRIu64 " violations\n", tally.states, tally.violations);
    return tally.violations == 0 && tally.states > 0 ? 0 : 1;
}
