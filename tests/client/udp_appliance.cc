#include "tests/client/udp_appliance.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr size_t BATCH = 64;
constexpr size_t DATAGRAM_BYTES = 65536;

std::string TextOf(struct bytes bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

[[noreturn]] void Die(const char *what)
{
    perror(what);
    abort();
}

} // namespace

UdpAppliance::UdpAppliance() : UdpAppliance(Options{}) {}

UdpAppliance::UdpAppliance(Options options) : options_(std::move(options)) { Start(); }

UdpAppliance::~UdpAppliance() { Stop(); }

std::string UdpAppliance::Address() const { return "127.0.0.1:" + std::to_string(port_); }

void UdpAppliance::Start()
{
    fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    local.sin_port = htons(port_);
    const int buffer_bytes = 8 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    if (bind(fd_, reinterpret_cast<sockaddr *>(&local), sizeof local) != 0) { Die("bind"); }
    socklen_t len = sizeof local;
    if (getsockname(fd_, reinterpret_cast<sockaddr *>(&local), &len) != 0) { Die("getsockname"); }
    port_ = ntohs(local.sin_port);
    incarnation_++;
    running_ = true;
    thread_ = std::thread([this] { Run(); });
}

void UdpAppliance::Stop()
{
    if (!running_.exchange(false)) { return; }
    thread_.join();
    close(fd_);
    std::lock_guard<std::mutex> lock(mutex_);
    sessions_.clear();
    due_.clear();
}

