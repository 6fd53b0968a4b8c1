/* cmd_storage.c - penstock storage: raw devices that segments are kept on. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/units.h"
#include "storage/device_open.h"
#include "storage/device_table.h"
#include "storage/direct_io.h"
#include "tools/command.h"
#include "tools/device_probe.h"

enum { EDGE_BYTES = 1 << 20 }; /* zeroed at the end, too: old tables have a copy there */

struct storage_device {
    const char *path;
    int descriptor;
    uint64_t bytes;
};

static int complain(const char *path, const char *what)
{
    fprintf(stderr, "penstock storage: %s: %s\n", path, what);
    return COMMAND_UNREADABLE;
}

static int open_device(const char *path, enum device_access access, struct storage_device *out)
{
    out->path = path;
    const enum status status = device_open(path, access, &out->descriptor, &out->bytes);
    switch (status) {
    case STATUS_OK: return COMMAND_OK;
    case STATUS_BUSY:
        return complain(path, "mounted, part of an array or volume, or in use by another program");
    case STATUS_UNSUPPORTED:
        return complain(path, "takes no O_DIRECT, or its blocks are larger than 4 KiB");
    case STATUS_INVALID: return complain(path, "neither a block device nor a file");
    default: return complain(path, strerror(errno));
    }
}

/* ---------------------------------------------------------------------------------------- init */

/* What would be lost; COMMAND_OK: nothing, or that is what is wanted. */
static int refuse_what_is_there(const struct storage_device *device, bool force)
{
    char text[DEVICE_PROBE_TEXT_BYTES];
    if (force) { return COMMAND_OK; }
    const enum status status = device_probe(device->path, device->descriptor, device->bytes, text);
    if (status == STATUS_NOT_FOUND) { return COMMAND_OK; }
    if (status != STATUS_EXISTS) { return complain(device->path, status_text(status)); }
    fprintf(stderr,
            "penstock storage: %s: not touched: it holds %s. --force erases that for good\n",
            device->path, text);
    return COMMAND_FINDING;
}

/* Everything in front of the slots, and the end. What stood in the slots is no segment any more:
 * no table names it. */
static enum status erase(const struct storage_device *device,
                         const struct device_superblock *superblock)
{
    uint8_t *const zeros = direct_zeros_create();
    if (zeros == NULL) { return STATUS_NO_MEMORY; }
    enum status status =
        direct_fill_zeros(device->descriptor, zeros, 0, superblock->slots_position);
    if (status == STATUS_OK) { /* a slot makes the device longer than its edges */
        status = direct_fill_zeros(device->descriptor, zeros, superblock->device_bytes - EDGE_BYTES,
                                   EDGE_BYTES);
    }
    free(zeros);
    return status;
}

static int format(const struct storage_device *device, uint64_t segment_bytes)
{
    struct device_superblock superblock;
    if (!device_superblock_plan(device->bytes, segment_bytes, &superblock)) {
        return complain(device->path, "too small for one segment; a smaller one is --segment SIZE");
    }
    superblock.created_wall_ms = clock_now().wall_ms;
    enum status status = entropy_fill(superblock.device_id.bytes, sizeof superblock.device_id);
    if (status == STATUS_OK) { status = erase(device, &superblock); }
    if (status == STATUS_OK) { status = device_table_format(device->descriptor, &superblock); }
    if (status != STATUS_OK) { return complain(device->path, strerror(errno)); }

    char text[UNITS_TEXT_BYTES];
    printf("%s: %" PRIu32 " slots of %s\n", device->path, superblock.slot_count,
           units_format_size(superblock.slot_bytes, text, sizeof text));
    return COMMAND_OK;
}

static int init(const char *path, uint64_t segment_bytes, bool force)
{
    struct storage_device device;
    int code = open_device(path, DEVICE_WRITE, &device);
    if (code != COMMAND_OK) { return code; }
    code = refuse_what_is_there(&device, force);
    if (code == COMMAND_OK) { code = format(&device, segment_bytes); }
    close(device.descriptor);
    return code;
}

/* ---------------------------------------------------------------------------------------- show */

static int by_name(const void *left, const void *right)
{
    const struct device_slot *const a = left;
    const struct device_slot *const b = right;
    if (a->partition != b->partition) { return a->partition < b->partition ? -1 : 1; }
    return a->number < b->number ? -1 : a->number > b->number;
}

static uint32_t lost_count(const struct device_table *table)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->superblock.slot_count; i++) {
        count += table->lost[i / DEVICE_SLOTS_PER_BLOCK];
    }
    return count;
}

static uint32_t free_count(const struct device_table *table)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->superblock.slot_count; i++) {
        count += device_table_slot_is_free(table, i);
    }
    return count;
}

/* Sorted by partition: a row each. The slots of the table are free ones first afterwards. */
static json_t *partitions_json(struct device_table *table)
{
    json_t *const rows = json_array();
    struct device_slot *const slots = table->slots;
    const uint32_t count = table->superblock.slot_count;
    qsort(slots, count, sizeof *slots, by_name);
    for (uint32_t i = 0; i < count;) {
        uint32_t segments = 0;
        uint64_t last = 0;
        const struct device_slot first = slots[i];
        if (first.size_bytes == 0) {
            i++;
            continue;
        }
        for (; i < count && slots[i].partition == first.partition; i++) {
            segments += slots[i].size_bytes > 0;
            last = slots[i].number;
        }
        json_array_append_new(rows, json_pack("{s:I, s:I, s:I, s:I}", "partition",
                                              (json_int_t)first.partition, "segments",
                                              (json_int_t)segments, "first",
                                              (json_int_t)first.number, "last", (json_int_t)last));
    }
    return rows;
}

