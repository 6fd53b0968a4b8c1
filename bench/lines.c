#include "bench/lines.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    STAMP_BYTES = 32,
    SECONDS_PER_DAY = 86400,
};

static const char *const hosts[] = {"edge-03", "edge-11", "cart-2", "pay-1", "auth-7"};
static const char *const users[] = {"root", "deploy", "m\xc3\xbcller", "svc-batch", "admin"};
static const char *const levels[] = {"debug", "info", "info", "info", "warn", "error"};
static const char *const agents[] = {"curl/7.88.1",
                                     "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
                                     "kube-probe/1.29"};

/* What a line is about: the word that syslog calls APP-NAME, and the text. */
struct event {
    const char *app;
    char text[LINES_TEXT_BYTES];
};

void line_maker_init(struct line_maker *maker, uint64_t seed)
{
    maker->state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    maker->second = 0;
    maker->number = 0;
}

/* xorshift64* (Vigna, 2016): short, and good enough for text. */
uint32_t line_maker_draw(struct line_maker *maker, uint32_t bound)
{
    maker->state ^= maker->state >> 12;
    maker->state ^= maker->state << 25;
    maker->state ^= maker->state >> 27;
    const uint32_t high = (uint32_t)((maker->state * UINT64_C(0x2545f4914f6cdd1d)) >> 32);
    return (uint32_t)((uint64_t)high * bound >> 32);
}

#define PICK(maker, array) ((array)[line_maker_draw((maker), (uint32_t)ARRAY_COUNT(array))])

static void make_address(struct line_maker *maker, char out[16])
{
    snprintf(out, 16, "%u.%u.%u.%u", 1 + line_maker_draw(maker, 223), line_maker_draw(maker, 256),
             line_maker_draw(maker, 256), 1 + line_maker_draw(maker, 254));
}

static void make_stamp(const struct line_maker *maker, char out[STAMP_BYTES])
{
    const uint64_t second = maker->second;
    snprintf(out, STAMP_BYTES, "2026-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)(1 + second / (30 * SECONDS_PER_DAY) % 12),
             (unsigned)(1 + second / SECONDS_PER_DAY % 28), (unsigned)(second / 3600 % 24),
             (unsigned)(second / 60 % 60), (unsigned)(second % 60), (unsigned)(second * 37 % 1000));
}

static void make_path(struct line_maker *maker, char out[48])
{
    const uint32_t number = 1 + line_maker_draw(maker, 1U << 20);
    switch (line_maker_draw(maker, 6)) {
    case 0: snprintf(out, 48, "/"); break;
    case 1: snprintf(out, 48, "/healthz"); break;
    case 2: snprintf(out, 48, "/api/v1/cart"); break;
    case 3: snprintf(out, 48, "/api/v1/orders/%u", number); break;
    case 4: snprintf(out, 48, "/static/app.%x.js", number); break;
    default: snprintf(out, 48, "/login"); break;
    }
}

static void make_web(struct line_maker *maker, struct event *out)
{
    static const unsigned codes[] = {200, 200, 200, 304, 404, 500};
    char address[16];
    char path[48];
    make_address(maker, address);
    make_path(maker, path);
    out->app = "nginx";
    snprintf(out->text, sizeof out->text, "%s \"GET %s HTTP/1.1\" %u %u \"-\" \"%s\"", address,
             path, PICK(maker, codes), line_maker_draw(maker, 90001), PICK(maker, agents));
}

static void make_payment(struct line_maker *maker, struct event *out)
{
    out->app = "payments";
    snprintf(out->text, sizeof out->text,
             "svc=payments level=%s order=%u amount=%u.%02u EUR card=****%04u latency_ms=%u",
             PICK(maker, levels), 1 + line_maker_draw(maker, 1000000000),
             line_maker_draw(maker, 901), line_maker_draw(maker, 100),
             line_maker_draw(maker, 10000), 1 + line_maker_draw(maker, 4000));
}

static void make_ssh(struct line_maker *maker, struct event *out)
{
    char address[16];
    make_address(maker, address);
    out->app = "sshd";
    snprintf(out->text, sizeof out->text, "%s password for %s from %s port %u ssh2",
             line_maker_draw(maker, 2) == 0 ? "Accepted" : "Failed", PICK(maker, users), address,
             1024 + line_maker_draw(maker, 64512));
}

static void make_kernel(struct line_maker *maker, struct event *out)
{
    out->app = "kernel";
    snprintf(out->text, sizeof out->text, "[%u.%06u] eth%u: link %s, 10000 Mbps full duplex",
             (unsigned)maker->second, line_maker_draw(maker, 1000000), line_maker_draw(maker, 4),
             line_maker_draw(maker, 2) == 0 ? "up" : "down");
}

static void make_event(struct line_maker *maker, struct event *out)
{
    maker->second += line_maker_draw(maker, 3);
    maker->number++;
    const uint32_t kind = line_maker_draw(maker, 11);
    if (kind < 5) {
        make_web(maker, out);
    } else if (kind < 8) {
        make_payment(maker, out);
    } else if (kind < 10) {
        make_ssh(maker, out);
    } else {
        make_kernel(maker, out);
    }
}

static size_t check_length(int written)
{
    assert(written > 0 && written < LINES_TEXT_BYTES);
    return (size_t)written;
}

size_t line_make(struct line_maker *maker, char *out)
{
    struct event event;
    char stamp[STAMP_BYTES];
    make_event(maker, &event);
    make_stamp(maker, stamp);
    return check_length(snprintf(out, LINES_TEXT_BYTES, "%s %s %s[%u]: %.200s seq=%llu", stamp,
                                 PICK(maker, hosts), event.app, 300 + line_maker_draw(maker, 64700),
                                 event.text, (unsigned long long)maker->number));
}

void line_make_filled(struct line_maker *maker, char *out, size_t len_bytes)
{
    for (size_t used = 0; used < len_bytes;) {
        char text[LINES_TEXT_BYTES];
        const size_t made = line_make(maker, text);
        text[made] = ' '; /* in place of the NUL: between two */
        const size_t room = len_bytes - used;
        const size_t taken = made + 1 < room ? made + 1 : room;
        memcpy(out + used, text, taken);
        used += taken;
    }
}

size_t line_make_syslog(struct line_maker *maker, char *out)
{
    struct event event;
    char stamp[STAMP_BYTES];
    char details[64] = "-";
    make_event(maker, &event);
    make_stamp(maker, stamp);
    if (line_maker_draw(maker, 3) == 0) {
        snprintf(details, sizeof details, "[origin@32473 zone=\"rack-%u\" unit=\"%u\"]",
                 line_maker_draw(maker, 40), line_maker_draw(maker, 48));
    }
    return check_length(snprintf(out, LINES_TEXT_BYTES, "<%u>1 %s %s %s %u - %s %.160s seq=%llu",
                                 line_maker_draw(maker, 192), stamp, PICK(maker, hosts), event.app,
                                 300 + line_maker_draw(maker, 64700), details, event.text,
                                 (unsigned long long)maker->number));
}
