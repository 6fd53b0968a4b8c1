#include "tests/sim/simulate_trace.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "base/clock.h"
#include "base/crc32c.h"
#include "tests/sim/sim_random.h"

namespace simulate {

void Violate(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Violation(text);
}

void Trace::Mix(uint64_t value)
{
    struct random mix = {digest_ ^ value};
    digest_ = random_u64(&mix);
}

void Trace::Print(const Event &event)
{
    fprintf(stderr, "%12.6f ms  ", static_cast<double>(event.now_ns) / NS_PER_MS);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    fprintf(stderr, event.what, static_cast<unsigned long long>(event.a),
            static_cast<unsigned long long>(event.b), static_cast<unsigned long long>(event.c));
#pragma GCC diagnostic pop
    fputc('\n', stderr);
}

void Trace::Add(uint64_t now_ns, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
    const Event event = {now_ns, what, a, b, c};
    events_[count_++ % kEvents] = event;
    Mix(now_ns);
    Mix(a ^ (b << 20) ^ (c << 40));
    if (verbose_) { Print(event); }
}

void Trace::PrintLast() const
{
    for (uint64_t i = count_ - std::min<uint64_t>(count_, kEvents); i < count_; i++) {
        Print(events_[i % kEvents]);
    }
}

} // namespace simulate
