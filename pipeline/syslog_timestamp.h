/* syslog_timestamp.h - where a timestamp ends, in the spellings that syslog senders use.
 *
 * Purpose  Finds a timestamp at the front of some bytes. It stays text: no clock, zone or calendar
 *          is consulted, because the record's own timestamp is the receive time.
 * Owns     Nothing. Threads: any. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum syslog_zone {
    SYSLOG_ZONE_REQUIRED, /* RFC 5424: Z or +hh:mm */
    SYSLOG_ZONE_OPTIONAL,
};

/* RFC 3339, "2003-10-11T22:14:15.003Z": takes it off the front of `*rest` (up to nine digits of
 * fraction) and puts it in `*out`. False, and nothing is taken, when there is none. */
MUST_CHECK bool syslog_take_rfc3339(struct bytes *rest, enum syslog_zone zone, struct bytes *out);

/* RFC 3164, "Oct 11 22:14:15", and what is sent under that name: a day of one digit, padded by a
 * space, a zero or not at all; a weekday in front; a year in front, behind the day or behind the
 * time; a fraction; a zone's name when a colon follows ("Mar  1 18:46:11.123 UTC:"). */
MUST_CHECK bool syslog_take_rfc3164(struct bytes *rest, struct bytes *out);

END_C_DECLS
