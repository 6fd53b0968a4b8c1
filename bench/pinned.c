#include "bench/pinned.h"

#include <pthread.h>
#include <sched.h>

struct errand {
    int (*body)(void *argument);
    void *argument;
};

static void *run_errand(void *argument)
{
    const struct errand *const errand = argument;
    (void)errand->body(errand->argument);
    return NULL;
}

uint32_t pinned_core_last(void)
{
    cpu_set_t allowed;
    uint32_t core = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) { return 0; }
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) { core = cpu; }
    }
    return core;
}

uint32_t pinned_core_first(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) { return 0; }
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) { return cpu; }
    }
    return 0;
}

enum status pinned_run(uint32_t core, int (*body)(void *argument), void *argument)
{
    struct errand errand = {body, argument};
    pthread_attr_t attributes;
    pthread_t thread;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(core, &only);
    if (pthread_attr_init(&attributes) != 0) { return STATUS_NO_MEMORY; }
    int refused = pthread_attr_setaffinity_np(&attributes, sizeof only, &only);
    if (refused == 0) { refused = pthread_create(&thread, &attributes, run_errand, &errand); }
    pthread_attr_destroy(&attributes);
    if (refused != 0) { return status_from_errno(refused); }
    pthread_join(thread, NULL);
    return STATUS_OK;
}
