/* sender.c - datagrams on a schedule that is fixed before the first one leaves: an open loop.
 *
 * Spins on the clock and sends whatever is due, one line a datagram; being late changes nothing in
 * the schedule, so a receiver that stalls is not spared. Prints what it sent, and how late it got.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/lines.h"

enum {
    EXIT_USAGE = 64,
    LINES = 16384,
    BATCH_MAX = 64,
    SEED = 7,
    SPIN_BELOW_NS = 200 * NS_PER_US, /* longer pauses are slept: other processes want the core */
    SEND_BUFFER_BYTES = 8 << 20,
};

struct lines {
    struct iovec slices[LINES];
    char text[LINES][LINES_TEXT_BYTES];
};

struct schedule {
    uint64_t began_ns;
    double rate;
    uint64_t count;
};

static uint64_t due_at(const struct schedule *schedule, uint64_t index)
{
    return schedule->began_ns + (uint64_t)((double)index / schedule->rate * NS_PER_S);
}

static void wait_until(uint64_t due_ns)
{
    for (;;) {
        const uint64_t now_ns = clock_mono_ns();
        if (now_ns >= due_ns) { return; }
        if (due_ns - now_ns <= SPIN_BELOW_NS) { continue; }
        const uint64_t pause_ns = due_ns - now_ns - SPIN_BELOW_NS / 2;
        const struct timespec pause = {(time_t)(pause_ns / NS_PER_S), (long)(pause_ns % NS_PER_S)};
        nanosleep(&pause, NULL);
    }
}

static void fill_lines(struct lines *lines)
{
    struct line_maker maker;
    line_maker_init(&maker, SEED);
    for (size_t i = 0; i < LINES; i++) {
        lines->slices[i].iov_base = lines->text[i];
        lines->slices[i].iov_len = line_make(&maker, lines->text[i]);
    }
}

/* Everything that is due now, at most a batch; answers how many left, 0 on an error. */
static size_t send_due(int link, struct lines *lines, const struct schedule *schedule,
                       uint64_t sent)
{
    struct mmsghdr messages[BATCH_MAX] = {0};
    unsigned count = 0;
    const uint64_t now_ns = clock_mono_ns();
    while (count < BATCH_MAX && sent + count < schedule->count &&
           due_at(schedule, sent + count) <= now_ns) {
        messages[count].msg_hdr.msg_iov = &lines->slices[(sent + count) % LINES];
        messages[count].msg_hdr.msg_iovlen = 1;
        count++;
    }
    const int left = sendmmsg(link, messages, count, 0);
    if (left < 0 && errno != ENOBUFS && errno != EAGAIN) { perror("bench-sender: sendmmsg"); }
    return left > 0 ? (size_t)left : 0;
}

static int open_link(const char *address, uint16_t port)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int buffer_bytes = SEND_BUFFER_BYTES;
    const int link = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (link < 0 || inet_pton(AF_INET, address, &target.sin_addr) != 1) { return -1; }
    (void)setsockopt(link, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    return connect(link, (struct sockaddr *)&target, sizeof target) == 0 ? link : -1;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: bench-sender ADDRESS PORT DATAGRAMS_PER_SECOND SECONDS\n");
        return EXIT_USAGE;
    }
    const double rate = strtod(argv[3], NULL);
    const double seconds = strtod(argv[4], NULL);
    const int link = open_link(argv[1], (uint16_t)strtoul(argv[2], NULL, 10));
    struct lines *const lines = malloc(sizeof *lines);
    if (link < 0 || lines == NULL || rate <= 0 || seconds <= 0) {
        fprintf(stderr, "bench-sender: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    fill_lines(lines);

    const struct schedule schedule = {clock_mono_ns(), rate, (uint64_t)(rate * seconds)};
    uint64_t sent = 0;
    uint64_t late_ns_max = 0;
    const uint64_t give_up_ns = schedule.began_ns + (uint64_t)((seconds * 2 + 5) * NS_PER_S);
    while (sent < schedule.count && clock_mono_ns() < give_up_ns) {
        const uint64_t due_ns = due_at(&schedule, sent);
        wait_until(due_ns);
        const uint64_t late_ns = clock_mono_ns() - due_ns;
        if (late_ns > late_ns_max) { late_ns_max = late_ns; }
        sent += send_due(link, lines, &schedule, sent);
    }
    const double took = (double)(clock_mono_ns() - schedule.began_ns) / NS_PER_S;
    printf("{\"sent\": %" PRIu64 ", \"seconds\": %.6f, \"late_us_max\": %.1f}\n", sent, took,
           (double)late_ns_max / NS_PER_US);
    free(lines);
    close(link);
    return EXIT_SUCCESS;
}
