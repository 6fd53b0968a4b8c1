/* write_method.h - how the node's writes become durable: storage.durability, decided.
 *
 * One method for all workers. `auto` is docs/decisions/0005-durable-writes.md in code: a write that
 * is durable by itself where the disk can do that without a flush; else a flush behind it, off the
 * polling cores. Cold: the main core. */
#pragma once

#include "base/compiler.h"
#include "base/config.h"
#include "storage/uring_disk.h"
#include "storage/write_cache.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

/* Without looking at any disk: `worst` is of the storage paths the one that decides. */
enum uring_disk_method write_method_of(enum config_durability wanted, enum write_cache worst);

/* Looks, and writes what was decided, and why, to the log. */
enum uring_disk_method write_method_choose(const struct config *config);

enum node_durability write_method_told(enum uring_disk_method method);

END_C_DECLS
