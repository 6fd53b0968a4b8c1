// block_replay.cc - what a recorded disk may hold after a power cut, recovered; blocks.py runs it.
//
//   block_replay --fs ext4|xfs --base IMAGE --trace FILE --receipts FILE --mount DIR --seed S
//                [--prefixes N|all] [--variants N] [--state pK|vI]
//
// A prefix: all writes before one event, none later. A variant: the same, but of what no flush
// covered (and of the write that the cut met) each 512-byte sector of the log's files is kept, lost
// or garbage, by seed; of the file system's own blocks each is kept or lost whole, for a file
// system counts on that. Every state is mounted, recovered, read, and held against what the
// appliance had promised when the cut came: durable numbers that consumers saw, receipts that the
// sender wrote.
#include <fcntl.h>
#include <getopt.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "client/receipts.h"
#include "storage/files.h"
#include "tests/crash/block_image.h"
#include "tests/crash/block_trace.h"
#include "tests/crash/promise.h"

namespace {

using namespace penstock_test;

constexpr uint64_t SECTOR_BYTES = 512;
constexpr uint64_t BLOCK_BYTES = 4096;
constexpr uint64_t STATES_A_SECOND_START = 8; // one state in so many is started twice
constexpr uint64_t VIOLATIONS_TOLD_MAX = 20;  // all are counted

struct Options {
    std::string fs, base, trace, receipts, mount, state;
    uint64_t seed = 0;
    uint64_t prefixes = UINT64_MAX;
    uint64_t variants = 0;
};

[[noreturn]] void Fail(const std::string &what)
{
    std::fprintf(stderr, "block_replay: %s\n", what.c_str());
    std::exit(2);
}

// ---------------------------------------------------------------------------------------- the
// trace

struct Event {
    struct block_trace_event head;
    const uint8_t *bytes;
};

struct MappedInput {
    explicit MappedInput(const std::string &path)
    {
        const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat stat = {};
        if (file < 0 || fstat(file, &stat) != 0) { Fail(path + ": " + std::strerror(errno)); }
        size = static_cast<size_t>(stat.st_size);
        at = static_cast<const uint8_t *>(mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0));
        if (at == MAP_FAILED) { Fail(path + ": " + std::strerror(errno)); }
        close(file);
    }
    const uint8_t *at;
    size_t size;
};

std::vector<Event> EventsOf(const MappedInput &trace)
{
    std::vector<Event> out;
    size_t at = 0;
    while (at < trace.size) {
        Event event;
        std::memcpy(&event.head, trace.at + at, sizeof event.head);
        if (event.head.magic != BLOCK_TRACE_MAGIC) { Fail("the trace is none"); }
        at += sizeof event.head;
        event.bytes = trace.at + at;
        at += event.head.length_bytes;
        out.push_back(event);
    }
    if (at != trace.size) { Fail("the trace is not whole"); }
    return out;
}

bool IsWrite(const Event &event) { return event.head.kind == BLOCK_TRACE_WRITE; }

// -------------------------------------------------------------------------------------------
// replay

