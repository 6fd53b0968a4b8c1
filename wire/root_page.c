#include "wire/root_page.h"

#include <string.h>

static const char root_magic[8] = {'P', 'E', 'N', 'S', 'T', 'R', 'U', 'T'};

void root_page_init(struct root_page *root)
{
    memcpy(root->magic, root_magic, sizeof root->magic);
    root->version = SHARED_VERSION;
    root->partitions_max = ROOT_PARTITIONS_MAX;
}

enum status root_page_check(const struct root_page *root, size_t size_bytes)
{
    if (size_bytes < sizeof *root) { return STATUS_TRUNCATED; }
    if (memcmp(root->magic, root_magic, sizeof root->magic) != 0) { return STATUS_CORRUPT; }
    if (root->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    if (root->partitions_max != ROOT_PARTITIONS_MAX) { return STATUS_UNSUPPORTED; }
    return STATUS_OK;
}

const char *root_state_text(enum root_state state)
{
    switch (state) {
    case ROOT_STATE_STARTING: return "starting";
    case ROOT_STATE_RECOVERING: return "recovering";
    case ROOT_STATE_RUNNING: return "running";
    case ROOT_STATE_DRAINING: return "draining";
    case ROOT_STATE_STOPPED: return "stopped";
    }
    return "unknown";
}

const char *root_log_state_text(enum root_log_state state)
{
    switch (state) {
    case ROOT_LOG_ABSENT: return "absent";
    case ROOT_LOG_OPEN: return "open";
    case ROOT_LOG_CLOSED: return "closed";
    case ROOT_LOG_ORPHAN: return "orphan";
    }
    return "unknown";
}
