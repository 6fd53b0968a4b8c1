// A strict model of the appliance: docs/protocol.md, section 6, for one lane in virtual time. It
// checks what a producer must not do, decides fates by sequence, and can lose what it knows.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/packet_window.h"
#include "base/random.h"
#include "wire/native.h"

namespace lane_test {

constexpr uint64_t MS = 1000 * 1000;
constexpr uint64_t S = 1000 * MS;
constexpr uint64_t NEVER = UINT64_MAX;
constexpr uint64_t COMMIT_NS = 2 * MS;
constexpr uint64_t ACK_DELAY_NS = 5 * MS;
constexpr uint32_t MAX_RECORD = 900 * 1024;

using Datagram = std::vector<uint8_t>;

// What stands in record `sequence`: known to both ends, so that any mix-up shows.
struct Content {
    std::function<size_t(uint64_t)> size = [](uint64_t sequence) { return sequence * 37 % 300; };

    std::string Value(uint64_t sequence) const
    {
        std::string out(size(sequence), '\0');
        struct random random = random_seed(sequence);
        for (char &at : out) { at = static_cast<char>(random_u64(&random)); }
        return out;
    }
    static std::string Key(uint64_t sequence) { return "k" + std::to_string(sequence); }
};

inline uint8_t FateOf(uint64_t sequence)
{
    if (sequence % 7 == 3) { return NATIVE_DROPPED; }
    return sequence % 11 == 5 ? NATIVE_NO_TOPIC : NATIVE_STORED;
}

class Appliance {
  public:
    using Send = std::function<void(const Datagram &, uint16_t port)>;

    Appliance(const Content &content, Send send) : content_(content), send_(std::move(send)) {}

    uint32_t credit = 1 << 20;
    uint16_t datagram_bytes = 9000;
    uint16_t home_port = 0;    // 0: any port is home
    bool names_home = true;    // REDIRECT says which port
    uint32_t reject_opens = 0; // so many OPENs meet reject_code
    uint32_t reject_code = NATIVE_REJECT_OVERLOADED;
    uint32_t retry_after_ms = 0;
    size_t keep_ahead_records = 2000;
    bool lose_assembly = false; // once, though its fragments were named received
    bool speaks_version_1 = true;

    uint64_t epoch = 0;
    bool known = false;
    uint64_t durable = 0; // of the lane, on "disk"
    uint64_t opens = 0;
    uint64_t accepts = 0;
    uint64_t redirects = 0;
    uint64_t duplicates = 0;
    uint64_t fragments = 0;
    uint64_t closes = 0;
    uint64_t largest_received_bytes = 0;
    std::set<uint64_t> appended; // sequences judged, over all lives

    uint64_t SessionId() const { return session_; }
    uint64_t Next() const { return next_; }

    // Everything that is not durable is gone, and so is the session.
    void Restart(uint64_t now_ns)
    {
        EndSession();
        for (auto at = appended.upper_bound(durable); at != appended.end();) {
            at = appended.erase(at);
        }
        next_ = durable + 1;
        incarnation_++;
        secret_ = secret_ * 31 + now_ns;
    }

    // The newest `count` durable records are gone as well: a lost disk.
    void LoseDisk(uint64_t count, uint64_t now_ns)
    {
        durable -= std::min(count, durable);
        for (auto at = fates_.upper_bound(durable); at != fates_.end();) { at = fates_.erase(at); }
        confirmed_ = std::min(confirmed_, durable);
        Restart(now_ns);
    }

    void ForgetLane(uint64_t now_ns)
    {
        known = false;
        durable = 0;
        confirmed_ = 0;
        fates_.clear();
        Restart(now_ns);
    }

    // Records of an earlier process, received but not durable before `durable_ns`.
    void Hold(uint64_t first, uint64_t last, uint64_t durable_ns = 0)
    {
        next_ = last + 1;
        confirmed_ = first - 1;
        for (uint64_t sequence = first; sequence <= last; sequence++) { appended.insert(sequence); }
        commit_due_ns_ = durable_ns;
    }

    void Drain()
    {
        const struct native_close close = {NATIVE_CLOSE_DRAINING, ack_number_++, durable, 0};
        Datagram out(NATIVE_CLOSE_BYTES);
        if (session_ == 0) { return; }
        native_encode_close(out.data(), out.size(), session_, &close);
        send_(out, port_);
        EndSession();
    }

    void SetCredit(uint32_t bytes)
    {
        credit = bytes;
        if (session_ != 0) { ack_due_ns_ = 0; }
    }

    uint64_t TimerNs() const { return std::min(commit_due_ns_, ack_due_ns_); }

