#include "tools/check_devices.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "storage/device_open.h"
#include "storage/device_table.h"
#include "storage/files.h"

enum { SEGMENTS_SPARE = 2 }; /* a worker's: the open one, and the next */

/* STATUS_OK, or it has been said why not. */
static enum status look_at_device(const struct config *config, const char *path,
                                  struct diagnostics *diagnostics,
                                  struct device_superblock *superblock)
{
    const struct file_place place = config->storage.paths_place;
    int descriptor;
    uint64_t device_bytes;
    enum status status = device_open(path, DEVICE_READ, &descriptor, &device_bytes);
    if (status == STATUS_NOT_FOUND) {
        diagnostics_warning(diagnostics, place,
                            "device %s is not on this machine; fine if the file is for another one",
                            path);
        return status;
    }
    if (status != STATUS_OK && (errno == EACCES || errno == EPERM)) {
        diagnostics_warning(diagnostics, place, "device %s may not be read, and was not looked at",
                            path);
        return status;
    }
    if (status != STATUS_OK) {
        diagnostics_error(diagnostics, place,
                          "%s is neither a directory nor a device that takes "
                          "O_DIRECT (%s)",
                          path, strerror(errno));
        return status;
    }
    status = device_superblock_read(descriptor, device_bytes, superblock, NULL);
    close(descriptor);
    if (status == STATUS_NOT_FOUND) {
        diagnostics_warning(diagnostics, place,
                            "device %s is not initialised: `penstock storage init %s` does it",
                            path, path);
    } else if (status != STATUS_OK) {
        diagnostics_error(diagnostics, place,
                          "device %s: its superblock is damaged, of a newer "
                          "release, or of a larger device",
                          path);
    }
    return status;
}

static void check_slots(const struct config *config, const char *path,
                        const struct device_superblock *superblock, struct diagnostics *diagnostics)
{
    char slot[UNITS_TEXT_BYTES];
    char segment[UNITS_TEXT_BYTES];
    if (superblock->slot_bytes >= config->storage.segment_bytes) { return; }
    diagnostics_error(diagnostics, config->storage.paths_place,
                      "device %s has slots of %s and storage.segment is %s; lower that, or "
                      "initialise the device anew",
                      path, units_format_size(superblock->slot_bytes, slot, sizeof slot),
                      units_format_size(config->storage.segment_bytes, segment, sizeof segment));
}

/* A segment takes a slot, however much larger that is. */
static void check_capacity(const struct config *config, uint64_t slot_count,
                           struct diagnostics *diagnostics)
{
    const uint64_t segment_bytes = config->storage.segment_bytes;
    const uint64_t retained = (config->storage.retain_bytes + segment_bytes - 1) / segment_bytes;
    const uint64_t spare = (uint64_t)SEGMENTS_SPARE * config->workers.count;
    if (retained + spare <= slot_count) { return; }
    diagnostics_error(diagnostics, config->storage.paths_place,
                      "the devices have %" PRIu64
                      " slots and storage.retain.bytes asks for %" PRIu64 ", beside %" PRIu64
                      " for what is being written: the log would close before "
                      "retention begins; lower it",
                      slot_count, retained, spare);
}

void check_devices(const struct config *config, struct diagnostics *diagnostics)
{
    uint64_t slot_count = 0;
    bool all_known = true;
    for (size_t i = 0; i < config->storage.paths.count; i++) {
        struct device_superblock superblock;
        const char *const path = config->storage.paths.items[i];
        if (!posix_path_is_device(path) ||
            look_at_device(config, path, diagnostics, &superblock) != STATUS_OK) {
            all_known = false;
            continue;
        }
        check_slots(config, path, &superblock, diagnostics);
        slot_count += superblock.slot_count;
    }
    if (all_known && config->storage.retain_bytes > 0) {
        check_capacity(config, slot_count, diagnostics);
    }
}
