#include "tests/sim/simulate_world.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/config.h"
#include "base/endian.h"
#include "storage/lane_recovery.h"
#include "tests/sim/simulate_verify.h"
#include "wire/log_format.h"
#include "wire/record_batch.h"
#include "wire/record_codec.h"

namespace simulate {

namespace {

constexpr uint16_t kNativePort = NATIVE_PORT;
constexpr uint16_t kLinesPort = 5140;
constexpr uint64_t kPatienceNs = uint64_t{60} * NS_PER_S;
constexpr uint64_t kStepsMax = 3'000'000;
constexpr size_t kCapturedMax = 256;
constexpr uint32_t kFirstHost = 0xc0000214;
constexpr uint32_t kStrangerHost = 0xc00002c8;

} // namespace

// One lane, in the process that has it now.
struct World::Producer {
    uint32_t model;
    struct lane *lane = nullptr;
    struct lane_options options = {};
    uint32_t process = 0;
    struct sim_address address = {};
    size_t endpoint = 0;

    uint64_t first_sequence = 1;
    std::map<uint64_t, Sent *> spool; // what an application keeps, by sequence: of this memory
    uint64_t resend_next = 0;         // of the spool, in this process; 0: nothing
    std::map<uint64_t, Sent *> held;  // given to this lane, without a fate
    uint64_t told_next = 0;           // fates come in order
    uint64_t state_durable = 0;       // what its state file says

