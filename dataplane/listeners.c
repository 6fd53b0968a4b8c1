#include "dataplane/listeners.h"

#include <assert.h>
#include <string.h>

void listeners_init(struct listeners *listeners, const struct config *config)
{
    static_assert((int)CONFIG_LISTENERS_MAX < (int)LISTENER_NONE, "an index fits a byte");
    assert(config->listener_count <= CONFIG_LISTENERS_MAX);

    memset(listeners->by_port, LISTENER_NONE, sizeof listeners->by_port);
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *const configured = &config->listeners[i];
        listeners->items[i] = (struct listener){configured->protocol, configured->syslog_value};
        listeners->by_port[configured->port] = (uint8_t)i;
    }
}