static json_t *table_json(const char *path, struct device_table *table)
{
    char id[2 * LOG_ID_BYTES + 1];
    const struct device_superblock *const superblock = &table->superblock;
    for (size_t i = 0; i < LOG_ID_BYTES; i++) {
        snprintf(id + 2 * i, 3, "%02x", superblock->device_id.bytes[i]);
    }
    json_t *const out =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", path, "device_id", id,
                  "created_wall_ms", (json_int_t)superblock->created_wall_ms, "slot_bytes",
                  (json_int_t)superblock->slot_bytes, "slots", (json_int_t)superblock->slot_count,
                  "free", (json_int_t)free_count(table), "lost", (json_int_t)lost_count(table));
    json_object_set_new(out, "partitions", partitions_json(table));
    return out;
}

static void table_print(const json_t *device)
{
    char text[UNITS_TEXT_BYTES];
    const json_int_t slot_bytes = json_integer_value(json_object_get(device, "slot_bytes"));
    printf("%s: %lld slots of %s, %lld free, %lld lost\n",
           json_string_value(json_object_get(device, "path")),
           json_integer_value(json_object_get(device, "slots")),
           units_format_size((uint64_t)slot_bytes, text, sizeof text),
           json_integer_value(json_object_get(device, "free")),
           json_integer_value(json_object_get(device, "lost")));
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(device, "partitions"), i, row)
    {
        printf("  part-%04lld: %lld segments, %016llx to %016llx\n",
               json_integer_value(json_object_get(row, "partition")),
               json_integer_value(json_object_get(row, "segments")),
               json_integer_value(json_object_get(row, "first")),
               json_integer_value(json_object_get(row, "last")));
    }
}

static int show(const char *path, bool as_json)
{
    struct storage_device device;
    struct device_table table = {0};
    const int code = open_device(path, DEVICE_READ, &device);
    if (code != COMMAND_OK) { return code; }
    const enum status status = device_table_read(device.descriptor, device.bytes, &table);
    close(device.descriptor);
    if (status == STATUS_NOT_FOUND) {
        complain(path, "no Penstock device: `penstock storage init` makes it one");
        return COMMAND_BAD_DATA;
    }
    if (status != STATUS_OK) {
        complain(path, status_text(status));
        return status == STATUS_IO ? COMMAND_UNREADABLE : COMMAND_BAD_DATA;
    }
    json_t *const out = table_json(path, &table);
    const bool all_known = lost_count(&table) == 0;
    device_table_close(&table);
    if (as_json) {
        json_dumpf(out, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        table_print(out);
    }
    json_decref(out);
    return all_known ? COMMAND_OK : COMMAND_FINDING;
}

/* ------------------------------------------------------------------------------------- command */

struct storage_words {
    uint64_t segment_bytes; /* 0: not given */
    bool force;
    bool as_json;
};

static bool parse_segment(const char *text, uint64_t *out_bytes)
{
    const uint64_t least_bytes = UINT64_C(8) << 20; /* as storage.segment */
    const uint64_t most_bytes = UINT64_C(64) << 30;
    if (units_parse_size(text, out_bytes) && *out_bytes % LOG_BLOCK_BYTES == 0 &&
        *out_bytes >= least_bytes && *out_bytes <= most_bytes) {
        return true;
    }
    fprintf(stderr, "penstock storage: '%s' is no segment size: whole 4 KiB, 8MiB to 64GiB\n",
            text);
    return false;
}

static bool parse_options(int argc, char **argv, struct storage_words *out, bool *out_help)
{
    static const struct option options[] = {{"segment", required_argument, NULL, 's'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            if (!parse_segment(optarg, &out->segment_bytes)) { return false; }
            break;
        case 'f': out->force = true; break;
        case 'j': out->as_json = true; break;
        case 'h': *out_help = true; break;
        default: return false;
        }
    }
    return true;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct storage_words words = {0};
    bool help = false;
    if (!parse_options(argc, argv, &words, &help)) { return command_misused(command); }
    if (help) { return command_help(command); }
    if (argc - optind != 2) { return command_misused(command); }
    const char *const verb = argv[optind];
    const char *const path = argv[optind + 1];
    if (strcmp(verb, "init") == 0 && !words.as_json) {
        const uint64_t default_bytes = UINT64_C(1) << 30; /* that of storage.segment */
        return init(path, words.segment_bytes > 0 ? words.segment_bytes : default_bytes,
                    words.force);
    }
    if (strcmp(verb, "show") == 0 && !words.force && words.segment_bytes == 0) {
        return show(path, words.as_json);
    }
    return command_misused(command);
}

const struct command command_storage = {
    .name = "storage",
    .arguments = "init DEVICE [--segment SIZE] [--force] | show DEVICE [--json]",
    .summary = "Make a block device a storage path, or say what is on one",
    .help =
        "  init            write a superblock and a table of free slots: the device is then one\n"
        "                  of storage.paths. Refused when it holds, or is part of, anything\n"
        "  --segment SIZE  what storage.segment will be, at most (1GiB)\n"
        "  --force         erase what the device holds\n"
        "  show            slots, free ones, and the segments of each partition\n"
        "  --json          for programs\n\n"
        "DEVICE is a block device, or a file that holds an image of one.\n\n"
        "Exit: 0 done, 1 not touched because it holds something, or slots are lost, 64 usage,\n"
        "65 no Penstock device, or a damaged one, 66 it cannot be opened, read or written.\n",
    .run = run,
};
