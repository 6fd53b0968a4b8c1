/* listeners.h - which listener a datagram's UDP port belongs to, and what it does with it.
 *
 * Made from the configuration before workers start; then read-only and shared by all of them. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"

BEGIN_C_DECLS

enum { LISTENER_NONE = 0xff };

struct listener {
    enum config_protocol protocol;
    enum config_syslog_value syslog_value;
};

struct listeners {
    uint8_t by_port[UINT16_MAX + 1]; /* index in `items`, or LISTENER_NONE */
    struct listener items[CONFIG_LISTENERS_MAX];
};

void listeners_init(struct listeners *listeners, const struct config *config);

END_C_DECLS