    void OnTimer(uint64_t now_ns)
    {
        if (now_ns >= commit_due_ns_) { Commit(now_ns); }
        if (session_ != 0 && now_ns >= ack_due_ns_) { SendAck(); }
    }

    void Receive(const Datagram &in, uint16_t port, uint64_t now_ns)
    {
        struct native_datagram datagram;
        if (!speaks_version_1) {
            AnswerVersions(in, port);
            return;
        }
        if (native_decode(bytes_of(in.data(), in.size()), &datagram) != NATIVE_OK) { return; }
        largest_received_bytes = std::max<uint64_t>(largest_received_bytes, in.size());
        if (datagram.type == NATIVE_HELLO) {
            AnswerHello(datagram.token, port, now_ns);
        } else if (datagram.type == NATIVE_OPEN) {
            TakeOpen(datagram.token, datagram.open, port, now_ns);
        } else if (datagram.token != session_ || port != port_ || session_ == 0) {
            Reject(datagram.token, NATIVE_REJECT_SESSION_UNKNOWN, 0, port);
        } else if (datagram.type == NATIVE_CLOSE) {
            TakeClose(datagram.close);
        } else {
            TakePacket(datagram, now_ns);
        }
    }

  private:
    struct native_cookie CookieFor(uint64_t nonce, uint16_t port, uint64_t slot) const
    {
        struct random random = random_seed(nonce ^ secret_ ^ port * 0x9e37u ^ slot << 40);
        struct native_cookie out;
        for (uint8_t &at : out.bytes) { at = static_cast<uint8_t>(random_u64(&random)); }
        return out;
    }

    void AnswerVersions(const Datagram &in, uint16_t port)
    {
        struct native_datagram datagram;
        native_decode(bytes_of(in.data(), in.size()), &datagram);
        Datagram out(NATIVE_VERSIONS_BYTES);
        native_encode_versions(out.data(), out.size(), datagram.token);
        out[16] = 2; // another version than ours
        FixTrailer(&out);
        send_(out, port);
    }

    static void FixTrailer(Datagram *datagram)
    {
        const size_t end = datagram->size() - NATIVE_TRAILER_BYTES;
        store_le32(datagram->data() + end, crc32c(bytes_of(datagram->data(), end)));
    }

    void AnswerHello(uint64_t nonce, uint16_t port, uint64_t now_ns)
    {
        const struct native_cookie cookie = CookieFor(nonce, port, now_ns / (10 * S));
        Datagram out(NATIVE_CHALLENGE_BYTES);
        native_encode_challenge(out.data(), out.size(), nonce, &cookie);
        send_(out, port);
    }

    void Reject(uint64_t token, uint32_t code, uint64_t detail, uint16_t port,
                uint16_t source_port = 0)
    {
        const struct native_reject reject = {code, detail, retry_after_ms, source_port, 0, 0};
        Datagram out(NATIVE_REJECT_BYTES);
        native_encode_reject(out.data(), out.size(), token, &reject);
        send_(out, port);
    }

    bool CookieHolds(uint64_t nonce, const struct native_open &open, uint16_t port, uint64_t now_ns)
    {
        const uint64_t slot = now_ns / (10 * S);
        for (uint64_t age = 0; age <= std::min<uint64_t>(slot, 1); age++) {
            const struct native_cookie cookie = CookieFor(nonce, port, slot - age);
            if (memcmp(cookie.bytes, open.cookie.bytes, sizeof cookie.bytes) == 0) { return true; }
        }
        return false;
    }

    void TakeOpen(uint64_t nonce, const struct native_open &open, uint16_t port, uint64_t now_ns)
    {
        opens++;
        EXPECT_GE(open.datagram_bytes, 1200);
        if (!CookieHolds(nonce, open, port, now_ns)) {
            Reject(nonce, NATIVE_REJECT_COOKIE, 0, port);
        } else if (reject_opens > 0) {
            reject_opens--;
            Reject(nonce, reject_code, 99, port);
        } else if (home_port != 0 && port != home_port) {
            redirects++;
            Reject(nonce, NATIVE_REJECT_REDIRECT, 0, port, names_home ? home_port : 0);
        } else if (session_ != 0 && nonce == open_nonce_ && port == port_) {
            send_(accept_, port);
        } else if (known && open.epoch < epoch) {
            Reject(nonce, NATIVE_REJECT_FENCED, epoch, port);
        } else if (!known && !open.begin) {
            Reject(nonce, NATIVE_REJECT_LANE_UNKNOWN, 0, port);
        } else if (session_ != 0 && open.previous_session != session_ && open.epoch == epoch &&
                   now_ns - heard_ns_ < 3 * S) {
            Reject(nonce, NATIVE_REJECT_LANE_BUSY, epoch, port);
        } else {
            Accept(nonce, open, port, now_ns);
        }
    }

