/* penstock.h - libpenstock: send records to a Penstock appliance, each exactly once.
 *
 * A producer takes records from any thread, sends them over UDP from one thread of its own, and
 * says for each what became of it, once that is on stable storage:
 *
 *     char error[PENSTOCK_ERROR_BYTES];
 *     struct penstock_config *config = penstock_config_new();
 *     if (penstock_config_set(config, "servers", "192.0.2.10:4650", error, sizeof error) ||
 *         penstock_config_set(config, "producer.id", "file:/var/lib/app/producer", error,
 *                             sizeof error)) { ... }
 *     struct penstock_producer *producer = penstock_producer_new(config, error, sizeof error);
 *     penstock_config_free(config);
 *
 *     struct penstock_message message = {.value = "hello", .value_bytes = 5, .opaque = me};
 *     if (penstock_send(producer, &message) == PENSTOCK_QUEUE_FULL) { ... poll, then again ... }
 *
 *     struct penstock_report reports[64];
 *     size_t count = penstock_poll(producer, 100, reports, 64);
 *     ...
 *     penstock_close(producer, 10000);
 *     penstock_producer_free(producer);
 *
 * Lanes      A producer has `lanes` ordered sequences of records, the lanes 0 .. lanes - 1. In one
 *            lane, order is kept and nothing is stored twice: across loss, reconnects and restarts
 *            of either side. Across lanes there is no order. Records of one key go to one lane.
 * Threads    A function may be called from any thread, at the same time as any other, unless it
 *            says otherwise. The two callbacks run on the producer's own thread.
 * Ownership  Whatever is given is copied before a function returns, but for the bytes of a message
 *            sent with PENSTOCK_NO_COPY. Whatever is returned by _new goes to its _free.
 * Errors     enum penstock_result; 0 is PENSTOCK_OK. Texts are English, one line, without a
 * newline. Units      A name ends in its unit: _bytes, _ms, _ns. A timeout of -1 has no end; 0 does
 * not wait. Process    Nothing is shared between producers; no signal is caught, no descriptor
 * survives exec. After fork only the parent may go on using its producers.
 *
 * C99 and later, and C++11 and later. Link with -lpenstock (pkg-config penstock). */
#ifndef PENSTOCK_H
#define PENSTOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PENSTOCK_API __attribute__((visibility("default")))
#else
#define PENSTOCK_API
#endif

enum {
    PENSTOCK_ERROR_BYTES = 256, /* room that is enough for every error text */
    PENSTOCK_LANES_MAX = 256,
    PENSTOCK_HEADERS_MAX = 24, /* of one record */
};

struct penstock_config;   /* opaque */
struct penstock_producer; /* opaque */

enum penstock_result {
    PENSTOCK_OK = 0,
    PENSTOCK_QUEUE_FULL = 1, /* queue.bytes or queue.records are in use: poll, then again */
    PENSTOCK_TOO_LARGE = 2,  /* more than record.bytes, or than queue.bytes */
    PENSTOCK_INVALID = 3,    /* what was given breaks a rule of this header */
    PENSTOCK_FAILED = 4,     /* the lane or the producer is closed, or failed for good */
    PENSTOCK_TIMED_OUT = 5,
    PENSTOCK_NO_MEMORY = 6,
};

/* A short English phrase, never NULL. */
PENSTOCK_API const char *penstock_result_text(enum penstock_result result);

/* The library's version, as "0.1.0". */
PENSTOCK_API const char *penstock_version(void);

/* ------------------------------------------------------------------------------ configuration
 *
 * Keys, their defaults, what they mean. Sizes are digits, or with B, kB, MB, GB, KiB, MiB, GiB;
 * durations digits with ns, us, ms, s, m, h; a choice is one of the words given.
 *
 * servers            HOST:PORT of the appliance; IPv4. Required.
 * producer.id        who this is. 32 hexadecimal digits: a fixed id, whose epoch is the time of
 *                    start in nanoseconds; or file:PATH: id, last epoch and the lanes that were
 * ever begun are kept in that file, mode 0600, made when it does not exist. A new epoch is on the
 * disk before it is used. Without the key: a new random id, and nothing to resume. Two producers at
 * a time must not have the same id: the one that starts later fences the other. producer.epoch
 * (time) of an id in hexadecimal: for a program that keeps its epochs itself, each above the last.
 * lanes 8 how many
 * lanes, 1 .. 256. With fewer lanes than before, keys move. topic              (none)      of
 * messages that name none. Without: the appliance's rules decide. on.lane.unknown    fail fail |
 * begin. The appliance does not know a lane that this id had begun before: its memory of it is
 * gone. fail: the lane fails, its records are reported as UNDELIVERED. begin: the lane begins
 * again; records that were sent, but not known as durable, may be stored twice. With an id in
 * hexadecimal no lane counts as never begun: the first start needs `begin`. queue.bytes 64MiB of
 * records without a report taken, with what they cost us in memory queue.records      131072
 * likewise record.bytes       900KiB      the largest record as encoded: key, headers, value and a
 * few bytes linger             1ms         a datagram that is not full waits this long for more
 * records datagram.bytes     1472        UDP payload at most, 1200 .. 65507. Above 1200 it is
 * probed for. sticky.bytes       16KiB       records without key stay with a lane for so many
 * bytes, then move on to the next lane session.keep_open  false       true | false. Keep an idle
 * session alive with PINGs. bind               (any)       local IPv4 address of the sockets gso
 * auto        auto | off. Hand runs of datagrams to the kernel in one piece. reports            all
 * all | none. none: no reports are kept for penstock_poll; records leave the queue as soon as their
 * fate is known. receipts           (none)      PATH of a ledger of receipts (docs/receipts.md):
 * appended to before a report is handed out receipts.sync      never       never | always. always:
 * the ledger is on the disk (fdatasync) before a report is handed out. never: it outlives the
 * process, not the machine. */

