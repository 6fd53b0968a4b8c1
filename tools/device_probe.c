#include "tools/device_probe.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/device_table.h"
#include "storage/direct_io.h"
#include "storage/disk.h"

enum { EDGE_BYTES = 1 << 20 }; /* where signatures lie that no library knows */

/* ---------------------------------------------------------------------------- known signatures */

static const char *value_of(blkid_probe probe, const char *name)
{
    const char *value = NULL;
    return blkid_probe_lookup_value(probe, name, &value, NULL) == 0 ? value : NULL;
}

static void describe(blkid_probe probe, char text[DEVICE_PROBE_TEXT_BYTES])
{
    const char *const type = value_of(probe, "TYPE");
    const char *const table = value_of(probe, "PTTYPE");
    const char *const label = value_of(probe, "LABEL");
    if (type != NULL) {
        snprintf(text, DEVICE_PROBE_TEXT_BYTES, "%s%s%s", type, label != NULL ? ", label " : "",
                 label != NULL ? label : "");
    } else if (table != NULL) {
        snprintf(text, DEVICE_PROBE_TEXT_BYTES, "a partition table (%s)", table);
    } else {
        snprintf(text, DEVICE_PROBE_TEXT_BYTES, "several signatures at once");
    }
}

static enum status probe_signatures(const char *path, char text[DEVICE_PROBE_TEXT_BYTES])
{
    const blkid_probe probe = blkid_new_probe_from_filename(path);
    if (probe == NULL) { return status_from_errno(errno); }
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
    blkid_probe_enable_partitions(probe, 1);
    /* 1: nothing known; -2: more than one thing. */
    const int answer = blkid_do_safeprobe(probe);
    enum status status = STATUS_NOT_FOUND;
    if (answer == 0 || answer == -2) {
        describe(probe, text);
        status = STATUS_EXISTS;
    } else if (answer < 0) {
        status = STATUS_IO;
    }
    blkid_free_probe(probe);
    return status;
}

/* ---------------------------------------------------------------------------------- everything */

static bool all_zero(const uint8_t *at, size_t len_bytes)
{
    return at[0] == 0 && memcmp(at, at + 1, len_bytes - 1) == 0;
}

/* STATUS_NOT_FOUND: zeros. */
static enum status probe_edge(int descriptor, uint64_t position, uint64_t end_position,
                              uint8_t *room)
{
    const uint64_t left_bytes = end_position - position;
    const size_t len_bytes = left_bytes < EDGE_BYTES ? (size_t)left_bytes : EDGE_BYTES;
    if (len_bytes == 0) { return STATUS_NOT_FOUND; }
    const enum status status = direct_read(descriptor, position, room, len_bytes);
    if (status != STATUS_OK) { return status; }
    return all_zero(room, len_bytes) ? STATUS_NOT_FOUND : STATUS_EXISTS;
}

static enum status probe_edges(int descriptor, uint64_t device_bytes,
                               char text[DEVICE_PROBE_TEXT_BYTES])
{
    uint8_t *const room = aligned_alloc(DISK_BLOCK_BYTES, EDGE_BYTES);
    if (room == NULL) { return STATUS_NO_MEMORY; }
    const uint64_t end = device_bytes / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    enum status status = probe_edge(descriptor, 0, end, room);
    if (status == STATUS_NOT_FOUND) {
        status = probe_edge(descriptor, end < EDGE_BYTES ? 0 : end - EDGE_BYTES, end, room);
    }
    free(room);
    snprintf(text, DEVICE_PROBE_TEXT_BYTES, "data of an unknown kind");
    return status;
}

enum status device_probe(const char *path, int descriptor, uint64_t device_bytes,
                         char text[DEVICE_PROBE_TEXT_BYTES])
{
    struct device_superblock superblock;
    const enum status ours = device_superblock_read(descriptor, device_bytes, &superblock, NULL);
    if (ours != STATUS_NOT_FOUND && ours != STATUS_IO) {
        snprintf(text, DEVICE_PROBE_TEXT_BYTES, "a Penstock device");
        return STATUS_EXISTS;
    }
    const enum status status = probe_signatures(path, text);
    return status == STATUS_NOT_FOUND ? probe_edges(descriptor, device_bytes, text) : status;
}
