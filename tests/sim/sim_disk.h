/* sim_disk.h - disk and files in memory, deterministic by seed, with faults and power cuts.
 *
 * Purpose  Both halves of the disk port (storage/disk.h, storage/files.h) for tests: the same calls
 *          with the same seed give the same completions, errors and wreckage.
 * Model    A durable write sits in flight for a seeded number of reaps, or of virtual nanoseconds,
 *          or both; writes complete in any order. Reads see only what is durable. At a power cut
 * every 512-byte sector of every write in flight is, by seed, kept, lost or garbage; create and
 * remove are atomic by name and durable on return. A refused write leaves the same wreckage. Checks
 * Bytes that change under a write in flight abort the test: that is a broken contract. Threads One.
 * Owns its files; bytes of writes stay the caller's until reaped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/disk.h"
#include "storage/files.h"

BEGIN_C_DECLS

enum {
    SIM_DISK_QUEUES_MAX = 16,
    SIM_DISK_PATHS_MAX = 4,
    /* Where byte 0 of every file lies for the disk port's writes (files_begin), as on a raw device:
     * who forgets to add it meets an assert. */
    SIM_DISK_FILE_BEGIN = 1 << 20,
};

struct sim_disk; /* opaque */

struct sim_disk_options {
    uint64_t seed;
    size_t depth;             /* writes in flight at most; 0: no limit */
    uint32_t delay_reaps_max; /* a write completes 0 to this many reaps late */
    uint64_t capacity_bytes;  /* of all files together; 0: no limit */
};

/* Aborts when memory is out: a test has nothing better to do. */
struct sim_disk *sim_disk_create(const struct sim_disk_options *options);
void sim_disk_destroy(struct sim_disk *disk);

/* Queue 0. */
struct disk sim_disk_port(struct sim_disk *disk);
/* A queue of its own for each worker: what it reaps is what it submitted. Below
 * SIM_DISK_QUEUES_MAX; `depth` is of one queue. */
struct disk sim_disk_queue(struct sim_disk *disk, size_t index);
struct files sim_disk_files(struct sim_disk *disk);

/* ----------------------------------------------------------------------------- virtual time */

/* A write completes this long after its submit, and not before its reaps; at first 0 and 0. */
void sim_disk_set_latency(struct sim_disk *disk, uint64_t min_ns, uint64_t max_ns);
/* It is `now_ns`: never earlier than before. */
void sim_disk_advance(struct sim_disk *disk, uint64_t now_ns);
/* When the next write in flight can be reaped, if time alone brings it; UINT64_MAX: none. */
uint64_t sim_disk_next_ns(const struct sim_disk *disk);

/* ------------------------------------------------------------------------------------- faults */

/* Chances of one durable write, in parts per million (sim_random.h). */
struct sim_disk_chances {
    uint32_t io_error;  /* completes with STATUS_IO */
    uint32_t no_space;  /* completes with STATUS_NO_SPACE */
    uint32_t swallowed; /* never completes until sim_disk_release */
    uint32_t slow;      /* takes slow_ns longer */
    uint64_t slow_ns;
};

/* From the next write on. */
void sim_disk_set_chances(struct sim_disk *disk, const struct sim_disk_chances *chances);
/* New files find room below this many bytes of all together; 0: no limit. Space comes and goes. */
void sim_disk_set_capacity(struct sim_disk *disk, uint64_t capacity_bytes);
/* The end of all trouble: no chance, range, hold, refusal or power cut is left (the capacity
 * stays), and what was held or swallowed completes at the next reap as it was to. */
void sim_disk_calm(struct sim_disk *disk);

/* Durable writes (disk_submit) count from 1 over the disk's life. */
uint64_t sim_disk_write_count(const struct sim_disk *disk);
/* Writes number first..first+count-1 complete with `why`. One such range at a time; count 0 clears
 * it, UINT64_MAX: for ever. */
void sim_disk_fail_writes(struct sim_disk *disk, uint64_t first, uint64_t count, enum status why);
/* Write number `number` never completes until sim_disk_release. */
void sim_disk_swallow_write(struct sim_disk *disk, uint64_t number);
/* Nothing completes while held; submits are still taken. */
void sim_disk_hold(struct sim_disk *disk, bool held);
/* Whatever was swallowed completes, in due course, with `how`. */
void sim_disk_release(struct sim_disk *disk, enum status how);
/* The writes that completed so far, whole or refused. */
uint64_t sim_disk_completed(const struct sim_disk *disk);
/* A digest of every write, by place, length and outcome, in the order of completion: two runs of
 * one seed have the same. (Bytes are not in it: commits carry cycle counts.) */