/* NULL when memory is out. One thread at a time per config. */
PENSTOCK_API struct penstock_config *penstock_config_new(void);

/* Sets one key. A key that was set before gets the new value.
 *
 * error    Gets the reason when the result is not OK (an unknown key: the nearest known one). May
 * be NULL. Returns  OK, INVALID, NO_MEMORY */
PENSTOCK_API enum penstock_result penstock_config_set(struct penstock_config *config,
                                                      const char *key, const char *value,
                                                      char *error, size_t error_bytes);

/* The value of a key as text, as it was set or by default; NULL: unknown key, or not set and
 * without default. Lives as long as the config, or until the key is set. */
PENSTOCK_API const char *penstock_config_get(const struct penstock_config *config, const char *key);

#define PENSTOCK_UNKNOWN UINT64_MAX

/* Where one lane goes on, instead of what producer.id says: for programs that keep (or can compute)
 * sequences of their own. Sequences count a lane's records from 1. */
struct penstock_lane_start {
    uint32_t lane;
    uint64_t durable;     /* known as durable so far; 0: none; PENSTOCK_UNKNOWN. What the appliance
                             has lost of it is told as PENSTOCK_EVENT_ACKNOWLEDGED_LOSS */
    uint64_t oldest_held; /* the oldest that can still be sent; PENSTOCK_UNKNOWN: go on wherever the
                             appliance is. Known, with durable unknown: all from this one on can,
                             and the next record is the one behind those that the appliance says are
                             durable; what it had received beyond is not sent twice */
    bool begin;           /* the lane may be new to the appliance */
};

/* Returns OK, or INVALID: a lane of 256 or more, oldest_held 0, or not above `durable`. */
PENSTOCK_API enum penstock_result penstock_config_set_lane(struct penstock_config *config,
                                                           const struct penstock_lane_start *start);

PENSTOCK_API void penstock_config_free(struct penstock_config *config); /* NULL is fine */

/* ----------------------------------------------------------------------------------- reports */

enum penstock_outcome {
    PENSTOCK_DURABLE = 0,     /* stored, and on stable storage */
    PENSTOCK_DROPPED = 1,     /* by a rule of the appliance, durably */
    PENSTOCK_REFUSED = 2,     /* by the appliance, durably: see reason */
    PENSTOCK_LOST = 3,        /* skipped when the lane was resumed */
    PENSTOCK_UNDELIVERED = 4, /* the lane failed or was closed first: its fate is not known. It may
                                 have been stored. */
};

enum penstock_reason {
    PENSTOCK_REASON_NONE = 0,
    /* of REFUSED */
    PENSTOCK_REASON_TOO_LARGE = 16,
    PENSTOCK_REASON_NO_TOPIC = 17,
    PENSTOCK_REASON_NOT_ALLOWED = 18,
    PENSTOCK_REASON_QUOTA = 19,
    PENSTOCK_REASON_MALFORMED = 20, /* others of 16 and above: refused by a newer appliance */
    /* of UNDELIVERED */
    PENSTOCK_REASON_CLOSED = 1,       /* penstock_close did not wait long enough */
    PENSTOCK_REASON_FENCED = 2,       /* a later producer with the same id has the lane */
    PENSTOCK_REASON_LANE_UNKNOWN = 3, /* on.lane.unknown=fail */
    PENSTOCK_REASON_REJECTED = 4,     /* by the appliance for good: see the event */
};

PENSTOCK_API const char *penstock_outcome_text(enum penstock_outcome outcome);
PENSTOCK_API const char *penstock_reason_text(enum penstock_reason reason);

/* What became of one record. Each record that penstock_send took has one report, in the order of
 * the sequences of its lane. */