    // Section 6.4.
    void Accept(uint64_t nonce, const struct native_open &open, uint16_t port, uint64_t now_ns)
    {
        if (!known) {
            known = true;
            next_ = open.oldest_held == NATIVE_UNKNOWN ? 1 : open.oldest_held;
            durable = next_ - 1;
            confirmed_ = durable;
        }
        struct native_accept accept = {};
        const uint64_t expected = next_;
        const bool oldest_known = open.oldest_held != NATIVE_UNKNOWN;
        if (open.durable != NATIVE_UNKNOWN && expected <= open.durable) {
            accept.lost_first = expected;
            accept.lost_last = open.durable;
        }
        if (oldest_known && expected < open.oldest_held) { SkipTo(open.oldest_held); }
        if (open.durable != NATIVE_UNKNOWN) { confirmed_ = std::max(confirmed_, open.durable); }
        confirmed_ = std::min(confirmed_, durable);

        EndSession();
        epoch = open.epoch;
        session_ = (++session_count_ << 32 | 0x5eed) * 2 + 1;
        open_nonce_ = nonce;
        port_ = port;
        heard_ns_ = now_ns;
        accepts++;
        accept.session = session_;
        accept.next = next_;
        accept.durable = durable;
        accept.credit_bytes = credit;
        accept.max_record_bytes = MAX_RECORD;
        accept.datagram_bytes = datagram_bytes;
        accept.ack_delay_us = ACK_DELAY_NS / 1000;
        accept.session_timeout_ms = 30000;
        accept.remember_s = 7 * 86400;
        accept.incarnation = incarnation_;
        accept_.resize(NATIVE_ACCEPT_BYTES);
        native_encode_accept(accept_.data(), accept_.size(), nonce, &accept);
        send_(accept_, port);
    }

    void SkipTo(uint64_t sequence)
    {
        for (; next_ < sequence; next_++) {
            if (next_ > durable) { fates_[next_] = NATIVE_LOST; }
        }
        durable = std::max(durable, sequence - 1); // noted before ACCEPT
    }

    void EndSession()
    {
        session_ = 0;
        window_ = {};
        ahead_.clear();
        assembly_.clear();
        assembly_have_.clear();
        ack_number_ = 0;
        unacked_ = 0;
        ack_due_ns_ = NEVER;
    }

    void TakeClose(const struct native_close &close)
    {
        EXPECT_EQ(close.sequence, next_) << "closed with records that never came";
        EXPECT_EQ(durable + 1, next_) << "closed with records that are not durable";
        closes++;
        struct native_close answer = {close.reason, ack_number_++, durable, 0};
        Datagram out(NATIVE_CLOSE_BYTES);
        native_encode_close(out.data(), out.size(), session_, &answer);
        send_(out, port_);
        EndSession();
    }

    void TakePacket(const struct native_datagram &datagram, uint64_t now_ns)
    {
        const struct native_data &data = datagram.data;
        heard_ns_ = now_ns;
        EXPECT_LE(data.confirmed, durable) << "confirmed what was never durable";
        Confirm(data.confirmed);

        struct packet_window window = window_;
        const auto result = packet_window_add(&window, data.packet_number);
        const bool in_order =
            !window_.any ? data.packet_number == 0 : data.packet_number == window_.largest + 1;
        if (result == PACKET_WINDOW_TOO_OLD) { return; }
        const bool taken = datagram.type == NATIVE_DATA       ? TakeData(data)
                           : datagram.type == NATIVE_FRAGMENT ? TakeFragment(data)
                                                              : true;
        if (taken) {
            window_ = window;
            if (!in_order) { ack_due_ns_ = now_ns; }
        }
        unacked_++;
        ack_due_ns_ = std::min(ack_due_ns_, now_ns + ACK_DELAY_NS);
        if (unacked_ >= 8 || datagram.type == NATIVE_PING) { ack_due_ns_ = now_ns; }
        if (next_ > durable + 1 && commit_due_ns_ == NEVER) { commit_due_ns_ = now_ns + COMMIT_NS; }
    }

    void Confirm(uint64_t confirmed)
    {
        while (confirmed_ < std::min(confirmed, durable)) { fates_.erase(++confirmed_); }
    }

    void CheckRecord(uint64_t sequence, struct bytes record)
    {
        struct native_header headers[NATIVE_HEADERS_MAX];
        struct native_record decoded;
        ASSERT_TRUE(native_record_decode(record, headers, &decoded)) << sequence;
        const std::string key(reinterpret_cast<const char *>(decoded.key.at),
                              decoded.key.len_bytes);
        ASSERT_EQ(key, Content::Key(sequence));
        const std::string value = content_.Value(sequence);
        ASSERT_EQ(decoded.value.len_bytes, value.size());
        ASSERT_EQ(memcmp(decoded.value.at, value.data(), value.size()), 0) << sequence;
    }

