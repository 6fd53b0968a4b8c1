// simulate_trace.h - what happened in a run: its digest, its last events, and how it ends when
// something does not hold.
//
// The digest folds in every event, so that two runs of a seed can be compared. One thread.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace simulate {

// What the system under test must never do; its text says what was seen.
struct Violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void Violate(const char *format, ...) __attribute__((format(printf, 1, 2)));

class Trace {
  public:
    // `verbose`: events are printed to stderr as they come.
    explicit Trace(bool verbose) : verbose_(verbose), events_(kEvents) {}

    // `what` is a literal: a format with up to three %llu. Events before it are kept for Print.
    void Add(uint64_t now_ns, const char *what, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);
    void Mix(uint64_t value);
    uint64_t Digest() const { return digest_; }

    void PrintLast() const;

  private:
    static constexpr size_t kEvents = 64;
    struct Event {
        uint64_t now_ns;
        const char *what;
        uint64_t a, b, c;
    };
    static void Print(const Event &event);

    bool verbose_;
    std::vector<Event> events_; // a ring
    uint64_t count_ = 0;
    uint64_t digest_ = 0;
};

} // namespace simulate