    uint64_t give_ns = 0;
    uint64_t timer_ns = UINT64_MAX;
    uint64_t back_ns = 0; // its process is down until then
    uint32_t to_give = 0; // new records that it still has
    size_t bytes_max = 0;
    uint64_t pause_ns_max = 0;
    bool opened = false;      // by this process
    bool ever_opened = false; // as its state file says
    bool closing = false;
    bool closed = false;
    bool fenced = false;
    bool impostor_was_here = false;
    uint32_t retry_code = 0;
    uint64_t spins = 0;
    uint64_t spun_ns = 0;
};

// ------------------------------------------------------------------------------------- the draw

struct sim_node_settings World::Settings(uint64_t seed)
{
    struct sim_node_settings settings = sim_node_defaults(seed);
    settings.listeners[0] = {CONFIG_PROTOCOL_NATIVE, kNativePort, kEvents};
    settings.listeners[1] = {CONFIG_PROTOCOL_LINES, kLinesPort, kEvents};
    settings.listener_count = 2;
    for (size_t i = 0; i < kTopicCount; i++) { settings.topics[i] = kTopicNames[i]; }
    settings.topic_count = kTopicCount;
    return settings;
}

// Some seeds have much at once, some a single kind of trouble.
void World::DrawTroubles()
{
    const uint64_t share = Between(1, 12);
    for (int i = 0; i < kTroubleCount; i++) {
        if (Between(0, 15) < share) { troubles_ |= uint64_t{1} << i; }
    }
    if (!OneIn(6)) { troubles_ &= ~(uint64_t{1} << kDiskPutBack); }
    if (!OneIn(2)) { troubles_ &= ~(uint64_t{1} << kStranger); }
    if (!OneIn(3)) { troubles_ &= ~(uint64_t{1} << kLongOutage); }
}

void World::DrawSettings(uint64_t seed)
{
    settings_ = Settings(seed);
    settings_.commit_linger_ns = Between(0, 4) * NS_PER_MS;
    settings_.commit_linger_unacked_ns = Between(0, 60) * NS_PER_MS;
    settings_.commits_in_flight = static_cast<uint32_t>(Between(1, 8));
    settings_.commit_bytes = uint64_t{16 * 1024} << Between(0, 1);
    settings_.segment_bytes = uint64_t{256 * 1024} << Between(0, 1);
    settings_.commit_records_max = OneIn(3) ? 64 : 256;
    settings_.lanes_max_record_bytes = Between(1500, 6000);
    settings_.lane_pool_runs = OneIn(3) ? 1024 : 4096;
    settings_.idle_ns = Between(1, 4) * NS_PER_MS;
    if (OneIn(3)) { settings_.lanes_session_timeout_ns = Between(200, 4000) * NS_PER_MS; }
    if (OneIn(3)) { settings_.lanes_takeover_after_ns = Between(100, 3000) * NS_PER_MS; }
    if (OneIn(5)) {
        settings_.lanes_remember_ns = Between(1000, 10000) * NS_PER_MS;
        model_.LanesMayBeForgotten();
    }
    workers_max_ = Has(kOtherWorkers) ? 3 : Between(1, 3);
    workers_ = Has(kOtherWorkers) ? Between(1, 3) : workers_max_;
}

// By bytes, by age, by a topic's age, or several: of one world in four. What an older disk had is
// nobody's loss there, so no disk is put back.
void World::DrawRetention(uint64_t seed)
{
    struct random draw = {seed ^ 0x4e7a1};
    const auto between = [&draw](uint64_t min, uint64_t max) {
        return sim_random_between(&draw, min, max);
    };
    if (between(0, 3) != 0) { return; }
    const uint64_t kinds = between(1, 7);
    troubles_ &= ~(uint64_t{1} << kDiskPutBack);
    settings_.segment_age_ns = between(100, 800) * NS_PER_MS;
    settings_.retention_period_ns = between(10, 1000) * NS_PER_MS;
    if ((kinds & 1) != 0) { settings_.retain_bytes = between(3, 12) * settings_.segment_bytes; }
    if ((kinds & 2) != 0) { settings_.retain_age_ns = between(100, 3000) * NS_PER_MS; }
    if ((kinds & 4) == 0) { return; }
    settings_.topic_retain_age_ns[kAudit] = between(50, 2000) * NS_PER_MS;
    if (between(0, 1) != 0) {
        settings_.topic_retain_age_ns[kEvents] = between(50, 2000) * NS_PER_MS;
    }
}

void World::AddLane(size_t host, const native_producer_id &producer)
{
    auto added = std::make_unique<Producer>();
    Producer *const lane = added.get();
    lane->first_sequence = OneIn(4) ? (uint64_t{1} << Between(8, 62)) - Between(0, 60) : 1;
    lane->address = {static_cast<uint32_t>(kFirstHost + host),
                     static_cast<uint16_t>(20000 + 100 * producers_.size())};
    lane->endpoint = sim_network_add(network_, lane->address);
    lane->to_give = static_cast<uint32_t>(Between(5, 80));
    lane->bytes_max = OneIn(4) ? 3000 : 200;
    lane->pause_ns_max = (OneIn(3) ? 1 : Between(1, 80)) * NS_PER_MS;
    lane->options = {
        .producer = producer,
        .number = static_cast<uint32_t>(OneIn(2) ? producers_.size() : random_u64(&random_)),
        .epoch = Between(1, 3),
        .durable = lane->first_sequence - 1,
        .oldest_held = lane->first_sequence,
        .from_durable = false,
        .begin = true,
        .records_max = uint32_t{1} << Between(2, 7),
        .datagram_bytes_max = static_cast<uint32_t>(OneIn(3) ? 1472 : 1200),
        .linger_ns = Between(0, 5) * NS_PER_MS,
        .initial_rtt_ns = uint64_t{OneIn(2) ? 0U : 20U} * NS_PER_MS,
        .keep_open = OneIn(2),
        .seed = random_u64(&random_),
    };
    lane->state_durable = lane->first_sequence - 1;
    lane->model = model_.AddLane(producer, lane->options.number, lane->first_sequence);
    producers_.push_back(std::move(added));
}

void World::AddProducers()
{
    const size_t lanes = Between(1, 8);
    const size_t hosts = Between(1, lanes);
    std::vector<native_producer_id> ids(hosts);
    for (native_producer_id &id : ids) {
        store_le64(id.bytes, random_u64(&random_));
        store_le64(id.bytes + 8, random_u64(&random_));
    }
    for (size_t i = 0; i < lanes; i++) { AddLane(i % hosts, ids[i % hosts]); }
    /* Few lanes are allowed only where none can move to a full worker. */
    if (workers_max_ == 1 && lanes > 2 && OneIn(3)) {
        settings_.lanes_max = static_cast<uint32_t>(lanes - 1);
    }
}

World::World(uint64_t seed, const Rules &rules, Trace *trace)
    : random_{seed}, trace_(trace), model_(seed ^ 0x5eed), rules_random_{seed ^ 0xa11e5},
      rules_(rules), rules_epoch_(rule_set_epoch(rules.first))
{
    (void)random_u64(&random_);
    DrawTroubles();
    sim_clock_init(&clock_, uint64_t{1000} * NS_PER_S, 1'700'000'000'000);
    const uint64_t node_seed = random_u64(&random_);
    DrawSettings(node_seed);
    DrawRetention(node_seed);
    settings_.rules = rules.first;
    if (sim_random_below(&rules_random_, 2) == 0) {
        settings_.rules_file = rules.first;
        rules_ns_ = NowNs();
    }
    network_ = sim_network_create(random_u64(&random_));
    AddProducers();
    stranger_ = {kStrangerHost, 666};
    stranger_endpoint_ = sim_network_add(network_, stranger_);
    node_endpoint_ = sim_network_add(network_, {settings_.interface.address, 0});
    node_ = sim_node_create(&settings_);
}

World::~World()
{
    for (auto &producer : producers_) { lane_destroy(producer->lane); }
    lane_destroy(impostor_);
    sim_node_destroy(node_);
    sim_network_destroy(network_);
}

// ------------------------------------------------------------------------------- the appliance

void World::MakeDiskBad()
{
    if (peace_) { return; }
    struct sim_disk *const disk = sim_node_disk(node_);
    const uint64_t fastest_ns = Between(10, 500) * NS_PER_US;
    const uint64_t more_ns = (Has(kSlowDisk) ? Between(0, 40) : 1) * NS_PER_MS;
    sim_disk_set_latency(disk, fastest_ns, fastest_ns + more_ns);
    struct sim_disk_chances chances = {};
    chances.io_error = ChanceUpTo(kDiskErrors, 20'000);
    chances.no_space = ChanceUpTo(kDiskFull, 10'000);
    chances.swallowed = ChanceUpTo(kDiskHangs, 5'000);
    chances.slow = ChanceUpTo(kSlowDisk, 20'000);
    chances.slow_ns = Between(1, 1000) * NS_PER_MS;
    sim_disk_set_chances(disk, &chances);
}

bool World::TryToStart()
{
    const enum status status = sim_node_restart(node_, workers_, sim_clock_now(&clock_));
    trace_->Add(NowNs(), "the appliance starts with %llu workers: %llu", workers_, status);
    if (status == STATUS_OK) {
        incarnation_ = sim_node_root(node_)->incarnation;
        incarnation_is_clear_ = incarnations_.insert(incarnation_).second;
        return true;
    }
    if (status != STATUS_IO && status != STATUS_NO_SPACE) {
        Violate("the appliance does not start: %s", status_text(status));
    }
    return false;
}

void World::StartNode()
{
    if (Has(kOtherWorkers)) { workers_ = Between(1, workers_max_); }
    if (Has(kPowerCutAtStart) && !peace_ && OneIn(2)) {
        sim_disk_cut_power_after(sim_node_disk(node_), Between(0, 12));
    }
    const uint64_t fenced = sim_node_found(node_, RECOVERY_FENCED);
    if (TryToStart() && !sim_disk_power_is_off(sim_node_disk(node_))) {
        fenced_ += sim_node_found(node_, RECOVERY_FENCED) - fenced;
        MakeDiskBad();
        return;
    }
    if (sim_disk_power_is_off(sim_node_disk(node_))) {
        tally_.power_cuts_at_start++;
        CrashNode(SIM_NODE_LOSES_PAGES);
    } else {
        sim_disk_calm(sim_node_disk(node_));
        sim_disk_set_capacity(sim_node_disk(node_), 0);
        node_back_ns_ = NowNs() + 10 * NS_PER_MS;
    }
}

void World::CrashNode(enum sim_node_loss loss)
{
    trace_->Add(NowNs(), "the appliance crashes, loses pages: %llu", loss);
    tally_.crashes++;
    stopping_ = false;
    sim_node_crash(node_, loss);
    if (loss == SIM_NODE_LOSES_PAGES) { retention_.PagesLost(); }
    sim_disk_set_capacity(sim_node_disk(node_), 0);
    if (Has(kDiskPutBack) && !peace_) {
        if (image_ != nullptr && OneIn(2)) {
            PutBack(*image_);
        } else if (OneIn(2)) {
            image_ = std::make_unique<DiskImage>(TakeImage());
        }
    }
    const uint64_t most_ms = Has(kLongOutage) && !peace_ ? 15000 : 200;
    node_back_ns_ = NowNs() + Between(0, peace_ ? 1 : most_ms) * NS_PER_MS;
}

void World::StopNode()
{
    trace_->Add(NowNs(), "the appliance is asked to stop");
    stopping_ = true;
    sim_node_stop(node_);
}

// All files, as they are: the disk of a machine that is down.
World::DiskImage World::TakeImage()
{
    struct sim_disk *const disk = sim_node_disk(node_);
    const struct files files = sim_disk_files(disk);
    std::vector<std::string> names;
    struct Listing {
        struct files files;
        std::vector<std::string> *names;
        uint32_t partition;
    } listing = {files, &names, 0};
    const auto on_segment = [](void *context, uint64_t number, uint64_t) {
        auto *const at = static_cast<Listing *>(context);
        char name[LOG_NAME_BYTES];
        log_segment_name(at->partition, number, name);
        at->names->push_back(name);
    };
    for (listing.partition = 0; listing.partition < 3; listing.partition++) {
        if (files_list_segments(files, listing.partition, on_segment, &listing) != STATUS_OK) {
            continue;
        }
    }
    DiskImage image;
    for (const std::string &name : names) {
        uint64_t size_bytes;
        const uint8_t *const at = sim_disk_bytes(disk, name.c_str(), &size_bytes);
        if (at == nullptr) { continue; }
        image[name] = std::string(reinterpret_cast<const char *>(at), size_bytes);
    }
    return image;
}

void World::PutBack(const DiskImage &image)
{
    struct sim_disk *const disk = sim_node_disk(node_);
    const struct files files = sim_disk_files(disk);
    trace_->Add(NowNs(), "an older disk with %llu segments is put back", image.size());
    tally_.disks_put_back++;
    model_.DiskPutBack();
    incarnation_is_clear_ = false;
    for (const auto &[name, bytes] : TakeImage()) {
        if (files_remove(files, name.c_str()) != STATUS_OK) { Violate("a file does not go"); }
    }
    for (const auto &[name, bytes] : image) {
        int file;
        if (files_create(files, name.c_str(), bytes.size(), &file) != STATUS_OK) {
            Violate("a file does not come");
        }
        files_close(files, file);
        uint64_t size_bytes;
        uint8_t *const at = sim_disk_bytes(disk, name.c_str(), &size_bytes);
        memcpy(at, bytes.data(), bytes.size());
    }
}

// ---------------------------------------------------------------------------------- producers

void World::CreateLane(Producer *producer)
{
    producer->process++;
    producer->opened = false;
    producer->retry_code = 0;
    producer->held.clear();
    producer->timer_ns = UINT64_MAX;
    producer->told_next =
        producer->options.oldest_held == NATIVE_UNKNOWN ? 0 : producer->options.oldest_held;
    trace_->Add(NowNs(), "lane %llu: a process begins with epoch %llu, oldest held %llu",
                producer->model, producer->options.epoch, producer->options.oldest_held);
    if (lane_create(&producer->options, &producer->lane) != STATUS_OK) { abort(); }
    if (OneIn(3)) { lane_open(producer->lane, NowNs()); }
    producer->give_ns = NowNs();
}

// Its memory is gone; what it has on disk decides how the next process goes on.
void World::CrashProducer(Producer *producer)
{
    if (producer->lane == nullptr || producer->closing || producer->fenced) { return; }
    /* A record that was given before the lane knew how large one may be could not be given again.
     */
    for (const auto &[sequence, sent] : producer->spool) {
        const bool goes_again = sequence > producer->state_durable;
        if (goes_again && sent->expected == NATIVE_TOO_LARGE) { return; }
    }
    trace_->Add(NowNs(), "lane %llu: its process crashes", producer->model);
    tally_.producers_crashed++;
    const uint64_t durable = lane_durable(producer->lane);
    lane_destroy(producer->lane);
    producer->lane = nullptr;
    struct lane_options *const options = &producer->options;
    options->epoch++;
    options->seed = random_u64(&random_);
    const bool remembers = !Has(kProducerForgets) || OneIn(2);
    if (remembers && producer->state_durable != NATIVE_UNKNOWN) {
        if (durable != NATIVE_UNKNOWN && durable > producer->state_durable && !OneIn(4)) {
            producer->state_durable = durable;
        }
        options->durable = producer->state_durable;
        options->oldest_held = producer->state_durable + 1;
        options->begin = !producer->ever_opened;
        producer->resend_next = options->oldest_held;
    } else {
        producer->state_durable = NATIVE_UNKNOWN; /* until ACCEPT says */
        options->durable = NATIVE_UNKNOWN;
        options->oldest_held = NATIVE_UNKNOWN;
        options->begin = true;
        producer->resend_next = 0;
        producer->spool.clear();
        model_.Abandoned(producer->model);
    }
    producer->back_ns = NowNs() + Between(0, 300) * NS_PER_MS;
    producer->timer_ns = producer->back_ns;
    producer->give_ns = producer->back_ns;
}

// Some records, old ones of the spool first.
void World::Give(Producer *producer)
{
    producer->give_ns = NowNs() + Between(10 * NS_PER_US, producer->pause_ns_max);
    if (producer->lane == nullptr || producer->closing || producer->fenced) { return; }
    const uint64_t count = Between(1, 12);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t sequence = 0;
        if (producer->resend_next != 0) {
            const auto at = producer->spool.find(producer->resend_next);
            if (at != producer->spool.end()) {
                const enum status status =
                    lane_send(producer->lane, &at->second->record, NowNs(), &sequence);
                if (status == STATUS_FULL) { break; }
                if (status != STATUS_OK) {
                    Violate("a lane takes no record: %s", status_text(status));
                }
                if (sequence != at->first) { Violate("a lane numbers anew"); }
                producer->held[sequence] = at->second;
                producer->resend_next++;
                continue;
            }
            producer->resend_next = 0;
        }
        if (producer->to_give == 0) { break; }
        sequence = lane_next_sequence(producer->lane);
        if (sequence == 0) { /* learns it first */
            lane_open(producer->lane, NowNs());
            break;
        }
        const size_t limit_bytes =
            std::min<size_t>(settings_.lanes_max_record_bytes, settings_.commit_bytes / 2);
        if (lane_held(producer->lane) >= producer->options.records_max / 2 && OneIn(4)) { break; }
        Sent *const sent = model_.Make(producer->model, producer->process, sequence,
                                       producer->bytes_max, limit_bytes);
        uint64_t given;
        const enum status status = lane_send(producer->lane, &sent->record, NowNs(), &given);
        if (status != STATUS_OK) {
            model_.Unmake(sent);
            if (status == STATUS_INVALID) { continue; }
            break;
        }
        if (given != sequence) { Violate("a lane gives another sequence than it said"); }
        sent->given_ns = NowNs();
        producer->held[sequence] = sent;
        producer->spool[sequence] = sent;
        producer->to_give--;
    }
    if (OneIn(3)) { lane_flush(producer->lane, NowNs()); }
}

void World::Move(Producer *producer, uint16_t port)
{
    struct sim_address address = producer->address;
    do {
        address.port = port != 0 ? port : static_cast<uint16_t>(Between(1024, 65535));
        port = 0;
    } while (sim_network_find(network_, address) != SIM_ENDPOINT_NONE);
    sim_network_rebind(network_, producer->endpoint, address);
    producer->address = address;
}

void World::HandleFailure(Producer *producer, const struct lane_event &event)
{
    trace_->Add(NowNs(), "lane %llu: failed, code %llu, detail %llu", producer->model, event.code,
                event.detail);
    if (event.code == NATIVE_REJECT_LANE_UNKNOWN && model_.LanesMayBeLost()) {
        tally_.lanes_unknown++;
        model_.BeganAgain(producer->model);
        if (lane_begin_again(producer->lane, NowNs()) != STATUS_OK) {
            Violate("lane %u: cannot begin again", producer->model);
        }
        return;
    }
    if (event.code == NATIVE_REJECT_FENCED && producer->impostor_was_here) {
        tally_.lanes_fenced++;
        producer->fenced = true;
        return;
    }
    Violate("lane %u: failed with code %u", producer->model, event.code);
}

void World::HandleEvent(Producer *producer, const struct lane_event &event)
{
    switch (event.kind) {
    case LANE_EVENT_OPENED:
        trace_->Add(NowNs(), "lane %llu: opened, next %llu, partition %llu", producer->model,
                    event.sequence, event.code);
        tally_.reopened += producer->opened;
        if (producer->options.oldest_held == NATIVE_UNKNOWN && !producer->opened) {
            model_.WentOnAt(producer->model, event.sequence);
            producer->told_next = event.sequence;
            producer->state_durable = event.sequence - 1;
        }
        if (incarnation_is_clear_ && event.detail == incarnation_) {
            model_.OpenedAgain(producer->model);
        }
        producer->opened = true;
        producer->ever_opened = true;
        producer->retry_code = 0;
        return;
    case LANE_EVENT_FATES:
        trace_->Add(NowNs(), "lane %llu: fates of %llu from %llu on", producer->model, event.count,
                    event.sequence);
        for (uint64_t i = 0; i < event.count; i++) {
            const uint64_t sequence = event.sequence + i;
            if (sequence != producer->told_next) {
                Violate("C1: lane %u: told of %llu, and %llu is next", producer->model,
                        static_cast<unsigned long long>(sequence),
                        static_cast<unsigned long long>(producer->told_next));
            }
            producer->told_next++;
            const auto at = producer->held.find(sequence);
            if (at == producer->held.end()) {
                Violate("C1: lane %u: a fate of %llu, which it does not hold", producer->model,
                        static_cast<unsigned long long>(sequence));
            }
            model_.Told(at->second, event.fate);
            producer->held.erase(at);
        }
        return;
    case LANE_EVENT_LOST:
        trace_->Add(NowNs(), "lane %llu: lost %llu from %llu on", producer->model, event.count,
                    event.sequence);
        tally_.lanes_lost++;
        model_.ToldLost(producer->model, event.sequence, event.count);
        return;
    case LANE_EVENT_MOVE:
        Move(producer, event.source_port);
        tally_.redirects++;
        lane_moved(producer->lane, NowNs());
        return;
    case LANE_EVENT_RETRYING:
        trace_->Add(NowNs(), "lane %llu: tries again, code %llu, in %llu ms", producer->model,
                    event.code, event.detail);
        producer->retry_code = event.code;
        tally_.lanes_full += event.code == NATIVE_REJECT_LANES_FULL;
        return;
    case LANE_EVENT_FAILED: HandleFailure(producer, event); return;
    case LANE_EVENT_CLOSED:
        if (!producer->closing) { Violate("lane %u: closed by itself", producer->model); }
        trace_->Add(NowNs(), "lane %llu: closed", producer->model);
        producer->closed = true;
        return;
    default: Violate("an unknown event");
    }
}

void World::Transmit(Producer *producer)
{
    size_t len_bytes;
    while ((len_bytes = lane_transmit(producer->lane, room_, sizeof room_, NowNs())) > 0) {
        const struct bytes payload = bytes_of(room_, len_bytes);
        const struct sim_address target = {settings_.interface.address, kNativePort};
        trace_->Mix(len_bytes);
        if (Has(kReplay) && OneIn(4)) {
            const Captured captured = {producer->address,
                                       std::string(reinterpret_cast<char *>(room_), len_bytes)};
            if (captured_.size() < kCapturedMax) {
                captured_.push_back(captured);
            } else {
                captured_[Between(0, kCapturedMax - 1)] = captured;
            }
        }
        sim_network_send(network_, producer->address, target, payload, NowNs());
    }
}

// Whatever the lane has to say, and has to hear.
void World::Pump(Producer *producer)
{
    if (producer->lane == nullptr) { return; }
    struct lane_event event;
    while (lane_next_event(producer->lane, &event)) { HandleEvent(producer, event); }
    Transmit(producer);
    producer->timer_ns = lane_timer_ns(producer->lane);
    if (producer->timer_ns > NowNs()) {
        producer->spins = 0;
        return;
    }
    if (producer->spun_ns != NowNs()) { producer->spins = 0; }
    producer->spun_ns = NowNs();
    if (++producer->spins > 1000) { Violate("lane %u: its timer spins", producer->model); }
}

// ----------------------------------------------------------------------------- the world around

void World::MakeNetworkBad()
{
    struct sim_network_settings bad = {};
    bad.delay_ns_min = Between(10, 500) * NS_PER_US;
    bad.delay_ns_max = bad.delay_ns_min + Between(0, OneIn(4) ? 60 : 4) * NS_PER_MS;
    bad.loss = ChanceUpTo(kLoss, 300'000);
    bad.duplication = ChanceUpTo(kDuplication, 300'000);
    bad.reordering = ChanceUpTo(kReordering, 300'000);
    bad.reorder_ns_max = Between(1, 100) * NS_PER_MS;
    bad.corruption = ChanceUpTo(kCorruption, 50'000);
    bad.checksum_forged = ChanceUpTo(kCorruption, 1'000'000);
    bad.mtu_bytes = Has(kMtu) && OneIn(2) ? 1300 : 1500;
    bad.queue_max = OneIn(6) ? 40 : 0;
    sim_network_set(network_, &bad);
}

void World::MeddleWithDisk()
{
    struct sim_disk *const disk = sim_node_disk(node_);
    switch (Between(0, 3)) {
    case 0:
        if (!Has(kDiskFull)) { return; }
        sim_disk_set_capacity(disk, OneIn(2) ? 0 : Between(1, 12) * settings_.segment_bytes);
        return;
    case 1:
        if (!Has(kDiskHangs)) { return; }
        sim_disk_release(disk, Has(kDiskErrors) && OneIn(2) ? STATUS_IO : STATUS_OK);
        return;
    case 2:
        if (!Has(kDiskHangs)) { return; }
        sim_disk_hold(disk, OneIn(2));
        return;
    default: MakeDiskBad();
    }
}

void World::StepWallClock()
{
    retention_.WallClockStepped();
    constexpr int64_t kTenYearsMs = int64_t{3652} * 86400 * MS_PER_S;
    switch (Between(0, 3)) {
    case 0: sim_clock_set_wall(&clock_, 0); break;
    case 1: sim_clock_step_wall(&clock_, kTenYearsMs); break;
    case 2: sim_clock_step_wall(&clock_, -int64_t{3600} * MS_PER_S); break;
    default: sim_clock_stop_wall(&clock_, OneIn(2));
    }
}

// An old datagram comes again: from where it came, or from a stranger.
void World::Replay()
{
    if (captured_.empty()) { return; }
    const Captured &captured = captured_[Between(0, captured_.size() - 1)];
    const struct sim_address source = OneIn(2) ? captured.source : stranger_;
    const struct sim_address target = {settings_.interface.address, kNativePort};
    tally_.replayed++;
    sim_network_send(network_, source, target,
                     bytes_of(captured.payload.data(), captured.payload.size()), NowNs());
}

void World::SendLines()
{
    std::string payload;
    const uint64_t lines = Between(1, 4);
    for (uint64_t i = 0; i < lines; i++) {
        std::string line;
        model_.MakeLine(&line);
        payload += line + "\n";
    }
    sim_network_send(network_, stranger_, {settings_.interface.address, kLinesPort},
                     bytes_of(payload.data(), payload.size()), NowNs());
    lines_ns_ = NowNs() + Between(1, 50) * NS_PER_MS;
}

// Something happens once in some milliseconds.
void World::Meddle()
{
    meddle_ns_ = NowNs() + Between(1, 150) * NS_PER_MS;
    Producer *const producer = producers_[Between(0, producers_.size() - 1)].get();
    switch (Between(0, 16)) {
    case 0:
        if (Has(kCuts)) { sim_network_cut(network_, producer->endpoint, node_endpoint_, OneIn(3)); }
        break;
    case 1:
        if (Has(kCuts)) { sim_network_isolate(network_, producer->endpoint, OneIn(3)); }
        break;
    case 2:
        if (Has(kCuts)) { sim_network_cut(network_, node_endpoint_, producer->endpoint, OneIn(3)); }
        break;
    case 3:
        if (Has(kClogs)) {
            sim_network_clog(network_, producer->endpoint, node_endpoint_, OneIn(2));
        }
        break;
    case 4: sim_network_heal(network_); break;
    case 5:
    case 6: MeddleWithDisk(); break;
    case 7:
        if (Has(kNodeCrash) && sim_node_is_up(node_)) {
            CrashNode(OneIn(2) ? SIM_NODE_KEEPS_PAGES : SIM_NODE_LOSES_PAGES);
        }
        break;
    case 8:
        if (Has(kNodeStop) && sim_node_is_up(node_) && !stopping_) { StopNode(); }
        break;
    case 9:
    case 10:
        if (Has(kProducerCrash)) { CrashProducer(producer); }
        break;
    case 11:
        if (Has(kRebind)) { Move(producer, 0); }
        break;
    case 12:
        if (Has(kWallClock)) { StepWallClock(); }
        break;
    case 13:
        if (Has(kStalls)) {
            sim_clock_advance(&clock_, NowNs() + Between(0, OneIn(5) ? 12000 : 500) * NS_PER_MS);
        }
        break;
    case 14:
        for (int i = 0; Has(kReplay) && i < 8; i++) { Replay(); }
        break;
    case 15:
        if (Has(kStranger)) { Impersonate(producer); }
        break;
    default: MakeNetworkBad();
    }
}

// Another host opens a producer's lane, with the same epoch, an older or a newer one. It sends no
// record: whoever holds a lane may store in it.
void World::Impersonate(Producer *victim)
{
    lane_destroy(impostor_);
    struct lane_options options = victim->options;
    options.epoch = Between(1, victim->options.epoch + 1);
    options.durable = NATIVE_UNKNOWN;
    options.oldest_held = NATIVE_UNKNOWN;
    options.begin = false;
    options.keep_open = false;
    options.seed = random_u64(&random_);
    victim->impostor_was_here |= options.epoch > victim->options.epoch;
    model_.LaneMayBeTaken(victim->model);
    impostor_is_fenced_ =
        victim->lane != nullptr && victim->opened && options.epoch < victim->options.epoch;
    trace_->Add(NowNs(), "an impostor opens lane %llu with epoch %llu", victim->model,
                options.epoch);
    if (lane_create(&options, &impostor_) != STATUS_OK) { abort(); }
    lane_open(impostor_, NowNs());
    PumpImpostor();
}

void World::PumpImpostor()
{
    struct lane_event event;
    size_t len_bytes;
    while (lane_next_event(impostor_, &event)) {
        if (event.kind == LANE_EVENT_OPENED && impostor_is_fenced_ && !model_.LanesMayBeLost()) {
            Violate("an older epoch than one that was accepted is accepted");
        }
        if (event.kind != LANE_EVENT_MOVE) { continue; }
        do {
            stranger_.port = static_cast<uint16_t>(Between(1024, 65535));
        } while (sim_network_find(network_, stranger_) != SIM_ENDPOINT_NONE);
        sim_network_rebind(network_, stranger_endpoint_, stranger_);
        lane_moved(impostor_, NowNs());
    }
    while ((len_bytes = lane_transmit(impostor_, room_, sizeof room_, NowNs())) > 0) {
        sim_network_send(network_, stranger_, {settings_.interface.address, kNativePort},
                         bytes_of(room_, len_bytes), NowNs());
    }
    impostor_ns_ = lane_timer_ns(impostor_);
}

// --------------------------------------------------------------------------------------- steps

void World::Deliver()
{
    size_t endpoint;
    struct sim_datagram datagram;
    while (sim_network_pop(network_, NowNs(), &endpoint, &datagram)) {
        trace_->Mix(datagram.payload.len_bytes);
        if (endpoint == node_endpoint_) {
            if (datagram.target.port == kLinesPort && !datagram.checksum_is_bad) {
                model_.AllowLines(datagram.payload);
            }
            sim_node_receive(node_, &datagram);
            continue;
        }
        if (datagram.checksum_is_bad) { continue; }
        if (endpoint == stranger_endpoint_ && impostor_ != nullptr) {
            lane_receive(impostor_, datagram.payload, NowNs());
            PumpImpostor();
        }
        for (auto &producer : producers_) {
            if (producer->endpoint != endpoint || producer->lane == nullptr) { continue; }
            lane_receive(producer->lane, datagram.payload, NowNs());
            Pump(producer.get());
        }
    }
}

uint64_t World::NextNs() const
{
    uint64_t next_ns = std::min(sim_node_next_ns(node_), sim_network_next_ns(network_));
    if (!sim_node_is_up(node_)) { next_ns = std::min(next_ns, node_back_ns_); }
    for (const auto &producer : producers_) {
        if (producer->closed || producer->fenced) { continue; }
        next_ns = std::min(next_ns, producer->timer_ns);
        const bool gives = producer->to_give > 0 || producer->resend_next != 0;
        if (gives && !producer->closing) { next_ns = std::min(next_ns, producer->give_ns); }
    }
    return std::min({next_ns, meddle_ns_, lines_ns_, impostor_ns_});
}

void World::Step(uint64_t end_ns)
{
    if (++steps_ > kStepsMax) { Violate("the run does not end"); }
    sim_clock_advance(&clock_, std::min(end_ns, NextNs()));
    if (NowNs() >= meddle_ns_) { Meddle(); }
    if (NowNs() >= lines_ns_) { SendLines(); }
    if (NowNs() >= rules_ns_) { SwapRules(); }
    Deliver();
    if (NowNs() >= impostor_ns_) {
        lane_on_timer(impostor_, NowNs());
        PumpImpostor();
    }
    for (auto &producer : producers_) {
        if (producer->fenced) { continue; }
        if (producer->lane == nullptr) {
            if (NowNs() < producer->back_ns) { continue; }
            CreateLane(producer.get());
        }
        const bool due = producer->timer_ns <= NowNs();
        const bool gives = producer->give_ns <= NowNs();
        if (due) { lane_on_timer(producer->lane, NowNs()); }
        if (gives) { Give(producer.get()); }
        if (due || gives) { Pump(producer.get()); }
    }
    if (!sim_node_is_up(node_)) {
        if (NowNs() >= node_back_ns_) { StartNode(); }
        return;
    }
    if (sim_node_next_ns(node_) <= NowNs()) {
        sim_node_turn(node_, sim_clock_now(&clock_));
        if (!sim_disk_power_is_off(sim_node_disk(node_))) { retention_.Follow(node_, NowNs()); }
    }
    struct sim_datagram datagram;
    while (sim_node_sent(node_, &datagram)) {
        trace_->Mix(datagram.payload.len_bytes);
        sim_network_send(network_, datagram.source, datagram.target, datagram.payload, NowNs());
    }
    if (sim_disk_power_is_off(sim_node_disk(node_))) { CrashNode(SIM_NODE_LOSES_PAGES); }
    if (stopping_ && sim_node_is_up(node_) && sim_node_is_done(node_)) {
        trace_->Add(NowNs(), "the appliance has stopped");
        tally_.stops++;
        stopping_ = false;
        sim_node_close(node_);
        node_back_ns_ = NowNs() + Between(0, 100) * NS_PER_MS;
    }
}

// Often soon after the one before, also while that one is not in force everywhere.
void World::SwapRules()
{
    const bool soon = sim_random_below(&rules_random_, 3) == 0;
    rules_ns_ = NowNs() + sim_random_between(&rules_random_, 1, soon ? 3000 : 200'000) * NS_PER_US;
    has_other_rules_ = !has_other_rules_;
    sim_node_reload(node_, has_other_rules_ ? rules_.other : rules_.first);
}

void World::RunUntil(uint64_t end_ns)
{
    while (NowNs() < end_ns) { Step(end_ns); }
}

// --------------------------------------------------------------------------------- the whole run

void World::BePeaceful()
{
    peace_ = true;
    meddle_ns_ = UINT64_MAX;
    lines_ns_ = UINT64_MAX;
    rules_ns_ = UINT64_MAX;
    lane_destroy(impostor_);
    impostor_ = nullptr;
    impostor_ns_ = UINT64_MAX;
    struct sim_network_settings calm = {};
    calm.delay_ns_min = 100 * NS_PER_US;
    calm.delay_ns_max = 300 * NS_PER_US;
    calm.mtu_bytes = 1500;
    sim_network_set(network_, &calm);
    sim_network_heal(network_);
    sim_clock_stop_wall(&clock_, false);
    struct sim_disk *const disk = sim_node_disk(node_);
    sim_disk_calm(disk);
    sim_disk_set_capacity(disk, 0);
    sim_disk_set_latency(disk, 100 * NS_PER_US, 200 * NS_PER_US);
    trace_->Add(NowNs(), "peace");
}

bool World::IsShutOut(const Producer &producer)
{
    return producer.lane != nullptr && producer.retry_code == NATIVE_REJECT_LANES_FULL;
}

bool World::IsSettled(const Producer &producer) const
{
    if (producer.fenced || producer.closed) { return true; }
    /* The table is full, of lanes that are remembered. */
    if (IsShutOut(producer)) { return true; }
    return producer.lane != nullptr && producer.to_give == 0 && producer.resend_next == 0 &&
           lane_held(producer.lane) == 0;
}

bool World::AllSettled() const
{
    for (const auto &producer : producers_) {
        if (!IsSettled(*producer)) { return false; }
    }
    if (!sim_node_is_up(node_)) { return false; }
    for (size_t i = 0; i < sim_node_partition_count(node_); i++) {
        if (sim_node_stats(node_, i)->records_in_flight > 0) { return false; }
    }
    return true;
}

void World::SayWhatIsMissing() const
{
    for (const auto &producer : producers_) {
        if (IsSettled(*producer)) { continue; }
        if (producer->lane == nullptr) {
            Violate("liveness: lane %u has no process", producer->model);
        }
        struct lane_stats stats;
        lane_stats_of(producer->lane, &stats);
        Violate("liveness: lane %u: open %d, %u records without a fate, %u not given, credit %u, "
                "status %u, retries for code %u",
                producer->model, stats.open, lane_held(producer->lane), producer->to_give,
                stats.credit_bytes, stats.status, producer->retry_code);
    }
    Violate("liveness: the appliance is %s", sim_node_is_up(node_) ? "not at rest" : "down");
}

void World::Settle()
{
    const uint64_t limit_ns = NowNs() + kPatienceNs;
    while (!AllSettled()) {
        if (NowNs() >= limit_ns) { SayWhatIsMissing(); }
        RunUntil(NowNs() + 20 * NS_PER_MS);
    }
}

void World::CloseAll()
{
    const uint64_t limit_ns = NowNs() + kPatienceNs;
    for (auto &producer : producers_) {
        if (producer->fenced || producer->lane == nullptr) { continue; }
        producer->closing = true;
        if (IsShutOut(*producer)) {
            producer->fenced = true;
            continue;
        }
        lane_close(producer->lane, NowNs());
        Pump(producer.get());
    }
    const auto all_closed = [this] {
        for (const auto &producer : producers_) {
            if (!producer->closed && !producer->fenced) { return false; }
        }
        return true;
    };
    while (!all_closed()) {
        if (NowNs() >= limit_ns) { Violate("liveness: a lane does not close"); }
        RunUntil(NowNs() + 10 * NS_PER_MS);
    }
    for (auto &producer : producers_) { /* those that never got in give up */
        lane_destroy(producer->lane);
        producer->lane = nullptr;
        producer->fenced = true;
    }
    RunUntil(NowNs() + 50 * NS_PER_MS);
}

void World::CheckAtRest()
{
    const uint64_t limit_ns = NowNs() + kPatienceNs;
    while (sim_network_counts(network_).in_flight > 0 || !AllSettled()) {
        if (NowNs() >= limit_ns) { SayWhatIsMissing(); }
        RunUntil(NowNs() + 5 * NS_PER_MS);
    }
    /* A session whose producer is gone keeps frames behind a gap until it times out. */
    if (sim_node_frames_held(node_) != 0) {
        RunUntil(NowNs() + settings_.lanes_session_timeout_ns + NS_PER_S);
    }
    for (size_t i = 0; i < sim_node_partition_count(node_); i++) {
        struct ledger ledger;
        ledger_of(sim_node_stats(node_, i), &ledger);
        /* Books that survived and an older disk tell different pasts. */
        if (model_.DiskWasPutBack()) { ledger.frames_residue = ledger.records_residue = 0; }
        if (ledger.frames_residue != 0 || ledger.records_residue != 0 ||
            ledger.records_in_flight != 0) {
            Violate("C4: partition %zu: residues of %lld frames, %lld records, %llu in flight", i,
                    static_cast<long long>(ledger.frames_residue),
                    static_cast<long long>(ledger.records_residue),
                    static_cast<unsigned long long>(ledger.records_in_flight));
        }
    }
    if (sim_node_frames_held(node_) != 0) {
        Violate("%zu frames are held at rest", sim_node_frames_held(node_));
    }
}

void World::CheckRulesOfEntry(struct bytes batch, int topic, bool by_other_rules)
{
    const auto text_of = [](struct bytes bytes) -> std::optional<std::string> {
        if (bytes_are_null(bytes)) { return std::nullopt; }
        return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
    };
    struct record_batch_header header;
    struct record_batch_walk walk;
    struct record_batch_record record;
    uint8_t *unpacked = nullptr;
    if (record_batch_header_decode(batch, &header) != STATUS_OK) { return; }
    if (record_codec_walk_begin(&walk, batch, &header, &unpacked) != STATUS_OK) { return; }
    while (record_batch_next(&walk, &record) == STATUS_OK) {
        model_.CheckPlace(text_of(record.key), text_of(record.value), topic, by_other_rules);
    }
    free(unpacked);
}

void World::CheckRulesOfSegment(struct bytes file)
{
    struct commit_header header;
    for (size_t position = LOG_BLOCK_BYTES; position < file.len_bytes;) {
        const struct bytes rest = bytes_slice(file, position, file.len_bytes);
        if (commit_header_decode(rest, &header) != STATUS_OK) { return; }
        const bool by_other_rules = header.rules_epoch != rules_epoch_;
        for (uint32_t i = 0; i < header.entry_count; i++) {
            const struct entry entry = entry_decode(rest, i);
            struct bytes batch;
            if (entry.type != ENTRY_RECORDS || entry_bytes(rest, &entry, &batch) != STATUS_OK) {
                continue;
            }
            tally_.commits_by_other_rules += by_other_rules;
            /* Topics are declared in the order of the configuration, in every log. */
            CheckRulesOfEntry(batch, entry.topic == 0 ? kEvents : kAudit, by_other_rules);
        }
        position += header.length_bytes;
    }
}

// Each record that some disk has is in a commit, whose header names the rules that put it there.
void World::CheckRulesOfCommits()
{
    constexpr uint64_t kGapMax = 64;
    for (uint32_t partition = 0; partition < sim_node_partition_count(node_); partition++) {
        for (uint64_t number = 1, missing = 0; missing < kGapMax; number++) {
            char name[LOG_NAME_BYTES];
            log_segment_name(partition, number, name);
            uint64_t size = 0;
            const uint8_t *const at = sim_disk_bytes(sim_node_disk(node_), name, &size);
            missing = at == nullptr ? missing + 1 : 0;
            if (at != nullptr) { CheckRulesOfSegment(bytes_of(at, size)); }
        }
    }
}

uint64_t World::SegmentsOpened() const
{
    uint64_t opened = 0;
    for (size_t i = 0; i < sim_node_partition_count(node_); i++) {
        opened += sim_node_stats(node_, i)->counters[STATS_segments_opened];
    }
    return opened;
}

void World::CheckRetentionAtRest()
{
    if (!retention_.IsOn()) { return; }
    const uint64_t limit_ns = NowNs() + kPatienceNs;
    uint64_t opened;
    do { /* lanes that are forgotten by and by are written, too */
        if (NowNs() >= limit_ns) { Violate("liveness: segments are opened on and on"); }
        opened = SegmentsOpened();
        RunUntil(NowNs() + retention_.RestNs());
    } while (SegmentsOpened() != opened);
    retention_.CheckAtRest(node_, sim_clock_now(&clock_).wall_ms);
}

void World::CheckEnd()
{
    struct sim_disk *const disk = sim_node_disk(node_);
    const struct files files = sim_disk_files(disk);
    if (fenced_ > 0) { model_.CommitsWereFenced(); }
    std::vector<lane_resume_set> sets(sim_node_partition_count(node_));
    std::vector<const lane_resume_set *> pointers;
    for (size_t i = 0; i < sets.size(); i++) {
        const auto ignore = [](void *, uint32_t, enum lane_finding, uint64_t, uint64_t, uint64_t) {
        };
        const struct lane_recovery_report report = {ignore, nullptr};
        const struct recovery_report log_report = {};
        const struct recovery_witness witness = {};
        auto resume = std::make_unique<struct log_resume>();
        memset(resume.get(), 0, sizeof *resume);
        sets[i] = {};
        enum status status =
            recovery_run(files, static_cast<uint32_t>(i), &witness, &log_report, resume.get());
        if (status == STATUS_OK) {
            status =
                lane_recovery_run(files, static_cast<uint32_t>(i), &report, resume.get(), &sets[i]);
        }
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            Violate("C5: partition %zu cannot be recovered: %s", i, status_text(status));
        }
        pointers.push_back(&sets[i]);
    }
    /* All is recovered: what a log that was closed at the end left unsealed is read, too. */
    std::string damage;
    if (!model_.DiskWasPutBack() && VerifyLogs(files, sets.size(), &damage) > 0) {
        Violate("C5: %s", damage.c_str());
    }
    model_.CheckLog(files);
    CheckRulesOfCommits();
    model_.CheckLanes(pointers);
    for (lane_resume_set &set : sets) { lane_resume_set_deinit(&set); }
}

void World::Live()
{
    MakeNetworkBad();
    StartNode();
    for (auto &producer : producers_) {
        producer->timer_ns = NowNs() + Between(0, 100) * NS_PER_MS;
        producer->back_ns = producer->timer_ns;
        producer->give_ns = producer->timer_ns;
    }
    meddle_ns_ = NowNs() + Between(1, 100) * NS_PER_MS;
    if (Has(kLines)) { lines_ns_ = NowNs(); }
    RunUntil(NowNs() + Between(100, OneIn(5) ? 10000 : 2500) * NS_PER_MS);
    BePeaceful();
    Settle();
    CloseAll();
    CheckAtRest();
    CheckRetentionAtRest();
    StopNode();
    const uint64_t limit_ns = NowNs() + kPatienceNs;
    while (sim_node_is_up(node_)) {
        if (NowNs() >= limit_ns) { Violate("liveness: the appliance does not stop"); }
        Step(NowNs() + NS_PER_MS);
    }
    CheckEnd();
    trace_->Mix(sim_node_digest(node_));
}

void World::AddTo(Tally *tally) const
{
    *tally = tally_;
    tally->records_stored = model_.StoredCount();
    tally->fates_told = model_.ToldCount();
    tally->segments_retired = retention_.SegmentsTaken();
    tally->topic_starts_moved = retention_.StartsMoved();
    for (size_t i = 0; i < sim_node_partition_count(node_); i++) {
        const uint64_t *const counters = sim_node_stats(node_, i)->counters;
        tally->rules_swapped += counters[STATS_rules_swaps];
        tally->lanes_imported += counters[STATS_lanes_imported];
        tally->lanes_forgotten += counters[STATS_lanes_forgotten];
        tally->takeovers_refused += counters[STATS_native_takeovers_refused];
        tally->fragments += counters[STATS_native_fragments];
        tally->ahead_kept += counters[STATS_native_ahead_kept];
        tally->over_share += counters[STATS_native_over_share];
        tally->unknown_sessions += counters[STATS_native_unknown_session];
    }
}

} // namespace simulate