class Replay {
  public:
    explicit Replay(const Options &options)
        : options_(options), trace_(options.trace), events_(EventsOf(trace_)), base_(options.base),
          device_(base_.size)
    {
        image_ = static_cast<uint8_t *>(
            mmap(nullptr, base_.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (image_ == MAP_FAILED) { Fail("no memory"); }
        Learn();
    }
    ~Replay() { munmap(image_, base_.size); }
    Replay(const Replay &) = delete;
    Replay &operator=(const Replay &) = delete;

    void Run()
    {
        if (!options_.state.empty()) {
            RunOne(options_.state[0], std::strtoull(options_.state.c_str() + 1, nullptr, 10));
        } else {
            RunPrefixes();
            RunVariants();
        }
        std::printf("%s: %zu writes and flushes, %zu commits; %" PRIu64 " prefixes, %" PRIu64
                    " torn, lost or garbled variants; the slowest took %.2f s\n",
                    options_.fs.c_str(), events_.size(), promise_.numbers.size(), prefixes_run_,
                    variants_run_, slowest_seconds_);
    }
    uint64_t States() const { return prefixes_run_ + variants_run_; }
    uint64_t Violations() const { return violations_; }

  private:
    // ---- what was promised

    // From the whole trace: the log as it ended, where its files lie, and what was promised when.
    void Learn()
    {
        Reset();
        for (const Event &event : events_) { Apply(event); }
        device_.Become(image_);
        const Mount mount(device_.Path(), options_.mount, options_.fs);
        if (mount.failed) { Fail("the recorded disk cannot be mounted"); }
        WithFiles([this](struct files files) { promise_ = Promise::OfLog(files, 0, {"events"}); });
        if (promise_.numbers.empty()) { Fail("nothing was recorded"); }
        LearnPlaces();
        LearnPromises();
    }
    void LearnPlaces()
    {
        is_log_.assign(base_.size / BLOCK_BYTES, false);
        for (uint64_t number = 1; number < 1000; number++) {
            char name[LOG_NAME_BYTES];
            log_segment_name(0, number, name);
            const std::string path = options_.mount + "/" + name;
            if (access(path.c_str(), F_OK) != 0) { continue; }
            for (const BlockRange &range : BlocksOfFile(path)) {
                for (uint64_t at = range.begin; at < range.end; at += BLOCK_BYTES) {
                    is_log_[at / BLOCK_BYTES] = true;
                }
            }
        }
    }
    // Before event k the appliance had promised commit promised_[k].
    void LearnPromises()
    {
        std::vector<std::pair<uint64_t, uint64_t>> receipts = ReceiptsByTime();
        uint64_t newest = 0;
        size_t taken = 0;
        for (const Event &event : events_) {
            newest = std::max(newest, event.head.durable_number);
            while (taken < receipts.size() && receipts[taken].first <= event.head.wall_ns) {
                newest = std::max(newest, receipts[taken++].second);
            }
            promised_.push_back(newest);
        }
        promised_.push_back(promise_.numbers.back());
        if (promised_[promised_.size() - 2] == 0) { Fail("nothing was promised: no root page?"); }
    }
    // (when it was known at the latest, the commit that holds what was acknowledged)
    std::vector<std::pair<uint64_t, uint64_t>> ReceiptsByTime()
    {
        std::vector<std::pair<uint64_t, uint64_t>> out;
        struct receipts_reader *reader;
        struct native_producer_id producer;
        if (receipts_reader_open(options_.receipts.c_str(), &reader, &producer) != STATUS_OK) {
            Fail(options_.receipts + ": no receipts");
        }
        const auto receipt = std::make_unique<struct receipt>();
        while (receipts_next(reader, receipt.get()) == STATUS_OK) {
            const uint64_t commit = promise_.CommitOf(receipt->lane, receipt->last);
            if (commit == 0) { Fail("acknowledged, and nowhere in the log"); }
            out.emplace_back((static_cast<uint64_t>(receipt->time_ms) + 1) * NS_PER_MS, commit);
        }
        receipts_reader_close(reader);
        std::sort(out.begin(), out.end());
        return out;
    }

    // ---- images

    void Reset() { std::memcpy(image_, base_.at, base_.size); }
    void Apply(const Event &event)
    {
        if (IsWrite(event)) {
            std::memcpy(image_ + event.head.position, event.bytes, event.head.length_bytes);
        }
    }

    // ---- states

    template <typename Use> void WithFiles(const Use &use)
    {
        const char *const path = options_.mount.c_str();
        struct posix_files *files;
        if (posix_files_create(&path, 1, false, &files) != STATUS_OK) { Fail("no files"); }
        use(posix_files_port(files));
        posix_files_destroy(files);
    }
    void Judge(const std::string &state, size_t cut)
    {
        const auto begin = std::chrono::steady_clock::now();
        device_.Become(image_);
        std::string broken;
        {
            const Mount mount(device_.Path(), options_.mount, options_.fs);
            if (mount.failed) {
                broken = std::string("the file system cannot be mounted: ") + std::strerror(errno);
            } else {
                const bool again = States() % STATES_A_SECOND_START == 0;
                WithFiles([&](struct files files) {
                    broken = PromiseBroken(promise_, files, promised_[cut], again);
                });
            }
        }
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
        slowest_seconds_ = std::max(slowest_seconds_, taken.count());
        if (broken.empty()) { return; }
        if (++violations_ > VIOLATIONS_TOLD_MAX) { return; }
        std::printf("VIOLATION %s, seed %" PRIu64 ", state %s (cut before event %zu): %s\n"
                    "again: tests/crash/blocks.py --fs %s --seed %" PRIu64 " --state %s\n",
                    options_.fs.c_str(), options_.seed, state.c_str(), cut, broken.c_str(),
                    options_.fs.c_str(), options_.seed, state.c_str());
        std::fflush(stdout);
    }

    // Cuts behind a write and at the beginning; behind a flush the disk holds what it held.
    std::vector<size_t> Cuts() const
    {
        std::vector<size_t> cuts = {0};
        for (size_t i = 0; i < events_.size(); i++) {
            if (IsWrite(events_[i])) { cuts.push_back(i + 1); }
        }
        return cuts;
    }
    void RunPrefixes()
    {
        std::vector<size_t> cuts = Cuts();
        if (options_.prefixes < cuts.size()) {
            std::shuffle(cuts.begin(), cuts.end(), std::mt19937_64(options_.seed));
            cuts.resize(options_.prefixes);
            std::sort(cuts.begin(), cuts.end());
        }
        Reset();
        size_t applied = 0;
        for (const size_t cut : cuts) {
            for (; applied < cut; applied++) { Apply(events_[applied]); }
            JudgePrefix(cut);
        }
    }
    // The disk stands still behind the write: the promises that count are those made until the next
    // one, not only until the flush.
    void JudgePrefix(size_t cut)
    {
        size_t last = cut;
        while (last < events_.size() && !IsWrite(events_[last])) { last++; }
        prefixes_run_++;
        Judge("p" + std::to_string(cut), last);
    }

    struct Variant {
        uint64_t index;
        size_t cut; // events before it happened; it itself was under way
    };
    // Three of four meet a write to the log, each such write about as often as any other.
    Variant ChooseVariant(uint64_t index) const
    {
        std::mt19937_64 dice(options_.seed * 1000003 + index);
        for (int tries = 0; tries < 1000 && dice() % 4 != 0; tries++) {
            const size_t cut = dice() % events_.size();
            if (IsWrite(events_[cut]) && IsLog(events_[cut])) { return {index, cut}; }
        }
        return {index, static_cast<size_t>(dice() % events_.size())};
    }
    bool IsLog(const Event &event) const { return is_log_[event.head.position / BLOCK_BYTES]; }

    // In the order of their cuts, so that the trace is gone through once.
    void RunVariants()
    {
        std::vector<Variant> variants;
        for (uint64_t i = 0; i < options_.variants; i++) { variants.push_back(ChooseVariant(i)); }
        std::stable_sort(variants.begin(), variants.end(),
                         [](const Variant &a, const Variant &b) { return a.cut < b.cut; });
        Reset();
        size_t flushed = 0; // events below are durable
        for (const Variant &variant : variants) {
            flushed = ApplyFlushed(flushed, variant.cut);
            JudgeVariant(variant, flushed);
        }
    }
    // Up to the last flush that was over before the cut.
    size_t ApplyFlushed(size_t from, size_t cut)
    {
        size_t flush = cut;
        while (flush > from && IsWrite(events_[flush - 1])) { flush--; }
        for (size_t i = from; i < flush; i++) { Apply(events_[i]); }
        return flush;
    }
    void JudgeVariant(const Variant &variant, size_t flushed)
    {
        std::mt19937_64 dice(options_.seed * 7919 + variant.index);
        std::vector<std::pair<uint64_t, std::vector<uint8_t>>> before;
        const uint64_t style = dice() % 4;
        const size_t end = std::min(variant.cut + 1, events_.size());
        for (size_t i = flushed; i < end; i++) {
            if (!IsWrite(events_[i])) { continue; }
            const uint8_t *const at = image_ + events_[i].head.position;
            before.emplace_back(events_[i].head.position,
                                std::vector<uint8_t>(at, at + events_[i].head.length_bytes));
            ApplyPartly(events_[i], FateOf(style, i == variant.cut, &dice), &dice);
        }
        variants_run_++;
        Judge("v" + std::to_string(variant.index), variant.cut);
        for (size_t i = before.size(); i-- > 0;) {
            std::copy(before[i].second.begin(), before[i].second.end(), image_ + before[i].first);
        }
    }
    enum Fate { KEPT, LOST, FRONT, BACK, SECTORS, FATES };

    // Style 0: nothing of what no flush covered is there. 1: all of it but the last write, which is
    // torn. Else each write has a fate of its own.
    static Fate FateOf(uint64_t style, bool last, std::mt19937_64 *dice)
    {
        const auto drawn = static_cast<Fate>((*dice)() % FATES);
        if (style == 0) { return LOST; }
        if (style == 1) { return last ? FRONT : KEPT; }
        return drawn;
    }
    void ApplyPartly(const Event &event, Fate fate, std::mt19937_64 *dice)
    {
        const uint64_t sectors = event.head.length_bytes / SECTOR_BYTES;
        const uint64_t torn_at = (*dice)() % (sectors + 1);
        uint64_t chance = 0;
        for (uint64_t sector = 0; sector < sectors; sector++) {
            const uint64_t position = event.head.position + sector * SECTOR_BYTES;
            const uint64_t in_block = position % BLOCK_BYTES / SECTOR_BYTES;
            const bool log = is_log_[position / BLOCK_BYTES];
            // All of a file system's block has the fate of its first sector.
            const uint64_t place = log || in_block > sector ? sector : sector - in_block;
            if (log || in_block == 0) { chance = (*dice)() % 8; }
            const bool kept = fate == KEPT || (fate == FRONT && place < torn_at) ||
                              (fate == BACK && place >= torn_at) || (fate == SECTORS && chance < 4);
            uint8_t *const at = image_ + position;
            if (kept) {
                std::memcpy(at, event.bytes + sector * SECTOR_BYTES, SECTOR_BYTES);
            } else if (fate == SECTORS && chance == 7 && log) {
                std::generate(at, at + SECTOR_BYTES,
                              [dice] { return static_cast<uint8_t>((*dice)()); });
            }
        }
    }

    void RunOne(char kind, uint64_t number)
    {
        Reset();
        if (kind == 'p') {
            for (size_t i = 0; i < number && i < events_.size(); i++) { Apply(events_[i]); }
            JudgePrefix(std::min<size_t>(number, events_.size()));
        } else {
            const Variant variant = ChooseVariant(number);
            JudgeVariant(variant, ApplyFlushed(0, variant.cut));
        }
    }

    const Options options_;
    const MappedInput trace_;
    const std::vector<Event> events_;
    const MappedInput base_;
    BlockImage device_;
    uint8_t *image_;
    Promise promise_;
    std::vector<bool> is_log_;       // by block of the device
    std::vector<uint64_t> promised_; // by event
    uint64_t prefixes_run_ = 0;
    uint64_t variants_run_ = 0;
    uint64_t violations_ = 0;
    double slowest_seconds_ = 0;
};

Options ParseOptions(int count, char **words)
{
    Options out;
    static const struct option known[] = {
        {"fs", required_argument, nullptr, 'f'},
        {"base", required_argument, nullptr, 'b'},
        {"trace", required_argument, nullptr, 't'},
        {"receipts", required_argument, nullptr, 'r'},
        {"mount", required_argument, nullptr, 'm'},
        {"seed", required_argument, nullptr, 's'},
        {"prefixes", required_argument, nullptr, 'p'},
        {"variants", required_argument, nullptr, 'v'},
        {"state", required_argument, nullptr, 'k'},
        {nullptr, 0, nullptr, 0},
    };
    int option;
    while ((option = getopt_long(count, words, "", known, nullptr)) != -1) {
        switch (option) {
        case 'f': out.fs = optarg; break;
        case 'b': out.base = optarg; break;
        case 't': out.trace = optarg; break;
        case 'r': out.receipts = optarg; break;
        case 'm': out.mount = optarg; break;
        case 'k': out.state = optarg; break;
        case 's': out.seed = std::strtoull(optarg, nullptr, 10); break;
        case 'v': out.variants = std::strtoull(optarg, nullptr, 10); break;
        case 'p':
            if (std::strcmp(optarg, "all") != 0) {
                out.prefixes = std::strtoull(optarg, nullptr, 10);
            }
            break;
        default: std::exit(64);
        }
    }
    return out;
}

} // namespace

int main(int count, char **words)
{
    Replay replay(ParseOptions(count, words));
    replay.Run();
    std::printf("%" PRIu64 " states, %" PRIu64 " violations\n", replay.States(),
                replay.Violations());
    return replay.Violations() == 0 && replay.States() > 0 ? 0 : 1;
}
