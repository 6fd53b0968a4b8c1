/* iowq_watch.h - are the kernel's threads for our disks where they belong: off the polling cores?
 *
 * What io_uring cannot do without waiting it gives to threads of this process named iou-wrk-*. On a
 * worker's core such a thread waits for the worker, or the worker for it: milliseconds either way.
 * uring_disk.c keeps them off; a thread that may run there all the same, or did, is a fault: a
 * metric and a line in the log.
 *
 * Owns     A few counts. Threads  The main core: reads /proc, which may block. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct iowq_watch {
    const uint32_t *cores; /* the workers' */
    size_t core_count;
    uint64_t looked_ns;
    bool told; /* some were astray at the last look */
};

/* `cores` is borrowed. */
void iowq_watch_init(struct iowq_watch *watch, const uint32_t *cores, size_t core_count);

/* Once a second (more often it does nothing): counts into `node`, and says when it begins and when
 * it has ended. */
void iowq_watch_turn(struct iowq_watch *watch, struct node_page *node, uint64_t now_ns);

struct iowq_count {
    uint64_t threads;
    uint64_t astray;
};

/* One look at the threads of a process, or what a test made to look like it ("/proc/self/task"). */
struct iowq_count iowq_watch_look(const struct iowq_watch *watch, const char *tasks);

END_C_DECLS