    bool TakeData(const struct native_data &data)
    {
        struct bytes records = data.payload;
        const uint64_t end = data.first_sequence + data.record_count;
        for (uint64_t sequence = data.first_sequence; sequence < end; sequence++) {
            struct bytes record;
            EXPECT_TRUE(native_record_take(&records, &record));
            CheckRecord(sequence, record);
        }
        EXPECT_EQ(records.len_bytes, 0u);
        if (end <= next_) {
            duplicates++;
            return true;
        }
        if (data.first_sequence > next_) {
            if (ahead_.size() + data.record_count > keep_ahead_records) { return false; }
            for (uint64_t i = data.first_sequence; i < end; i++) { ahead_.insert(i); }
            return true;
        }
        while (next_ < end) { Append(); }
        Advance();
        return true;
    }

    void Append()
    {
        EXPECT_TRUE(appended.insert(next_).second || next_ <= durable)
            << next_ << " was appended twice";
        next_++;
        assembly_.clear();
        assembly_have_.clear();
    }

    void Advance()
    {
        while (ahead_.erase(next_) > 0) { Append(); }
        ahead_.erase(ahead_.begin(), ahead_.lower_bound(next_));
    }

    bool TakeFragment(const struct native_data &data)
    {
        fragments++;
        if (data.first_sequence < next_) { return true; }
        if (data.first_sequence > next_) { return false; }
        if (assembly_.empty()) { assembly_.resize(data.record_bytes); }
        EXPECT_EQ(assembly_.size(), data.record_bytes);
        memcpy(assembly_.data() + data.fragment_offset, data.payload.at, data.payload.len_bytes);
        for (size_t at = data.fragment_offset; at < data.fragment_offset + data.payload.len_bytes;
             at += 1024) {
            assembly_have_.insert(at / 1024);
        }
        if (lose_assembly && assembly_have_.size() == 3) {
            lose_assembly = false;
            assembly_have_.clear();
        }
        if (assembly_have_.size() < (assembly_.size() + 1023) / 1024) { return true; }
        CheckRecord(next_, bytes_of(assembly_.data(), assembly_.size()));
        Append();
        Advance();
        return true;
    }

    void Commit(uint64_t now_ns)
    {
        commit_due_ns_ = NEVER;
        if (next_ == durable + 1) { return; }
        while (durable + 1 < next_) {
            durable++;
            fates_[durable] = FateOf(durable);
        }
        if (session_ != 0) { ack_due_ns_ = now_ns; }
    }

    void SendAck()
    {
        struct packet_range ranges[NATIVE_RANGES_MAX];
        struct native_ack ack = {};
        ack.ack_number = ack_number_++;
        ack.received = next_ - 1;
        ack.fates_first = confirmed_ + 1;
        ack.credit_bytes = credit;
        ack.range_count =
            static_cast<uint32_t>(packet_window_ranges(&window_, ranges, NATIVE_RANGES_MAX));
        for (uint32_t i = 0; i < ack.range_count; i++) {
            ack.ranges[i] = {ranges[i].first, ranges[i].last};
        }
        Datagram out(1200);
        struct sink sink = native_ack_begin(out.data(), out.size(), session_, &ack);
        uint64_t named = confirmed_;
        while (named < durable) {
            const uint8_t fate = fates_.at(named + 1);
            uint64_t end = named + 1;
            while (end < durable && fates_.at(end + 1) == fate) { end++; }
            if (!native_fate_put(&sink, fate, end - named)) { break; }
            named = end;
        }
        out.resize(native_ack_end(out.data(), &sink, named));
        unacked_ = 0;
        ack_due_ns_ = NEVER;
        send_(out, port_);
    }

    const Content &content_;
    Send send_;
    uint64_t secret_ = 12345;
    uint64_t incarnation_ = 1;
    uint64_t session_count_ = 0;
    uint64_t session_ = 0;
    uint64_t open_nonce_ = 0;
    uint16_t port_ = 0;
    Datagram accept_;
    uint64_t heard_ns_ = 0;
    uint64_t next_ = 1;
    uint64_t confirmed_ = 0;
    std::map<uint64_t, uint8_t> fates_;
    struct packet_window window_ = {};
    std::set<uint64_t> ahead_;
    std::vector<uint8_t> assembly_;
    std::set<size_t> assembly_have_;
    uint64_t ack_number_ = 0;
    uint32_t unacked_ = 0;
    uint64_t ack_due_ns_ = NEVER;
    uint64_t commit_due_ns_ = NEVER;
};

} // namespace lane_test
