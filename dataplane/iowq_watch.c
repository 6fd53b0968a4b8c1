#include "dataplane/iowq_watch.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"

enum {
    PERIOD_NS = 1 * NS_PER_S,
    TEXT_BYTES = 4096,
    STAT_FIELD_PROCESSOR = 39, /* proc(5), counted from 1 */
    STAT_FIELD_BEHIND_NAME = 3,
};

static const char thread_prefix[] = "iou-wrk-";

void iowq_watch_init(struct iowq_watch *watch, const uint32_t *cores, size_t core_count)
{
    *watch = (struct iowq_watch){.cores = cores, .core_count = core_count};
}

static bool is_workers_core(const struct iowq_watch *watch, unsigned long core)
{
    for (size_t i = 0; i < watch->core_count; i++) {
        if (watch->cores[i] == core) { return true; }
    }
    return false;
}

/* "0-3,8": does any of them belong to a worker? */
static bool list_has_workers_core(const struct iowq_watch *watch, const char *list)
{
    for (size_t i = 0; i < watch->core_count; i++) {
        for (const char *at = list; *at != '\0' && *at != '\n';) {
            char *end;
            const unsigned long first = strtoul(at, &end, 10);
            unsigned long last = first;
            if (end == at) { break; }
            if (*end == '-') { last = strtoul(end + 1, &end, 10); }
            if (first <= watch->cores[i] && watch->cores[i] <= last) { return true; }
            at = *end == ',' ? end + 1 : end;
        }
    }
    return false;
}

/* All of a small file, ended; false: it is gone, as threads go. */
static bool read_text(const char *tasks, const char *thread, const char *name, char out[TEXT_BYTES])
{
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof path, "%s/%s/%s", tasks, thread, name);
    if (len < 0 || (size_t)len >= sizeof path) { return false; }
    FILE *const file = fopen(path, "re");
    if (file == NULL) { return false; }
    const size_t read_bytes = fread(out, 1, TEXT_BYTES - 1, file);
    fclose(file);
    out[read_bytes] = '\0';
    return read_bytes > 0;
}

static bool may_run_astray(const struct iowq_watch *watch, const char *status)
{
    static const char key[] = "\nCpus_allowed_list:";
    const char *const line = strstr(status, key);
    if (line == NULL) { return false; }
    const char *const list = line + sizeof key - 1;
    return list_has_workers_core(watch, list + strspn(list, " \t"));
}

/* Fields are counted behind the name, which may hold blanks and brackets of its own. */
static bool ran_astray(const struct iowq_watch *watch, const char *stat)
{
    const char *at = strrchr(stat, ')');
    for (int field = STAT_FIELD_BEHIND_NAME; at != NULL; field++) {
        at = strchr(at, ' ');
        if (at == NULL) { return false; }
        at++;
        if (field == STAT_FIELD_PROCESSOR) { return is_workers_core(watch, strtoul(at, NULL, 10)); }
    }
    return false;
}

struct iowq_count iowq_watch_look(const struct iowq_watch *watch, const char *tasks)
{
    struct iowq_count out = {0};
    char text[TEXT_BYTES];
    DIR *const threads = opendir(tasks);
    if (threads == NULL) { return out; }
    for (const struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        if (entry->d_name[0] == '.') { continue; }
        if (!read_text(tasks, entry->d_name, "comm", text)) { continue; }
        if (strncmp(text, thread_prefix, sizeof thread_prefix - 1) != 0) { continue; }
        out.threads++;
        const bool astray =
            (read_text(tasks, entry->d_name, "status", text) && may_run_astray(watch, text)) ||
            (read_text(tasks, entry->d_name, "stat", text) && ran_astray(watch, text));
        if (astray) { out.astray++; }
    }
    closedir(threads);
    return out;
}

void iowq_watch_turn(struct iowq_watch *watch, struct node_page *node, uint64_t now_ns)
{
    if (now_ns - watch->looked_ns < PERIOD_NS) { return; }
    watch->looked_ns = now_ns;
    const struct iowq_count count = iowq_watch_look(watch, "/proc/self/task");
    node->iowq_threads = count.threads;
    node->iowq_threads_astray = count.astray;
    if (count.astray > 0) { node->iowq_sightings++; }
    if (count.astray > 0 && !watch->told) {
        log_error("%" PRIu64 " of the kernel's %" PRIu64
                  " disk threads (iou-wrk) may run, or ran, on a worker's core: writes and "
                  "receiving will wait for each other",
                  count.astray, count.threads);
    } else if (count.astray == 0 && watch->told) {
        log_notice("the kernel's disk threads (iou-wrk) are off the workers' cores again");
    }
    watch->told = count.astray > 0;
}