struct penstock_report {
    void *opaque;      /* the message's */
    uint64_t sequence; /* in its lane; 0: it never got one */
    uint32_t lane;
    enum penstock_outcome outcome;
    enum penstock_reason reason;
};

/* Called on the producer's thread, instead of keeping reports for penstock_poll. It must not wait:
 * no record moves meanwhile. It may call penstock_send and penstock_config-free functions that do
 * not wait; not flush, close, stats, lane_resume, free. */
typedef void penstock_on_report(const struct penstock_report *reports, size_t count, void *context);

PENSTOCK_API void penstock_config_on_report(struct penstock_config *config,
                                            penstock_on_report *callback, void *context);

/* ------------------------------------------------------------------------------------ events */

enum penstock_event_kind {
    PENSTOCK_EVENT_OPENED = 0, /* code: the partition, detail: the appliance's incarnation;
                                  first: the sequence that it expects next */
    PENSTOCK_EVENT_ACKNOWLEDGED_LOSS =
        1,                           /* first .. last were durable, and the appliance lost them */
    PENSTOCK_EVENT_FENCED = 2,       /* the lane is given up; detail: the epoch that has it */
    PENSTOCK_EVENT_LANE_UNKNOWN = 3, /* code 1: begins again; 0: the lane is given up */
    PENSTOCK_EVENT_REJECTED = 4,     /* the lane is given up; code: of the protocol's REJECT */
    PENSTOCK_EVENT_RETRYING = 5,     /* code: why (0: silence); detail: ms until then */
    PENSTOCK_EVENT_REDIRECTED = 6,   /* code: the local port, detail: the appliance's port */
    PENSTOCK_EVENT_RECEIPTS_FAILED = 7, /* no more receipts are written; code: errno */
    PENSTOCK_EVENT_STATE_FAILED = 8,    /* producer.id's file could not be written; code: errno */
    PENSTOCK_EVENT_SOCKET_FAILED = 9,   /* a socket could not be opened, tried again; code: errno */
};

/* How much an event matters: 3 error, 4 warning, 5 notice, 6 information, as in syslog(3). */
struct penstock_event {
    enum penstock_event_kind kind;
    int severity;
    uint32_t lane;
    uint32_t code;
    uint64_t first;
    uint64_t last;
    uint64_t detail;
    const char *text; /* one line for a log; lives until the callback returns */
};

/* As penstock_on_report: on the producer's thread, must not wait. Without a callback events only
 * count in the statistics. */
typedef void penstock_on_event(const struct penstock_event *event, void *context);

PENSTOCK_API void penstock_config_on_event(struct penstock_config *config,
                                           penstock_on_event *callback, void *context);

/* ---------------------------------------------------------------------------------- producer */

/* Opens files and sockets and starts the producer's thread (all signals blocked). No datagram is
 * sent before the first record or penstock_lane_resume; the appliance need not be there.
 *
 * config   Copied; may be used again.
 * error    Gets the reason when NULL is returned. May be NULL. */
PENSTOCK_API struct penstock_producer *penstock_producer_new(const struct penstock_config *config,
                                                             char *error, size_t error_bytes);

struct penstock_header {
    const char *name;  /* UTF-8, with its end mark */
    const void *value; /* NULL: null */
    size_t value_bytes;
};

enum penstock_flags { /* of a message; 0 is the common case */
                      PENSTOCK_COPY = 0,
                      PENSTOCK_LANE_BY_KEY = 0,
                      PENSTOCK_NO_COPY =
                          1, /* bytes of key, value and headers stay the caller's, and unchanged,
                                until the record's report was handed out */
                      PENSTOCK_LANE_NAMED = 2, /* `lane` holds */
};

#define PENSTOCK_TIME_NOW        INT64_C(0)
#define PENSTOCK_TIME_OF_RECEIPT INT64_MIN

/* All zero but value: a record without key, for the default topic, of now. */
struct penstock_message {
    const char *topic; /* NULL: the default */
    const void *key;   /* NULL: none */
    size_t key_bytes;
    const void *value; /* NULL: null */
    size_t value_bytes;
    const struct penstock_header *headers; /* the array is copied always */
    uint32_t header_count;
    uint32_t lane;        /* with PENSTOCK_LANE_NAMED */
    int64_t timestamp_ms; /* event time, ms since 1970; PENSTOCK_TIME_NOW: when it is sent;
                             PENSTOCK_TIME_OF_RECEIPT: the appliance's clock */
    unsigned flags;       /* enum penstock_flags, or'ed */
    void *opaque;         /* comes back in the report */
};