void UdpAppliance::Run()
{
    std::vector<uint8_t> memory(BATCH * DATAGRAM_BYTES);
    struct mmsghdr messages[BATCH] = {};
    struct iovec slices[BATCH];
    sockaddr_in peers[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        slices[i] = {memory.data() + i * DATAGRAM_BYTES, DATAGRAM_BYTES};
        messages[i].msg_hdr.msg_iov = &slices[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &peers[i];
    }
    while (running_) {
        struct pollfd readable = {fd_, POLLIN, 0};
        if (poll(&readable, 1, 20) != 1) { continue; }
        for (auto &message : messages) { message.msg_hdr.msg_namelen = sizeof(sockaddr_in); }
        const int count = recvmmsg(fd_, messages, BATCH, MSG_DONTWAIT, nullptr);
        if (mute_) { continue; }
        std::lock_guard<std::mutex> lock(mutex_);
        for (int i = 0; i < count; i++) {
            datagrams_++;
            if (messages[i].msg_len > largest_) { largest_ = messages[i].msg_len; }
            Take(peers[i], bytes_of(slices[i].iov_base, messages[i].msg_len));
        }
        for (const uint64_t id : due_) {
            const auto found = sessions_.find(id);
            if (found != sessions_.end()) { Acknowledge(id, found->second); }
        }
        due_.clear();
    }
}

void UdpAppliance::Send(const sockaddr_in &peer, size_t len_bytes)
{
    assert(len_bytes > 0);
    sendto(fd_, room_, len_bytes, 0, reinterpret_cast<const sockaddr *>(&peer), sizeof peer);
}

void UdpAppliance::Reject(const sockaddr_in &peer, uint64_t token, struct native_reject reject)
{
    Send(peer, native_encode_reject(room_, sizeof room_, token, &reject));
}

void UdpAppliance::Take(const sockaddr_in &peer, struct bytes datagram)
{
    struct native_datagram in;
    if (native_decode(datagram, &in) != NATIVE_OK) { return; }
    switch (in.type) {
    case NATIVE_HELLO: TakeHello(peer, in); break;
    case NATIVE_OPEN: TakeOpen(peer, in); break;
    case NATIVE_DATA:
    case NATIVE_FRAGMENT:
    case NATIVE_PING:
    case NATIVE_CLOSE:
        if (!deaf_) { TakeSession(peer, in); }
        break;
    default: break;
    }
}

/* ---------------------------------------------------------------------------- the handshake */

void UdpAppliance::TakeHello(const sockaddr_in &peer, const struct native_datagram &in)
{
    const struct native_cookie cookie = {{42}};
    Send(peer, native_encode_challenge(room_, sizeof room_, in.token, &cookie));
}

bool UdpAppliance::Redirects(const sockaddr_in &peer, uint64_t nonce)
{
    const uint16_t source = ntohs(peer.sin_port);
    if (source % options_.ports == options_.home) { return false; }
    struct native_reject reject = {};
    reject.code = NATIVE_REJECT_REDIRECT;
    if (options_.name_source_port) {
        const uint16_t base = 20000 + getpid() % 20000;
        const uint16_t named = static_cast<uint16_t>(base + source % 64 * options_.ports);
        reject.source_port = static_cast<uint16_t>(named - named % options_.ports + options_.home);
    }
    Reject(peer, nonce, reject);
    return true;
}

void UdpAppliance::TakeOpen(const sockaddr_in &peer, const struct native_datagram &in)
{
    const struct native_open &open = in.open;
    const Key key = {TextOf(bytes_of(open.producer.bytes, sizeof open.producer.bytes)), open.lane};
    if (Redirects(peer, in.token)) { return; }
    if (refusal_ != 0) {
        struct native_reject refusal = {};
        refusal.code = refusal_;
        refusal.retry_after_ms = 100;
        Reject(peer, in.token, refusal);
        return;
    }
    for (const auto &[id, session] : sessions_) {
        if (session.nonce == in.token && !(session.lane < key) && !(key < session.lane)) {
            Accept(peer, id, session);
            return;
        }
    }
    struct native_reject reject = {};
    auto found = lanes_.find(key);
    if (found == lanes_.end() && !open.begin) {
        reject.code = NATIVE_REJECT_LANE_UNKNOWN;
        Reject(peer, in.token, reject);
        return;
    }
    if (found == lanes_.end()) {
        UdpLane lane;
        lane.next = open.oldest_held == NATIVE_UNKNOWN ? 1 : open.oldest_held;
        lane.confirmed = lane.next - 1;
        found = lanes_.emplace(key, lane).first;
    }
    UdpLane &lane = found->second;
    if (open.epoch < lane.epoch) {
        reject.code = NATIVE_REJECT_FENCED;
        reject.detail = lane.epoch;
        Reject(peer, in.token, reject);
        return;
    }
    lane.epoch = open.epoch;
    lane.assembled_bytes = 0;
    Session session;
    session.lane = key;
    session.peer = peer;
    session.nonce = in.token;
    if (open.durable != NATIVE_UNKNOWN && open.durable >= lane.next) {
        session.lost_first = lane.next;
        session.lost_last = open.durable;
    }
    while (open.oldest_held != NATIVE_UNKNOWN && lane.next < open.oldest_held) {
        lane.fates.push_back({lane.next++, NATIVE_LOST});
    }
    const uint64_t id = ++last_session_;
    sessions_[id] = session;
    Accept(peer, id, session);
}

void UdpAppliance::Accept(const sockaddr_in &peer, uint64_t id, const Session &session)
{
    const UdpLane &lane = lanes_[session.lane];
    struct native_accept accept = {};
    accept.session = id;
    accept.next = lane.next;
    accept.durable = lane.next - 1;
    accept.lost_first = session.lost_first;
    accept.lost_last = session.lost_last;
    accept.credit_bytes = options_.credit_bytes;
    accept.max_record_bytes = options_.max_record_bytes;
    accept.datagram_bytes = 65507;
    accept.ack_delay_us = 5000;
    accept.session_timeout_ms = 30000;
    accept.remember_s = 604800;
    accept.incarnation = incarnation_;
    Send(peer, native_encode_accept(room_, sizeof room_, session.nonce, &accept));
}

/* ------------------------------------------------------------------------------ the session */

void UdpAppliance::NotePacket(Session &session, uint64_t number)
{
    auto &ranges = session.ranges;
    size_t at = 0;
    while (at < ranges.size() && ranges[at].first > number + 1) { at++; }
    if (at < ranges.size() && number >= ranges[at].first && number <= ranges[at].second) { return; }
    if (at < ranges.size() && number + 1 == ranges[at].first) {
        ranges[at].first = number;
    } else if (at < ranges.size() && number == ranges[at].second + 1) {
        ranges[at].second = number;
    } else {
        ranges.insert(ranges.begin() + static_cast<long>(at), {number, number});
    }
    if (at > 0 && ranges[at - 1].first == ranges[at].second + 1) {
        ranges[at - 1].first = ranges[at].first;
        ranges.erase(ranges.begin() + static_cast<long>(at));
        at--;
    }
    if (at + 1 < ranges.size() && ranges[at + 1].second + 1 == ranges[at].first) {
        ranges[at].first = ranges[at + 1].first;
        ranges.erase(ranges.begin() + static_cast<long>(at) + 1);
    }
    if (ranges.size() > NATIVE_RANGES_MAX) { ranges.resize(NATIVE_RANGES_MAX); }
}

void UdpAppliance::TakeSession(const sockaddr_in &peer, const struct native_datagram &in)
{
    const auto found = sessions_.find(in.token);
    if (found == sessions_.end() || found->second.peer.sin_port != peer.sin_port) {
        struct native_reject reject = {};
        reject.code = NATIVE_REJECT_SESSION_UNKNOWN;
        Reject(peer, in.token, reject);
        return;
    }
    Session &session = found->second;
    UdpLane &lane = lanes_[session.lane];
    if (in.type == NATIVE_CLOSE) {
        struct native_close answer = {};
        answer.reason = in.close.reason;
        answer.sequence = lane.next - 1;
        Send(peer, native_encode_close(room_, sizeof room_, in.token, &answer));
        sessions_.erase(found);
        return;
    }
    const uint64_t confirmed = in.data.confirmed;
    if (confirmed > lane.confirmed) {
        lane.confirmed = confirmed;
        lane.fates.erase(lane.fates.begin(),
                         std::find_if(lane.fates.begin(), lane.fates.end(),
                                      [&](const auto &fate) { return fate.first > confirmed; }));
    }
    bool taken = true;
    if (in.type == NATIVE_DATA) {
        taken = in.data.first_sequence <= lane.next;
        if (taken) { TakeData(lane, in.data); }
    } else if (in.type == NATIVE_FRAGMENT) {
        taken =
            in.data.first_sequence < lane.next || (in.data.first_sequence == lane.next &&
                                                   in.data.fragment_offset <= lane.assembled_bytes);
        if (taken && in.data.first_sequence == lane.next) { TakeFragment(lane, in.data); }
    }
    if (taken) { NotePacket(session, in.data.packet_number); }
    if (!session.ack_due) {
        session.ack_due = true;
        due_.push_back(in.token);
    }
}

void UdpAppliance::TakeData(UdpLane &lane, const struct native_data &data)
{
    struct bytes rest = data.payload;
    struct bytes record;
    uint64_t sequence = data.first_sequence;
    while (native_record_take(&rest, &record)) {
        if (sequence++ == lane.next) { Judge(lane, record); }
    }
}

/* In order only: what comes later is dropped and sent again. */
void UdpAppliance::TakeFragment(UdpLane &lane, const struct native_data &data)
{
    if (data.fragment_offset == 0) { lane.assembled_bytes = 0; }
    if (lane.assembled_bytes == 0) { lane.assembly.assign(data.record_bytes, '\0'); }
    if (lane.assembly.size() != data.record_bytes) { return; }
    memcpy(&lane.assembly[data.fragment_offset], data.payload.at, data.payload.len_bytes);
    lane.assembled_bytes =
        std::max<size_t>(lane.assembled_bytes, data.fragment_offset + data.payload.len_bytes);
    if (lane.assembled_bytes < data.record_bytes) { return; }
    lane.assembled_bytes = 0;
    Judge(lane, bytes_of(lane.assembly.data(), lane.assembly.size()));
}

void UdpAppliance::Judge(UdpLane &lane, struct bytes bytes)
{
    struct native_header headers[NATIVE_HEADERS_MAX];
    struct native_record record;
    uint8_t fate = NATIVE_STORED;
    if (!native_record_decode(bytes, headers, &record)) {
        fate = NATIVE_MALFORMED_RECORD;
    } else if (options_.fate) {
        fate = options_.fate(record);
    }
    const uint32_t digest = fate == NATIVE_TOO_LARGE ? 0 : native_digest(record.body);
    lane.hash = native_hash_extend(lane.hash, digest);
    lane.fates.push_back({lane.next++, fate});
    records_++;
    if (fate == NATIVE_STORED && options_.keep_records) {
        lane.records.push_back({TextOf(record.key), TextOf(record.value),
                                record.has_topic ? record.topic : 0, record.header_count, fate});
    }
}

void UdpAppliance::Acknowledge(uint64_t id, Session &session)
{
    const UdpLane &lane = lanes_[session.lane];
    session.ack_due = false;
    struct native_ack ack = {};
    ack.ack_number = session.acks++;
    ack.received = lane.next - 1;
    ack.fates_first = lane.confirmed + 1;
    ack.credit_bytes = options_.credit_bytes;
    ack.range_count = static_cast<uint32_t>(session.ranges.size());
    for (size_t i = 0; i < session.ranges.size(); i++) {
        ack.ranges[i] = {session.ranges[i].first, session.ranges[i].second};
    }
    struct sink out = native_ack_begin(room_, 1200, id, &ack);
    uint64_t durable = lane.confirmed;
    size_t at = 0;
    while (at < lane.fates.size()) {
        size_t end = at;
        while (end < lane.fates.size() && lane.fates[end].second == lane.fates[at].second) {
            end++;
        }
        if (!native_fate_put(&out, lane.fates[at].second, end - at)) { break; }
        durable += end - at;
        at = end;
    }
    Send(session.peer, native_ack_end(room_, &out, durable));
}

/* ---------------------------------------------------------------------------- for the tests */

UdpLane UdpAppliance::LaneOf(uint32_t number)
{
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto &[key, lane] : lanes_) {
        if (key.lane == number) { return lane; }
    }
    return UdpLane{};
}

size_t UdpAppliance::LaneCount()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return lanes_.size();
}

uint64_t UdpAppliance::Records()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return records_;
}

void UdpAppliance::Forget()
{
    std::lock_guard<std::mutex> lock(mutex_);
    lanes_.clear();
    sessions_.clear();
}

void UdpAppliance::Rewind(uint32_t number, uint64_t next)
{
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &[key, lane] : lanes_) {
        if (key.lane != number) { continue; }
        lane.next = next;
        lane.confirmed = next - 1;
        lane.fates.clear();
    }
    sessions_.clear();
}

void UdpAppliance::Fence(uint32_t number)
{
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &[key, lane] : lanes_) {
        if (key.lane == number) { lane.epoch = UINT64_MAX; }
    }
    sessions_.clear();
}
