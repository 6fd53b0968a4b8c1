#include "pipeline/rule_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/invariant.h"

enum {
    EXIT_NOT_HEARD = 3,
    READ_BYTES = 1 << 20,
    POLL_MS = 100,
};

/* ----------------------------------------------------------------------------------- the child */

static void limit(__rlimit_resource_t what, uint64_t soft, uint64_t hard)
{
    const struct rlimit rlimit = {soft, hard};
    (void)setrlimit(what, &rlimit); /* refused above the own hard limit, which is lower still */
}

static uint64_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *const file = fopen("/proc/self/statm", "re");
    if (file == NULL) { return 0; }
    if (fscanf(file, "%lu", &pages) != 1) { pages = 0; }
    (void)fclose(file); /* only read */
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Signals are the parent's to answer: the child leaves all of them alone but the one that says that
 * its time is up. */
static void leave_signals_alone(void)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGXCPU);
    (void)signal(SIGXCPU, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
}

static void enter_jail(const struct rule_jail_limits *limits, uint64_t parent_bytes, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { _exit(EXIT_NOT_HEARD); } /* it was gone before that */
    leave_signals_alone();
    limit(RLIMIT_CORE, 0, 0);
    if (limits->cpu_seconds > 0) {
        limit(RLIMIT_CPU, limits->cpu_seconds, (uint64_t)limits->cpu_seconds + 1);
    }
    if (limits->memory_bytes > 0 && parent_bytes > 0) {
        limit(RLIMIT_AS, parent_bytes + limits->memory_bytes, RLIM_INFINITY);
    }
}

void rule_jail_write(int out, struct bytes bytes)
{
    while (bytes.len_bytes > 0) {
        const ssize_t written = write(out, bytes.at, bytes.len_bytes);
        if (written < 0 && errno == EINTR) { continue; }
        if (written <= 0) { _exit(EXIT_NOT_HEARD); }
        bytes = bytes_slice(bytes, (size_t)written, bytes.len_bytes);
    }
}

/* ---------------------------------------------------------------------------------- the parent */

struct listening {
    int in;
    uint64_t deadline_ns; /* UINT64_MAX: none */
    uint64_t bytes_max;
    uint8_t *bytes;
    size_t used;
    size_t room;
};

static void make_room(struct listening *listening)
{
    if (listening->room - listening->used >= READ_BYTES) { return; }
    listening->room = 2 * listening->room + 2 * (size_t)READ_BYTES;
    listening->bytes = allocate_again(listening->bytes, listening->room, 1);
}

/* Until the child closes its end, or one of the limits is met. */
static enum rule_jail_end listen_to(struct listening *listening)
{
    for (;;) {
        struct pollfd poll_for = {.fd = listening->in, .events = POLLIN};
        if (clock_mono_ns() > listening->deadline_ns) { return RULE_JAIL_OUT_OF_TIME; }
        const int ready = poll(&poll_for, 1, POLL_MS);
        if (ready < 0 && errno != EINTR) { return RULE_JAIL_DIED; }
        if (ready <= 0) { continue; }
        make_room(listening);
        const ssize_t count = read(listening->in, listening->bytes + listening->used, READ_BYTES);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) { continue; }
        if (count < 0) { return RULE_JAIL_DIED; }
        if (count == 0) { return RULE_JAIL_DONE; }
        listening->used += (size_t)count;
        if (listening->used > listening->bytes_max) { return RULE_JAIL_TOO_LARGE; }
    }
}

/* Whether the body came to its end: with SIGCHLD ignored nobody can say how a child went, but that
 * it closed its pipe is known, and what it wrote is checked. */
static enum rule_jail_end reap(pid_t child, enum rule_jail_end heard)
{
    if (heard != RULE_JAIL_DONE) { (void)kill(child, SIGKILL); }
    int how = 0;
    pid_t reaped;
    do {
        reaped = waitpid(child, &how, 0);
    } while (reaped < 0 && errno == EINTR);
    if (heard != RULE_JAIL_DONE || reaped < 0) { return heard; }
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0) { return RULE_JAIL_DONE; }
    const bool by_time = WIFSIGNALED(how) && (WTERMSIG(how) == SIGXCPU || WTERMSIG(how) == SIGKILL);
    return by_time ? RULE_JAIL_OUT_OF_TIME : RULE_JAIL_DIED;
}

static uint64_t deadline_of(const struct rule_jail_limits *limits)
{
    if (limits->cpu_seconds == 0) { return UINT64_MAX; }
    return clock_mono_ns() + limits->cpu_seconds * RULE_JAIL_WALL_FACTOR * (uint64_t)NS_PER_S;
}

enum rule_jail_end rule_jail_run(const struct rule_jail_limits *limits,
                                 void (*body)(const void *context, int out), const void *context,
                                 uint8_t **answer, size_t *answer_bytes)
{
    *answer = NULL;
    *answer_bytes = 0;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) { return RULE_JAIL_NO_CHILD; }
    const uint64_t parent_bytes = mapped_bytes();
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0) {
        (void)close(ends[0]); /* nothing was written to either */
        (void)close(ends[1]);
        return RULE_JAIL_NO_CHILD;
    }
    if (child == 0) {
        enter_jail(limits, parent_bytes, parent);
        body(context, ends[1]);
        _exit(0);
    }

    (void)close(ends[1]);
    struct listening listening = {
        .in = ends[0],
        .deadline_ns = deadline_of(limits),
        .bytes_max = limits->answer_bytes > 0 ? limits->answer_bytes : UINT64_MAX,
    };
    const enum rule_jail_end heard = listen_to(&listening);
    (void)close(ends[0]);
    *answer = listening.bytes;
    *answer_bytes = listening.used;
    return reap(child, heard);
}
