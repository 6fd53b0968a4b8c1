#include "bench/core.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "nic/dpdk_port.h"

enum { LOOK_NS = 2 * NS_PER_MS };

uint64_t core_stolen_ns(uint32_t core)
{
    char line[512];
    char name[32];
    snprintf(name, sizeof name, "cpu%u ", core);
    unsigned long long ticks = 0;
    FILE *const file = fopen("/proc/stat", "re");
    if (file == NULL) { return 0; }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) != 0) { continue; }
        /* user nice system idle iowait irq softirq steal (proc(5)) */
        (void)sscanf(line, "%*s %*u %*u %*u %*u %*u %*u %*u %llu", &ticks);
    }
    fclose(file);
    return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

struct errand {
    int (*body)(void *argument);
    void *argument;
    atomic_bool done; /* release: pairs with the acquire in core_run */
};

static int run_errand(void *argument)
{
    struct errand *const errand = argument;
    const int result = errand->body(errand->argument);
    atomic_store_explicit(&errand->done, true, memory_order_release);
    return result;
}

/* DPDK's own wait spins: on two CPUs it would take the one that prepares segments. */
enum status core_run(int (*body)(void *argument), void *argument)
{
    struct errand errand = {body, argument, false};
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    const enum status status = dpdk_worker_launch(0, run_errand, &errand);
    if (status != STATUS_OK) { return status; }
    while (!atomic_load_explicit(&errand.done, memory_order_acquire)) { nanosleep(&pause, NULL); }
    dpdk_workers_wait();
    return STATUS_OK;
}
