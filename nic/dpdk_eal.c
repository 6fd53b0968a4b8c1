#include "nic/dpdk_eal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pci.h>

#include "base/invariant.h"
#include "base/logger.h"
#include "nic/dpdk_listen.h"

static const uint64_t MIB = 1024 * 1024;

/* Fewer hugepages than this hold no useful pool: better ordinary memory, and more of it. */
static const uint64_t HUGEPAGES_BYTES_MIN = 64 * MIB;
/* Ordinary memory is a smaller set-up: not pinned, and a page a buffer. */
static const uint64_t NO_HUGE_BYTES_MAX = 512 * MIB;

/* ---- memory -----------------------------------------------------------------------------------*/

static uint64_t read_number(const char *path)
{
    unsigned long long value = 0;
    FILE *const file = fopen(path, "re");
    if (file == NULL) { return 0; }
    if (fscanf(file, "%llu", &value) != 1) { value = 0; }
    fclose(file);
    return value;
}

static uint64_t hugepages_free_bytes(void)
{
    uint64_t total_bytes = 0;
    DIR *const folder = opendir("/sys/kernel/mm/hugepages");
    if (folder == NULL) { return 0; }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        unsigned long long page_kib = 0;
        char path[512];
        if (sscanf(entry->d_name, "hugepages-%llukB", &page_kib) != 1) { continue; }
        snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/%s/free_hugepages", entry->d_name);
        const uint64_t free_pages = read_number(path);
        /* Free, but promised to another process that has not touched them yet. */
        snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/%s/resv_hugepages", entry->d_name);
        const uint64_t promised_pages = read_number(path);
        if (free_pages > promised_pages) {
            total_bytes += (free_pages - promised_pages) * page_kib * 1024;
        }
    }
    closedir(folder);
    return total_bytes;
}

static struct dpdk_memory choose_memory(uint64_t wanted_bytes, uint64_t free_bytes)
{
    const uint64_t wanted = wanted_bytes > HUGEPAGES_BYTES_MIN ? wanted_bytes : HUGEPAGES_BYTES_MIN;
    struct dpdk_memory out = {.hugepages = free_bytes >= HUGEPAGES_BYTES_MIN};
    const uint64_t limit_bytes = out.hugepages ? free_bytes : NO_HUGE_BYTES_MAX;
    out.bytes = wanted < limit_bytes ? wanted : limit_bytes;
    return out;
}

/* ---- EAL's arguments --------------------------------------------------------------------------*/

enum {
    ARGUMENTS_MAX = 256,
    ARGUMENT_TEXT_BYTES = 4096,
};

struct arguments {
    char *items[ARGUMENTS_MAX + 1]; /* ends in NULL, as main's */
    int count;
    bool overflowed;
};

static void arguments_add(struct arguments *arguments, const char *format, ...) PRINTF_LIKE(2, 3);

static void arguments_add(struct arguments *arguments, const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    if (arguments->count < ARGUMENTS_MAX && vasprintf(&text, format, list) < 0) { text = NULL; }
    va_end(list);
    if (text == NULL) {
        arguments->overflowed = true;
        return;
    }
    arguments->items[arguments->count++] = text;
}

static void arguments_deinit(struct arguments *arguments)
{
    for (int i = 0; i < arguments->count; i++) { free(arguments->items[i]); }
}

static bool cpu_is_a_workers(const struct dpdk_eal_options *options, size_t cpu)
{
    for (size_t i = 0; i < options->worker_count; i++) {
        if (options->worker_cores[i] == cpu) { return true; }
    }
    return false;
}

/* "0@(0,2,3),1@1": lcore 0 floats over what is left, each worker's is pinned. */
static void write_lcores(const struct dpdk_eal_options *options, const cpu_set_t *allowed,
                         FILE *out)
{
    const char *separator = "0@(";
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, allowed) || cpu_is_a_workers(options, cpu)) { continue; }
        fprintf(out, "%s%zu", separator, cpu);
        separator = ",";
    }
    if (separator[0] == '0') { /* none was left */
        fprintf(out, "0@(%u", options->worker_cores[0]);
        log_warning("every CPU has a worker: the main thread shares CPU %u with worker 0, which "
                    "will stall it now and then; give it a CPU of its own (workers.cores)",
                    options->worker_cores[0]);
    }
    fputc(')', out);
    for (size_t i = 0; i < options->worker_count; i++) {
        fprintf(out, ",%zu@%u", i + 1, options->worker_cores[i]);
    }
}

static enum status arguments_add_lcores(struct arguments *arguments,
                                        const struct dpdk_eal_options *options,
                                        struct dpdk_error *error)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        snprintf(error->text, sizeof error->text, "cannot read the allowed CPUs: %s",
                 strerror(errno));
        return STATUS_IO;
    }
    for (size_t i = 0; i < options->worker_count; i++) {
        const uint32_t cpu = options->worker_cores[i];
        if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed)) { continue; }
        snprintf(error->text, sizeof error->text,
                 "worker %zu is to run on CPU %u, which this process may not use; choose among "
                 "the CPUs in /proc/self/status, Cpus_allowed_list",
                 i, cpu);
        return STATUS_INVALID;
    }

    char text[ARGUMENT_TEXT_BYTES] = "";
    FILE *const out = fmemopen(text, sizeof text, "w");
    if (out == NULL) { return STATUS_NO_MEMORY; }
    write_lcores(options, &allowed, out);
    const bool cut = fclose(out) != 0 || text[sizeof text - 2] != '\0';
    if (cut) { return STATUS_NO_MEMORY; }
    arguments_add(arguments, "--lcores=%s", text);
    arguments_add(arguments, "--main-lcore=0");
    return STATUS_OK;
}

