#include "dataplane/write_method.h"

#include "base/logger.h"

enum uring_disk_method write_method_of(enum config_durability wanted, enum write_cache worst)
{
    switch (wanted) {
    case CONFIG_DURABILITY_DSYNC: return URING_DISK_DSYNC;
    case CONFIG_DURABILITY_FDATASYNC: return URING_DISK_FDATASYNC;
    case CONFIG_DURABILITY_AUTO: break;
    }
    const bool flushes = worst == WRITE_CACHE_FLUSH || worst == WRITE_CACHE_UNKNOWN;
    return flushes ? URING_DISK_FDATASYNC : URING_DISK_DSYNC;
}

static bool wants_flush(enum write_cache cache)
{
    return write_method_of(CONFIG_DURABILITY_AUTO, cache) == URING_DISK_FDATASYNC;
}

enum uring_disk_method write_method_choose(const struct config *config)
{
    size_t deciding = 0;
    enum write_cache worst = WRITE_CACHE_UNKNOWN;
    for (size_t i = 0; i < config->storage.paths.count; i++) {
        const enum write_cache cache = write_cache_of_path(config->storage.paths.items[i]);
        if (i > 0 && !wants_flush(cache)) { continue; }
        deciding = i;
        worst = cache;
        if (wants_flush(cache)) { break; }
    }
    const enum uring_disk_method method = write_method_of(config->storage.durability, worst);
    log_notice("writes become durable by %s (storage.durability: %s; %s: %s)",
               method == URING_DISK_DSYNC ? "dsync" : "fdatasync",
               config->storage.durability == CONFIG_DURABILITY_AUTO ? "auto" : "as configured",
               config->storage.paths.items[deciding], write_cache_text(worst));
    return method;
}

enum node_durability write_method_told(enum uring_disk_method method)
{
    return method == URING_DISK_DSYNC ? NODE_DURABILITY_DSYNC : NODE_DURABILITY_FDATASYNC;
}
