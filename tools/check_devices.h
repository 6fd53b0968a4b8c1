/* check_devices.h - whether the devices among storage.paths, as far as they are here, fit what the
 * configuration asks of them.
 *
 * Threads  One. Reads the devices, changes nothing. */
#pragma once

#include "base/compiler.h"
#include "base/config.h"
#include "base/diagnostics.h"

BEGIN_C_DECLS

/* Errors: slots smaller than a segment, a damaged device, devices that cannot hold retain.bytes.
 * Warnings: what could not be looked at, here or now. */
void check_devices(const struct config *config, struct diagnostics *diagnostics);

END_C_DECLS