static void arguments_add_devices(struct arguments *arguments,
                                  const struct dpdk_eal_options *options)
{
    size_t pci_count = 0;
    for (size_t i = 0; i < options->device_count; i++) {
        if (!dpdk_device_is_pci(options->devices[i])) { continue; }
        arguments_add(arguments, "--allow=%s", options->devices[i]);
        pci_count++;
    }
    if (pci_count == 0) { arguments_add(arguments, "--no-pci"); }
}

static enum status arguments_fill(struct arguments *arguments,
                                  const struct dpdk_eal_options *options,
                                  const struct dpdk_memory *memory, struct dpdk_error *error)
{
    arguments_add(arguments, "%s", options->program);
    const enum status lcores = arguments_add_lcores(arguments, options, error);
    if (lcores != STATUS_OK) { return lcores; }
    arguments_add(arguments, "--file-prefix=%s", options->file_prefix);
    if (memory->hugepages) {
        arguments_add(arguments, "--in-memory");
    } else { /* which EAL refuses together with --in-memory */
        arguments_add(arguments, "--no-huge");
        arguments_add(arguments, "--no-shconf");
    }
    arguments_add(arguments, "-m");
    arguments_add(arguments, "%llu", (unsigned long long)(memory->bytes / MIB));
    arguments_add(arguments, "--log-level=error");
    arguments_add_devices(arguments, options);
    for (size_t i = 0; i < options->extra_count; i++) {
        arguments_add(arguments, "%s", options->extra_arguments[i]);
    }
    if (!arguments->overflowed) { return STATUS_OK; }
    snprintf(error->text, sizeof error->text, "more than %d arguments for DPDK", ARGUMENTS_MAX);
    return STATUS_NO_MEMORY;
}

/* ---- start and stop ---------------------------------------------------------------------------*/

static enum status eal_refused(const char *complaint, const struct dpdk_memory *memory,
                               struct dpdk_error *error)
{
    const int why = rte_errno;
    const char *const advice =
        why == EACCES || why == EPERM ? "; it needs root or CAP_NET_ADMIN, CAP_NET_RAW, "
                                        "CAP_SYS_ADMIN and CAP_IPC_LOCK"
        : why == ENOMEM ? "; ask for less (dpdk.memory) or reserve more hugepages (vm.nr_hugepages)"
                        : "; look at dpdk.extra_arguments if there are any";
    snprintf(error->text, sizeof error->text, "DPDK does not start with %llu MiB of %s: %s%s%s%s",
             (unsigned long long)(memory->bytes / MIB),
             memory->hugepages ? "hugepages" : "ordinary memory", rte_strerror(why),
             complaint[0] != '\0' ? ": " : "", complaint, advice);
    return why == ENOMEM ? STATUS_NO_MEMORY : STATUS_IO;
}

enum status dpdk_eal_start(const struct dpdk_eal_options *options, struct dpdk_memory *out,
                           struct dpdk_error *error)
{
    assert(options->worker_count > 0);
    assert(options->worker_count <= DPDK_WORKERS_MAX);

    *out = choose_memory(options->memory_bytes, hugepages_free_bytes());
    struct arguments arguments = {.count = 0};
    enum status status = arguments_fill(&arguments, options, out, error);
    if (status == STATUS_OK) {
        struct dpdk_listener listener;
        char *lent[ARGUMENTS_MAX + 1]; /* EAL shuffles and overwrites the pointers */
        memcpy(lent, arguments.items, sizeof lent);
        dpdk_listener_init(&listener);
        const int result = rte_eal_init(arguments.count, lent);
        dpdk_listener_deinit(&listener);
        if (result < 0) { status = eal_refused(listener.text, out, error); }
    }
    arguments_deinit(&arguments);
    if (status == STATUS_OK) { out->hugepages = rte_eal_has_hugepages() != 0; }
    return status;
}

void dpdk_eal_stop(void) { (void)rte_eal_cleanup(); /* at the end of the process: nothing to do */ }

enum status dpdk_worker_launch(size_t index, int (*body)(void *argument), void *argument)
{
    const unsigned lcore = (unsigned)index + 1;
    if (index >= DPDK_WORKERS_MAX || !rte_lcore_is_enabled(lcore)) { return STATUS_NOT_FOUND; }
    return rte_eal_remote_launch(body, argument, lcore) == 0 ? STATUS_OK : STATUS_BUSY;
}

void dpdk_workers_wait(void) { rte_eal_mp_wait_lcore(); }

bool dpdk_device_is_pci(const char *device)
{
    char name[PCI_PRI_STR_SIZE + 1];
    struct rte_pci_addr address;
    const size_t name_bytes = strcspn(device, ",");
    if (name_bytes >= sizeof name) { return false; }
    memcpy(name, device, name_bytes);
    name[name_bytes] = '\0';
    return isxdigit((unsigned char)name[0]) && rte_pci_addr_parse(name, &address) == 0;
}
