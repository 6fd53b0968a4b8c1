/* udp_appliance.h - a small model of an appliance on a loopback socket, all in memory.
 *
 * Purpose  Speaks docs/protocol.md with real datagrams to real producers: for tests of the library
 * and of its examples. Out-of-order DATA is dropped, "durable" is at once, cookies are constant.
 * Threads  One of its own answers; the public functions lock. A test may stop it and start it again
 * on the same port: lanes stay, sessions go, as in a restart. */
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "wire/native.h"

struct UdpRecord {
    std::string key;
    std::string value;
    uint32_t topic;
    size_t header_count;
    uint8_t fate;
};

struct UdpLane {
    uint64_t epoch = 0;
    uint64_t next = 1;
    uint64_t hash = 0; // of docs/protocol.md, section 3
    uint64_t confirmed = 0;
    std::vector<std::pair<uint64_t, uint8_t>> fates; // not confirmed, oldest first
    std::vector<UdpRecord> records;                  // stored ones only
    std::string assembly;                            // of fragments of `next`
    size_t assembled_bytes = 0;
};

class UdpAppliance {
  public:
    struct Options {
        bool keep_records = true;
        uint32_t credit_bytes = 1 << 20;
        uint32_t max_record_bytes = 900 * 1024;
        /* Lanes are at home where the source port is `home` modulo `ports`. */
        uint16_t ports = 1;
        uint16_t home = 0;
        bool name_source_port = false; // in REDIRECT
        /* What becomes of a record; stored without it. */
        std::function<uint8_t(const struct native_record &)> fate;
    };

    UdpAppliance();
    explicit UdpAppliance(Options options);
    ~UdpAppliance();

    std::string Address() const;
    uint16_t Port() const { return port_; }

    void Stop(); // closes the socket: senders hear that nobody listens
    void Start();

    /* While it holds, everything received is ignored, as if the cable were out. */
    void SetMute(bool mute) { mute_ = mute; }
    /* While it holds, lanes open and nothing is taken or answered in their sessions. */
    void SetDeaf(bool deaf) { deaf_ = deaf; }
    /* Every OPEN gets this REJECT; 0: none. */
    void SetRefusal(uint32_t code) { refusal_ = code; }
    /* Lanes as they are now, by number; of whatever producer. */
    UdpLane LaneOf(uint32_t number);
    size_t LaneCount();
    uint64_t Records(); // with a fate
    uint64_t Datagrams() { return datagrams_; }
    size_t LargestDatagram() { return largest_; }
    void Forget();                               // all lanes
    void Rewind(uint32_t number, uint64_t next); // the newest records of a lane are lost
    void Fence(uint32_t number);                 // somebody with a later epoch took the lane

  private:
    struct Key {
        std::string producer;
        uint32_t lane;
        bool operator<(const Key &other) const
        {
            return producer != other.producer ? producer < other.producer : lane < other.lane;
        }
    };
    struct Session {
        Key lane;
        sockaddr_in peer;
        uint64_t nonce;
        uint64_t acks = 0;
        std::vector<std::pair<uint64_t, uint64_t>> ranges; // of packet numbers, newest first
        bool ack_due = false;
        uint64_t lost_first = 0;
        uint64_t lost_last = 0;
    };

    void Run();
    void Take(const sockaddr_in &peer, struct bytes datagram);
    void TakeHello(const sockaddr_in &peer, const struct native_datagram &in);
    void TakeOpen(const sockaddr_in &peer, const struct native_datagram &in);
    void TakeSession(const sockaddr_in &peer, const struct native_datagram &in);
    void TakeData(UdpLane &lane, const struct native_data &data);
    void TakeFragment(UdpLane &lane, const struct native_data &data);
    void Judge(UdpLane &lane, struct bytes record);
    void NotePacket(Session &session, uint64_t number);
    void Accept(const sockaddr_in &peer, uint64_t id, const Session &session);
    void Acknowledge(uint64_t id, Session &session);
    void Reject(const sockaddr_in &peer, uint64_t token, struct native_reject reject);
    bool Redirects(const sockaddr_in &peer, uint64_t nonce);
    void Send(const sockaddr_in &peer, size_t len_bytes);

    Options options_;
    int fd_ = -1;
    uint16_t port_ = 0;
    std::atomic<bool> running_{false};
    std::atomic<bool> mute_{false};
    std::atomic<bool> deaf_{false};
    std::atomic<uint32_t> refusal_{0};
    std::atomic<uint64_t> datagrams_{0};
    std::atomic<size_t> largest_{0};
    std::thread thread_;
    std::mutex mutex_;
    std::map<Key, UdpLane> lanes_;
    std::map<uint64_t, Session> sessions_;
    std::vector<uint64_t> due_; // sessions to acknowledge
    uint64_t records_ = 0;
    uint64_t last_session_ = 1000;
    uint64_t incarnation_ = 0;
    uint8_t room_[2048];
};
