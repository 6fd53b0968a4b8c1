/* lane_json.h - the lanes of a commit for `penstock log inspect`: as JSON, and that as text.
 *
 * Owns     Nothing; values are the caller's. Threads: any; cold. */
#pragma once

#include <jansson.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

/* The items of an ENTRY_LANES whose checksum holds: lanes, in order, each with its fates. */
json_t *lane_json_of_entry(struct bytes entry);

/* An entry of inspect's JSON whose `lanes` are these. */
void lane_json_print(const json_t *entry);

END_C_DECLS