/* Queues one record. Does not wait and makes no system call but, when the producer's thread sleeps,
 * one to wake it.
 *
 * Lane     LANE_NAMED: `lane`. Else with a key: CRC-32C of the key, modulo `lanes`. Else: sticky by
 *          batch: the lane that the current sticky.bytes of keyless records go to, so that
 * datagrams get full; a lane that failed is passed over. Order    Records that one thread sends to
 * one lane keep their order. Returns  OK          there will be a report QUEUE_FULL  nothing was
 * taken: poll (reports free memory), or wait, then again TOO_LARGE, INVALID (no such lane, too many
 * headers, a header's name that is not UTF-8, a NULL with a length), FAILED, NO_MEMORY: nothing was
 * taken, and it is final */
PENSTOCK_API enum penstock_result penstock_send(struct penstock_producer *producer,
                                                const struct penstock_message *message);

/* Takes reports, oldest first; waits for the first one only. 0: none came in time, or the reports
 * go to a callback. A record's memory counts against the queue until its report was taken here. */
PENSTOCK_API size_t penstock_poll(struct penstock_producer *producer, int timeout_ms,
                                  struct penstock_report *reports, size_t capacity);

/* Sends what lingers and waits until every record has its fate. Reports are not taken by it.
 * Returns how many records are still without a fate: 0 is success. */
PENSTOCK_API uint64_t penstock_flush(struct penstock_producer *producer, int timeout_ms);

/* Opens a lane without waiting for a record, and learns the sequence that its next record will
 * have: a program that can read its records again skips the ones before. Only where nothing was
 * sent to the lane yet by this producer. Of those before `next_sequence` the appliance has received
 * all (and with penstock_config_set_lane, durable unknown, they are durable: a program that can
 * read its records again wants that, for a crash of the appliance can take what is only received);
 * what became of them was told to those who sent them, or is told to nobody.
 *
 * Returns  OK, TIMED_OUT, FAILED, INVALID (no such lane) */
PENSTOCK_API enum penstock_result penstock_lane_resume(struct penstock_producer *producer,
                                                       uint32_t lane, int timeout_ms,
                                                       uint64_t *next_sequence);

/* Takes no more records, waits for the fates of those it has as penstock_flush does, says goodbye
 * to the appliance and stops the thread. Records without a fate are reported as UNDELIVERED.
 * Reports can still be polled afterwards. Once; later calls return the same at once. Returns how
 * many were UNDELIVERED for want of time. */
PENSTOCK_API uint64_t penstock_close(struct penstock_producer *producer, int timeout_ms);

/* As penstock_close(producer, 0) first, if that was not called; then frees all. No other thread may
 * be inside a function of this producer. Reports that were not taken are gone. NULL is fine. */
PENSTOCK_API void penstock_producer_free(struct penstock_producer *producer);

/* The id in use, 32 hexadecimal digits and the end mark; and the epoch. */
PENSTOCK_API uint64_t penstock_producer_identity(const struct penstock_producer *producer,
                                                 char id[33]);

/* -------------------------------------------------------------------------------- statistics */

/* Since the start of the producer, unless it says "now". accepted = durable + dropped + refused +
 * lost + undelivered + without_fate. */
struct penstock_stats {
    uint64_t records_accepted;
    uint64_t records_durable;
    uint64_t records_dropped;
    uint64_t records_refused;
    uint64_t records_lost;
    uint64_t records_undelivered;
    uint64_t records_without_fate; /* now */
    uint64_t records_queue_full;   /* calls of penstock_send that found the queue full */
    uint64_t records_resent;
    uint64_t acknowledged_loss; /* sequences: were durable, and the appliance lost them */
    uint64_t queue_bytes;       /* now */
    uint64_t queue_records;     /* now */
    uint64_t lanes_open;        /* now */
    uint64_t lanes_failed;      /* now */
    uint64_t handshakes;
    uint64_t redirects;
    uint64_t retries;
    uint64_t datagrams_sent;
    uint64_t datagrams_sent_gso; /* of those: in a run that the kernel cut */
    uint64_t bytes_sent;
    uint64_t datagrams_received;
    uint64_t datagrams_invalid; /* received, and not of a lane's session */
    uint64_t packets_lost;      /* declared lost, and sent again if needed */
    uint64_t send_refused;      /* datagrams that the kernel did not take: as if lost */
    uint64_t unreachable;       /* times the kernel said that nobody listens there */
    uint64_t receipts_entries;
    uint64_t receipts_failed; /* entries that could not be written */
    uint64_t turns;           /* of the thread's loop */
    uint64_t sleeps;
};

/* Figures of one moment. Waits for one turn of the producer's thread; after close: the last ones.
 */
PENSTOCK_API void penstock_stats_of(struct penstock_producer *producer, struct penstock_stats *out);

/* The same and an object a lane as JSON, as snprintf does: returns the length of the whole text,
 * which was cut if that is `capacity` or more. */
PENSTOCK_API size_t penstock_stats_json(struct penstock_producer *producer, char *out,
                                        size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