uint64_t sim_disk_digest(const struct sim_disk *disk);
/* Write number `number` completes with STATUS_IO, and of its bytes exactly the first `len_bytes`
 * are on the disk: a short write, as the port reports it. */
void sim_disk_shorten_write(struct sim_disk *disk, uint64_t number, size_t len_bytes);
/* Calls through files.h by kind, each counted from 1 over the disk's life. */
enum sim_disk_call {
    SIM_DISK_LIST,
    SIM_DISK_CREATE,
    SIM_DISK_OPEN,
    SIM_DISK_READ,
    SIM_DISK_WRITE,
    SIM_DISK_REMOVE,
    SIM_DISK_CALL_COUNT,
};
uint64_t sim_disk_call_count(const struct sim_disk *disk, enum sim_disk_call call);
/* Calls number first..first+count-1 of the kind answer `why` and do nothing. One such range a kind;
 * count 0 clears it, UINT64_MAX: for ever. */
void sim_disk_fail_calls(struct sim_disk *disk, enum sim_disk_call call, uint64_t first,
                         uint64_t count, enum status why);
/* Several storage paths (files_place); at first one. Before the first file. */
void sim_disk_set_paths(struct sim_disk *disk, size_t count);
/* Whatever is written or made on the path is refused with `why` from now on, until STATUS_OK. */
void sim_disk_fail_path(struct sim_disk *disk, size_t path, enum status why);
/* The storage path that a file lies on; SIZE_MAX: no such file. */
size_t sim_disk_path_of(const struct sim_disk *disk, const char *name);
/* files_create answers this until it is STATUS_OK again. */
void sim_disk_refuse_creates(struct sim_disk *disk, enum status why);
/* files_read of any byte in [position, position+len_bytes) of the file is STATUS_IO. One range. */
void sim_disk_fail_reads(struct sim_disk *disk, const char *name, uint64_t position,
                         uint64_t len_bytes);

/* ---------------------------------------------------------------------------------- power cuts */

/* After `operations` more changing calls (submit, create, write, remove) the power is off: the call
 * that meets it and all later ones answer STATUS_IO, and what they half did is decided by seed. */
void sim_disk_cut_power_after(struct sim_disk *disk, uint64_t operations);
bool sim_disk_power_is_off(const struct sim_disk *disk);
/* The files_write that meets the power cut keeps these of its sectors (512 bytes) whole and none of
 * the others; without it the seed decides. */
void sim_disk_tear_cut_write(struct sim_disk *disk, uint64_t first_sector, uint64_t sector_count);
/* How many sectors that write had; 0: the call that met the power cut was another one, or none. */
uint64_t sim_disk_cut_write_sectors(const struct sim_disk *disk);

/* A new disk with what the old one would have after a power cut now: nothing in flight, no handle
 * open, no fault armed. The old one only waits for its destroy. */
struct sim_disk *sim_disk_after_crash(struct sim_disk *disk, uint64_t seed);

enum sim_disk_fate { SIM_DISK_KEPT, SIM_DISK_LOST, SIM_DISK_GARBAGE };
/* What becomes of a 512-byte sector of write `flight`, below sim_disk_in_flight, in the order of
 * sectors. */
typedef enum sim_disk_fate sim_disk_decide(void *context, size_t flight, size_t sector);
/* The same, but the caller says what is left of the writes in flight; the seed makes the garbage.
 */
struct sim_disk *sim_disk_after_cut(struct sim_disk *disk, uint64_t seed, sim_disk_decide *decide,
                                    void *context);

/* -------------------------------------------------------------------------------- looking inside
 */

/* The durable bytes of a file, to be read or spoiled by a test; NULL when there is no such name. */
uint8_t *sim_disk_bytes(struct sim_disk *disk, const char *name, uint64_t *out_size_bytes);
size_t sim_disk_in_flight(const struct sim_disk *disk);
/* Length of write `flight`, below that. */
size_t sim_disk_flight_bytes(const struct sim_disk *disk, size_t flight);
uint64_t sim_disk_doorbells(const struct sim_disk *disk);
size_t sim_disk_open_handles(const struct sim_disk *disk);

END_C_DECLS
