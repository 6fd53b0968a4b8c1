#include "tools/sender.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/entropy.h"
#include "base/invariant.h"
#include "client/penstock.h"
#include "tools/command.h"
#include "tools/human.h"
#include "tools/send_progress.h"
#include "tools/send_state.h"
#include "wire/native.h"

enum {
    REPORTS_BATCH = 256,
    SENDS_BETWEEN_LOOKS = 256, /* records between two looks at reports, signals and the clock */
    WAIT_MS = 100,             /* at most, for anything: signals are looked at in between */
    LOOK_MS = 250,             /* between two looks at the appliance */
    CHECKPOINT_MS = 1000,
    CLOSE_MS = 2000,  /* for the goodbye, once every record has its fate */
    SILENT_MS = 2000, /* a session that stands is heard at least every second */
    TOLD_EVENTS_MAX = 8,
    REFUSALS_TOLD_MAX = 5,
};

/* What libpenstock's thread leaves for ours. */
struct sender_events {
    atomic_uint told;
    atomic_bool lane_unknown;
    atomic_bool quiet;
    atomic_uint opens;                          /* ACCEPTs, over all lanes */
    atomic_uint put_off_by[PENSTOCK_LANES_MAX]; /* enum native_reject_code: why the lane is not
                                                    open; 0: it is, or there is silence */
};

struct sender_lane {
    uint64_t given;   /* records of this lane read so far */
    uint64_t durable; /* before this process: not given again */
    uint64_t settled; /* the highest sequence with a fate */
};

struct sender {
    const struct sender_options *options;
    struct record_input *input;
    struct penstock_producer *producer;
    struct sender_events events;
    struct send_progress progress;

    struct send_plan plan;
    struct send_state state;           /* path NULL: none */
    struct send_checkpoint checkpoint; /* to be written once all before it is durable */
    bool checkpoint_taken;
    uint64_t checkpoint_ns;

    struct sender_lane lanes[PENSTOCK_LANES_MAX];
    uint64_t records;    /* read, and not too large: over all lanes */
    uint64_t before;     /* of those: durable before this process */
    uint64_t sent;       /* of those: taken by the library */
    uint64_t sent_bytes; /* values and keys */
    uint64_t too_large;  /* refused here: no lane ever sees them */
    uint64_t outcomes[PENSTOCK_UNDELIVERED + 1];
    uint64_t reported;

    uint64_t begin_bytes; /* of the input: where the reading began */
    uint64_t began_ns;
    uint64_t looked_ns;
    uint64_t heard_ns; /* the appliance said something, whatever it was */
    uint64_t heard_datagrams;
    uint64_t progress_ns;    /* a record got its fate, or nothing was expected */
    uint64_t progress_count; /* fates and resumed lanes, at the last look */
    uint32_t progress_opens; /* events.opens then */
    uint32_t lanes_resumed;
    const char *waiting; /* why nothing moves; NULL: it does */
    const char *waiting_told;
    int signal;   /* that ended the reading; 0: none */
    int code;     /* to exit with, if something else than a record's fate decides */
    bool stopped; /* no more records are read */
};

/* -------------------------------------------------------------------------------------- words */

static void say(struct sender *sender, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct sender *sender, const char *format, ...)
{
    send_progress_clear(&sender->progress);
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "penstock send: ");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* Reads no further; what is under way still gets its fate. */
static void stop_reading(struct sender *sender, int code)
{
    sender->stopped = true;
    if (sender->code == COMMAND_OK) { sender->code = code; }
}

static void on_event(const struct penstock_event *event, void *context)
{
    struct sender_events *const events = context;
    enum { WARNING = 4 };
    if (event->kind == PENSTOCK_EVENT_LANE_UNKNOWN) { atomic_store(&events->lane_unknown, true); }
    if (event->kind == PENSTOCK_EVENT_RETRYING) {
        atomic_store(&events->put_off_by[event->lane], event->code);
    } else if (event->kind == PENSTOCK_EVENT_OPENED) {
        atomic_store(&events->put_off_by[event->lane], 0);
        atomic_fetch_add(&events->opens, 1);
    }
    if (event->severity > WARNING || atomic_load(&events->quiet)) { return; }
    if (atomic_fetch_add(&events->told, 1) >= TOLD_EVENTS_MAX) { return; }
    fprintf(stderr, "\rpenstock send: %s\n", event->text);
}

/* -------------------------------------------------------------------------------------- signals */

static void block_signals(sigset_t *out_before)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ours, out_before);
}

static int pending_signal(void)
{
    sigset_t ours;
    const struct timespec now = {0};
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    const int got = sigtimedwait(&ours, NULL, &now);
    return got > 0 ? got : 0;
}

/* The first one ends the reading; false: a second one, which ends the waiting too. */
static bool heed_signals(struct sender *sender)
{
    const int got = pending_signal();
    if (got == 0) { return true; }
    if (sender->signal != 0) { return false; }
    sender->signal = got;
    stop_reading(sender, 128 + got);
    if (!sender->options->quiet) {
        say(sender, "stopped; waiting for the %" PRIu64 " records under way (again: at once)",
            sender->sent - sender->reported);
    }
    return true;
}

/* ------------------------------------------------------------------------------------ reports */

COLD static void note_wrong_sequence(struct sender *sender, const struct penstock_report *report)
{
    if (sender->state.broken) { return; }
    sender->state.broken = true;
    if (report->sequence == 0) {
        say(sender,
            "the appliance takes no record of this size (see --max-record): its place in "
            "lane %" PRIu32 " is taken by the next, so this cannot be resumed",
            report->lane);
    } else {
        say(sender,
            "lane %" PRIu32 ": a record got sequence %" PRIu64 ", not %" PRIu64
            ": somebody else sends as this producer",
            report->lane, report->sequence, (uint64_t)(uintptr_t)report->opaque);
    }
    stop_reading(sender, COMMAND_FINDING);
}

static void take_report(struct sender *sender, const struct penstock_report *report)
{
    sender->reported++;
    sender->outcomes[report->outcome]++;
    if (report->outcome == PENSTOCK_REFUSED && !sender->options->quiet &&
        sender->outcomes[PENSTOCK_REFUSED] <= REFUSALS_TOLD_MAX) {
        say(sender, "refused: %s (lane %" PRIu32 ", sequence %" PRIu64 ")",
            penstock_reason_text(report->reason), report->lane, report->sequence);
    }
    if (report->outcome == PENSTOCK_UNDELIVERED) { return; }
    if (sender->state.path != NULL && report->sequence != (uint64_t)(uintptr_t)report->opaque) {
        note_wrong_sequence(sender, report);
    }
    sender->lanes[report->lane].settled = report->sequence;
}

static void take_reports(struct sender *sender, int wait_ms)
{
    struct penstock_report reports[REPORTS_BATCH];
    size_t count = penstock_poll(sender->producer, wait_ms, reports, REPORTS_BATCH);
    while (count > 0) {
        for (size_t i = 0; i < count; i++) { take_report(sender, &reports[i]); }
        if (count < REPORTS_BATCH) { return; }
        count = penstock_poll(sender->producer, 0, reports, REPORTS_BATCH);
    }
}

/* --------------------------------------------------------------------------------- checkpoints */

static void write_state(struct sender *sender)
{
    char error[SEND_STATE_ERROR_BYTES];
    if (send_state_write(&sender->state, &sender->plan, sender->input, error, sizeof error)) {
        return;
    }
    say(sender, "the state cannot be written: %s", error);
    stop_reading(sender, EX_CANTCREAT);
}

static bool checkpoint_is_durable(const struct sender *sender)
{
    for (uint32_t i = 0; i < sender->options->lanes; i++) {
        if (sender->lanes[i].settled < sender->checkpoint.counts[i]) { return false; }
    }
    return true;
}

static void take_checkpoint(struct sender *sender, uint64_t now_ns)
{
    sender->checkpoint.position = record_input_position(sender->input);
    sender->checkpoint.records = sender->records;
    for (uint32_t i = 0; i < sender->options->lanes; i++) {
        sender->checkpoint.counts[i] = sender->lanes[i].given;
    }
    sender->checkpoint_taken = true;
    sender->checkpoint_ns = now_ns;
}

/* One at a time: taken, then written once all before it is durable. */
static void keep_checkpoint(struct sender *sender, uint64_t now_ns)
{
    if (sender->state.path == NULL || sender->state.broken) { return; }
    if (sender->checkpoint_taken && checkpoint_is_durable(sender)) {
        sender->state.checkpoint = sender->checkpoint;
        sender->checkpoint_taken = false;
        write_state(sender);
    }
    const bool due = now_ns - sender->checkpoint_ns >= CHECKPOINT_MS * NS_PER_MS;
    if (!sender->checkpoint_taken && due) { take_checkpoint(sender, now_ns); }
}

/* -------------------------------------------------------------------------- how the appliance is
 */

static const char *status_phrase(json_int_t status)
{
    switch (status) {
    case NATIVE_BEHIND: return "its disk is behind";
    case NATIVE_CLOSED_IO: return "its disk refuses writes";
    case NATIVE_CLOSED_NO_SPACE: return "its disk is full";
    case NATIVE_DRAINING: return "it is about to stop";
    default: return "it answers, but no record becomes durable";
    }
}

/* NULL: the code refuses no lane. */
static const char *refusal_phrase(uint32_t code)
{
    switch (code) {
    case NATIVE_REJECT_LANES_FULL:
        return "it remembers lanes.max lanes and refuses new ones (lanes full)";
    case NATIVE_REJECT_LANE_BUSY: return "another producer with this id has the lane (lane busy)";
    case NATIVE_REJECT_OVERLOADED: return "it refuses lanes for now (overloaded)";
    case NATIVE_REJECT_DRAINING: return "it is about to stop (draining)";
    case NATIVE_REJECT_REDIRECT:
        return "it sends a lane from port to port without end (redirected)";
    case NATIVE_REJECT_COOKIE: return "it takes back no cookie of its own (cookie rejected)";
    default: return NULL;
    }
}

/* Of the first lane that is refused; NULL: none is. `out_ended`: a session came to nothing. */
static const char *why_refused(const struct sender *sender, bool *out_ended)
{
    *out_ended = false;
    for (uint32_t i = 0; i < sender->options->lanes; i++) {
        const uint32_t code = atomic_load(&sender->events.put_off_by[i]);
        const char *const why = refusal_phrase(code);
        if (why != NULL) { return why; }
        *out_ended = *out_ended || code == NATIVE_REJECT_SESSION_UNKNOWN;
    }
    return NULL;
}

/* Of the lanes that are open, the worst; -1: none is. */
static json_int_t worst_status(struct sender *sender)
{
    const size_t len_bytes = penstock_stats_json(sender->producer, NULL, 0);
    char *const text = allocate_zeroed(1, len_bytes + 4096); /* it may grow meanwhile */
    penstock_stats_json(sender->producer, text, len_bytes + 4096);
    json_t *const stats = json_loads(text, 0, NULL);
    free(text);
    json_int_t worst = -1;
    size_t i;
    const json_t *lane;
    json_array_foreach(json_object_get(stats, "lanes"), i, lane)
    {
        if (!json_is_true(json_object_get(lane, "open"))) { continue; }
        const json_int_t status = json_integer_value(json_object_get(lane, "appliance_status"));
        const json_int_t known = status <= NATIVE_DRAINING ? status : 0;
        if (known > worst) { worst = known; }
    }
    json_decref(stats);
    return worst;
}

static const char *why_waiting(struct sender *sender, uint64_t now_ns)
{
    bool ended;
    const char *const refusal = why_refused(sender, &ended);
    if (refusal != NULL) { return refusal; }

    const uint64_t silent_ns = SILENT_MS * NS_PER_MS;
    const uint64_t timeout_ns = sender->options->timeout_ns;
    const bool silent =
        now_ns - sender->heard_ns >= (timeout_ns < silent_ns ? timeout_ns : silent_ns);
    const json_int_t status = worst_status(sender);
    if (status >= 0 && !silent) { return status_phrase(status); }
    /* A HELLO without an answer leaves neither `open` nor `ended`. */
    const bool opened = atomic_load(&sender->events.opens) != sender->progress_opens;
    return opened && (status >= 0 || ended) ? "it opens the lane, and then answers no record"
                                            : "it does not answer";
}

static void show_progress(struct sender *sender, uint64_t now_ns)
{
    struct send_figures figures = {
        .read_records = sender->records,
        .settled_records = sender->before + sender->reported,
        .durable_records = sender->before + sender->outcomes[PENSTOCK_DURABLE],
        .begin_bytes = sender->begin_bytes,
        .waiting = sender->waiting,
    };
    figures.read_bytes = record_input_done_bytes(sender->input, &figures.total_bytes);
    send_progress_show(&sender->progress, &figures, now_ns);
}

static void note_waiting(struct sender *sender, const char *why)
{
    sender->waiting = why;
    if (why == NULL || why == sender->waiting_told) { return; }
    sender->waiting_told = why;
    if (!sender->options->quiet && !sender->progress.shown) {
        say(sender, "waiting for the appliance: %s", why);
    }
}

/* What the appliance says counts for the words only: a session that opens again and again while no
 * record gets its fate is no progress. Returns whether there was any. */
static bool note_progress(struct sender *sender, bool expecting, uint64_t now_ns)
{
    struct penstock_stats stats;
    penstock_stats_of(sender->producer, &stats);
    if (stats.datagrams_received != sender->heard_datagrams) { sender->heard_ns = now_ns; }
    sender->heard_datagrams = stats.datagrams_received;

    const uint64_t count = sender->reported + sender->lanes_resumed;
    const bool moved = count != sender->progress_count;
    sender->progress_count = count;
    if (!moved && expecting) { return false; }
    sender->progress_ns = now_ns;
    sender->progress_opens = atomic_load(&sender->events.opens);
    return true;
}

/* False: no progress for too long. `expecting`: an answer is due. */
static bool look(struct sender *sender, bool expecting)
{
    const uint64_t now_ns = clock_mono_ns();
    keep_checkpoint(sender, now_ns);
    show_progress(sender, now_ns);
    if (now_ns - sender->looked_ns < LOOK_MS * NS_PER_MS) { return true; }
    sender->looked_ns = now_ns;

    const bool fine =
        note_progress(sender, expecting, now_ns) || now_ns - sender->began_ns <= NS_PER_S;
    note_waiting(sender, fine ? NULL : why_waiting(sender, now_ns));
    if (now_ns - sender->progress_ns < sender->options->timeout_ns) { return true; }
    char after[HUMAN_TEXT_BYTES];
    say(sender, "%s: gave up after %s without progress: %s", sender->options->server,
        human_duration(sender->options->timeout_ns, after), why_waiting(sender, now_ns));
    sender->code = COMMAND_NO_NODE;
    return false;
}

/* ------------------------------------------------------------------------------------- sending */

static uint32_t lane_of(const struct sender *sender, const struct input_record *record)
{
    if (record->has_key) { return crc32c(record->key) % sender->options->lanes; }
    return (uint32_t)(sender->records / SENDER_RUN_RECORDS % sender->options->lanes);
}

/* Waits for its time. False: give up. */
static bool keep_pace(struct sender *sender)
{
    const uint64_t rate = sender->options->rate;
    if (rate == 0) { return true; }
    const double due = (double)sender->sent / (double)rate * (double)NS_PER_S;
    const uint64_t due_ns = sender->began_ns + (uint64_t)due;
    for (uint64_t now_ns; (now_ns = clock_mono_ns()) < due_ns;) {
        const uint64_t left_ms = (due_ns - now_ns) / NS_PER_MS;
        if (left_ms == 0) {
            const struct timespec left = {.tv_nsec = (long)(due_ns - now_ns)};
            nanosleep(&left, NULL);
            continue;
        }
        take_reports(sender, left_ms < WAIT_MS ? (int)left_ms : WAIT_MS);
        if (!heed_signals(sender) || !look(sender, sender->sent > sender->reported)) {
            return false;
        }
        if (sender->stopped) { return true; }
    }
    return true;
}

static enum penstock_result offer(struct sender *sender, const struct penstock_message *message)
{
    for (;;) {
        const enum penstock_result result = penstock_send(sender->producer, message);
        if (result != PENSTOCK_QUEUE_FULL) { return result; }
        take_reports(sender, WAIT_MS);
        if (!heed_signals(sender) || !look(sender, true)) { return PENSTOCK_TIMED_OUT; }
    }
}

COLD static void note_too_large(struct sender *sender)
{
    sender->too_large++;
    if (sender->options->quiet || sender->too_large > REFUSALS_TOLD_MAX) { return; }
    say(sender, "%s: larger than --max-record allows, not sent", record_input_where(sender->input));
}

/* Of the record, where it says none of the command line's. */
static const char *topic_of(const struct sender *sender, const struct input_record *record)
{
    return sender->options->topic != NULL ? sender->options->topic : record->topic;
}

/* As libpenstock will encode it. The limit is part of the plan: whether a record has a sequence
 * must not depend on the appliance of the day. */
static bool is_too_large(const struct sender *sender, const struct input_record *record)
{
    struct native_header headers[NATIVE_HEADERS_MAX];
    for (uint32_t i = 0; i < record->header_count; i++) {
        headers[i] = (struct native_header){.name = bytes_of_text(record->headers[i].name),
                                            .value = record->headers[i].value};
    }
    const struct native_record encoded = {
        .has_topic = topic_of(sender, record) != NULL,
        .has_timestamp = true,
        .key = record->has_key ? record->key : bytes_of(NULL, 0),
        .value = record->value,
        .header_count = record->header_count,
        .headers = headers,
    };
    return native_record_bytes(&encoded) > sender->options->record_bytes_max;
}

static bool give(struct sender *sender, const struct input_record *record, uint32_t lane)
{
    struct penstock_header headers[NATIVE_HEADERS_MAX];
    for (uint32_t i = 0; i < record->header_count; i++) {
        headers[i] = (struct penstock_header){.name = record->headers[i].name,
                                              .value = record->headers[i].value.at,
                                              .value_bytes = record->headers[i].value.len_bytes};
    }
    const struct penstock_message message = {
        .topic = record->topic != NULL ? topic_of(sender, record) : NULL,
        .key = record->has_key ? record->key.at : NULL,
        .key_bytes = record->key.len_bytes,
        .value = record->value.at,
        .value_bytes = record->value.len_bytes,
        .headers = headers,
        .header_count = record->header_count,
        .lane = lane,
        .timestamp_ms = record->has_timestamp ? record->timestamp_ms : PENSTOCK_TIME_NOW,
        .flags = PENSTOCK_LANE_NAMED,
        .opaque = (void *)(uintptr_t)sender->lanes[lane].given,
    };
    if (!keep_pace(sender)) { return false; }
    const enum penstock_result result = offer(sender, &message);
    if (result == PENSTOCK_TIMED_OUT) { return false; }
    if (result != PENSTOCK_OK) {
        say(sender, "%s: lane %" PRIu32 ": %s", record_input_where(sender->input), lane,
            penstock_result_text(result));
        stop_reading(sender, COMMAND_FINDING);
        return true;
    }
    sender->sent++;
    sender->sent_bytes += record->key.len_bytes + record->value.len_bytes;
    return true;
}

/* False: give up. */
static bool take_record(struct sender *sender, const struct input_record *record)
{
    if (is_too_large(sender, record)) {
        note_too_large(sender);
        return true;
    }
    const uint32_t number = lane_of(sender, record);
    struct sender_lane *const lane = &sender->lanes[number];
    sender->records++;
    lane->given++;
    if (lane->given > lane->durable) { return give(sender, record, number); }
    sender->before++;
    return true;
}

/* Until the input's end, or until something stops it. False: give up. */
static bool read_all(struct sender *sender)
{
    struct input_record record;
    for (uint64_t turn = 1; !sender->stopped; turn++) {
        const enum input_result result = record_input_next(sender->input, &record);
        if (result == INPUT_END) { return true; }
        if (result == INPUT_BAD || result == INPUT_UNREADABLE) {
            say(sender, "%s", record_input_error(sender->input));
            stop_reading(sender, result == INPUT_BAD ? COMMAND_BAD_DATA : COMMAND_UNREADABLE);
            return true;
        }
        if (result == INPUT_RECORD && !take_record(sender, &record)) { return false; }
        if (result == INPUT_RECORD && turn % SENDS_BETWEEN_LOOKS != 0) { continue; }
        take_reports(sender, 0);
        if (!heed_signals(sender)) { return false; }
        if (!look(sender, sender->sent > sender->reported)) { return false; }
    }
    return true;
}

static bool wait_for_fates(struct sender *sender)
{
    while (sender->reported < sender->sent) {
        take_reports(sender, WAIT_MS);
        if (!heed_signals(sender) || !look(sender, true)) { return false; }
    }
    return true;
}

/* --------------------------------------------------------------------------- where it goes on */

/* Each lane learns how much of it is durable. False: give up. */
static bool open_lanes(struct sender *sender)
{
    const uint32_t lanes = sender->options->lanes;
    uint64_t next;
    for (uint32_t i = 0; i < lanes; i++) { /* all at once; the answers are awaited below */
        const enum penstock_result begun = penstock_lane_resume(sender->producer, i, 0, &next);
        assert(begun != PENSTOCK_INVALID);
    }
    for (uint32_t i = 0; i < lanes;) {
        const enum penstock_result result =
            penstock_lane_resume(sender->producer, i, WAIT_MS, &next);
        if (result == PENSTOCK_OK) {
            sender->lanes[i].durable = next - 1;
            sender->lanes[i].settled = next - 1;
            sender->lanes_resumed++;
            i++;
            continue;
        }
        if (result != PENSTOCK_TIMED_OUT) {
            stop_reading(sender, COMMAND_FINDING); /* the event has said why */
            return false;
        }
        if (!heed_signals(sender) || sender->stopped || !look(sender, true)) { return false; }
    }
    return true;
}

static bool appliance_has(const struct sender *sender, const struct send_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < sender->options->lanes; i++) {
        if (sender->lanes[i].durable < checkpoint->counts[i]) { return false; }
    }
    return true;
}

/* From the checkpoint, or from the start if the appliance has lost what was durable then. */
static bool go_to_checkpoint(struct sender *sender)
{
    const struct send_checkpoint start = {0};
    const struct send_checkpoint *from = &sender->state.checkpoint;
    if (!appliance_has(sender, from)) {
        say(sender,
            "the appliance has lost records that were durable: reading again from the start");
        from = &start;
    }
    for (uint32_t i = 0; i < sender->options->lanes; i++) {
        sender->lanes[i].given = from->counts[i];
    }
    sender->records = from->records;
    sender->before = from->records;
    if (record_input_seek(sender->input, &from->position)) {
        uint64_t total_bytes;
        sender->begin_bytes = record_input_done_bytes(sender->input, &total_bytes);
        return true;
    }
    say(sender, "%s", record_input_error(sender->input));
    stop_reading(sender, COMMAND_UNREADABLE);
    return false;
}

static bool resume(struct sender *sender)
{
    if (sender->state.path == NULL) { return true; }
    if (!open_lanes(sender) || !go_to_checkpoint(sender)) { return false; }
    sender->state.begun = true; /* before the first record: without, duplicates could follow */
    write_state(sender);
    return !sender->stopped;
}

/* A lane with more records than the input has for it: another one's, or it was cut. */
static void check_lanes_reach(struct sender *sender)
{
    for (uint32_t i = 0; i < sender->options->lanes; i++) {
        const struct sender_lane *const lane = &sender->lanes[i];
        if (lane->given >= lane->durable) { continue; }
        say(sender,
            "the appliance has %" PRIu64 " records of lane %" PRIu32 ", the input only %" PRIu64
            ": it is not what was sent before",
            lane->durable, i, lane->given);
        sender->state.broken = true;
        stop_reading(sender, COMMAND_FINDING);
        return;
    }
}

/* ------------------------------------------------------------------------------------- set up */

static void id_random(char out[SEND_STATE_ID_BYTES])
{
    struct native_producer_id id;
    const enum status status = entropy_fill(&id, sizeof id);
    assert(status == STATUS_OK);
    id.bytes[0] |= 1; /* never all zero */
    for (size_t i = 0; i < sizeof id.bytes; i++) { snprintf(out + 2 * i, 3, "%02x", id.bytes[i]); }
}

static bool begin_state(struct sender *sender, enum send_state_result found)
{
    const struct sender_options *const options = sender->options;
    if (found == SEND_STATE_OK && !options->resume) {
        say(sender, "%s is there already: --resume goes on with it", options->state_path);
        return false;
    }
    if (found == SEND_STATE_ABSENT) {
        char id[SEND_STATE_ID_BYTES];
        id_random(id);
        const char *const given = options->producer_id;
        send_state_begin(options->state_path, given != NULL ? given : id, &sender->state);
    } else if (options->producer_id != NULL &&
               strcasecmp(options->producer_id, sender->state.id) != 0) {
        say(sender, "%s is of producer %s", options->state_path, sender->state.id);
        return false;
    }
    if (sender->state.broken) {
        say(sender, "%s cannot be resumed: its sequences went wrong", options->state_path);
        return false;
    }
    const uint64_t now_ns = (uint64_t)clock_now().wall_ms * NS_PER_MS;
    const uint64_t above = sender->state.epoch + 1;
    sender->state.epoch = now_ns > above ? now_ns : above;
    return true;
}

static bool open_state(struct sender *sender)
{
    const struct sender_options *const options = sender->options;
    if (options->state_path == NULL) { return true; }
    for (size_t i = 0; i < options->input.path_count; i++) {
        if (record_input_identity(sender->input, i).is_regular) { continue; }
        say(sender, "%s cannot be read again from the start: no state can be kept for it",
            strcmp(options->input.paths[i], "-") == 0 ? "the standard input"
                                                      : options->input.paths[i]);
        sender->code = COMMAND_USAGE;
        return false;
    }
    char error[SEND_STATE_ERROR_BYTES];
    const enum send_state_result found = send_state_read(
        options->state_path, &sender->plan, sender->input, &sender->state, error, sizeof error);
    if (found == SEND_STATE_OTHER || found == SEND_STATE_UNREADABLE) {
        say(sender, "%s", error);
        sender->code = found == SEND_STATE_OTHER                ? COMMAND_USAGE
                       : !command_can_read(options->state_path) ? EX_CANTCREAT
                                                                : COMMAND_BAD_FILE;
        return false;
    }
    if (!begin_state(sender, found)) {
        sender->code = COMMAND_USAGE;
        return false;
    }
    write_state(sender); /* the epoch is on the disk before it is used */
    return !sender->stopped;
}

static bool set(struct sender *sender, struct penstock_config *config, const char *key,
                const char *value)
{
    char error[PENSTOCK_ERROR_BYTES];
    if (value == NULL) { return true; }
    if (penstock_config_set(config, key, value, error, sizeof error) == PENSTOCK_OK) {
        return true;
    }
    say(sender, "%s", error);
    return false;
}

static bool set_number(struct sender *sender, struct penstock_config *config, const char *key,
                       uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return set(sender, config, key, text);
}

/* The appliance says where each lane goes on, and all of it can be sent again. */
static bool set_lanes(struct sender *sender, struct penstock_config *config)
{
    if (sender->state.path == NULL) {
        const char *const id = sender->options->producer_id;
        const bool plain = id != NULL && strncmp(id, "file:", 5) != 0;
        return set(sender, config, "on.lane.unknown", plain ? "begin" : "fail");
    }
    for (uint32_t i = 0; i < sender->options->lanes; i++) {
        const struct penstock_lane_start start = {.lane = i,
                                                  .durable = PENSTOCK_UNKNOWN,
                                                  .oldest_held = 1,
                                                  .begin = !sender->state.begun};
        if (penstock_config_set_lane(config, &start) != PENSTOCK_OK) { return false; }
    }
    return set(sender, config, "producer.id", sender->state.id) &&
           set_number(sender, config, "producer.epoch", sender->state.epoch);
}

/* Options were checked one by one: what is left is the world's doing. The reason begins with the
 * key that it is about. */
static int code_of_failed_start(const char *reason)
{
    static const char *const files[] = {"receipts:", "producer.id:"};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        if (strncmp(reason, files[i], strlen(files[i])) == 0) { return EX_CANTCREAT; }
    }
    return COMMAND_NO_NODE; /* no such host, no way to it */
}

static bool start_producer(struct sender *sender)
{
    const struct sender_options *const options = sender->options;
    struct penstock_config *const config = penstock_config_new();
    char error[PENSTOCK_ERROR_BYTES];
    const bool good = config != NULL && set(sender, config, "servers", options->server) &&
                      set(sender, config, "producer.id", options->producer_id) &&
                      set(sender, config, "topic", options->topic) &&
                      set(sender, config, "receipts", options->receipts) &&
                      set_number(sender, config, "lanes", options->lanes) &&
                      set_number(sender, config, "record.bytes", options->record_bytes_max) &&
                      set_lanes(sender, config);
    if (good) {
        penstock_config_on_event(config, on_event, &sender->events);
        sender->producer = penstock_producer_new(config, error, sizeof error);
        if (sender->producer == NULL) {
            say(sender, "%s", error);
            sender->code = code_of_failed_start(error);
        }
    } else {
        sender->code = COMMAND_USAGE;
    }
    penstock_config_free(config);
    return sender->producer != NULL;
}

/* -------------------------------------------------------------------------------------- the end */

static uint64_t refused(const struct sender *sender)
{
    return sender->outcomes[PENSTOCK_REFUSED] + sender->too_large;
}

static uint64_t unsafe(const struct sender *sender)
{
    return refused(sender) + sender->outcomes[PENSTOCK_LOST] +
           sender->outcomes[PENSTOCK_UNDELIVERED];
}

static void print_json(const struct sender *sender, double seconds)
{
    char id[SEND_STATE_ID_BYTES] = "";
    if (sender->producer != NULL) { penstock_producer_identity(sender->producer, id); }
    json_t *const report =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:i}", "producer_id", id,
                  "records", (json_int_t)(sender->before + sender->sent + sender->too_large),
                  "durable_before", (json_int_t)sender->before, "durable",
                  (json_int_t)sender->outcomes[PENSTOCK_DURABLE], "dropped",
                  (json_int_t)sender->outcomes[PENSTOCK_DROPPED], "refused",
                  (json_int_t)refused(sender), "lost", (json_int_t)sender->outcomes[PENSTOCK_LOST],
                  "undelivered", (json_int_t)sender->outcomes[PENSTOCK_UNDELIVERED], "skipped",
                  (json_int_t)record_input_position(sender->input).skipped, "bytes",
                  (json_int_t)sender->sent_bytes, "seconds", seconds, "exit_code", sender->code);
    json_dumpf(report, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(report);
}

static void print_some(const char *what, uint64_t count)
{
    if (count > 0) { printf(", %" PRIu64 " %s", count, what); }
}

static void print_text(const struct sender *sender, double seconds)
{
    printf("%" PRIu64 " records: %" PRIu64 " durable, %" PRIu64 " dropped, %" PRIu64 " refused",
           sender->before + sender->sent + sender->too_large, sender->outcomes[PENSTOCK_DURABLE],
           sender->outcomes[PENSTOCK_DROPPED], refused(sender));
    print_some("lost", sender->outcomes[PENSTOCK_LOST]);
    print_some("whose fate is not known", sender->outcomes[PENSTOCK_UNDELIVERED]);
    print_some("durable before", sender->before);
    print_some("bad lines skipped", record_input_position(sender->input).skipped);
    printf("; %.3f MB in %.2f s, %.1f MB/s\n", (double)sender->sent_bytes / 1e6, seconds,
           seconds > 0 ? (double)sender->sent_bytes / 1e6 / seconds : 0);
}

/* Says goodbye; whatever has no fate yet gets the last word "undelivered". */
static void end_producer(struct sender *sender, bool gave_up)
{
    atomic_store(&sender->events.quiet, true);
    penstock_close(sender->producer, gave_up ? 0 : CLOSE_MS);
    for (uint64_t before = UINT64_MAX; before != sender->reported;) {
        before = sender->reported;
        take_reports(sender, 0);
    }
    assert(sender->reported == sender->sent); /* penstock.h: each record has one report */
}

static void end_state(struct sender *sender, bool whole, bool gave_up)
{
    if (sender->state.path == NULL || !sender->state.begun) { return; }
    if (!gave_up && !sender->state.broken) {
        take_checkpoint(sender, clock_mono_ns());
        sender->state.complete = whole && checkpoint_is_durable(sender);
    }
    if (sender->checkpoint_taken && !sender->state.broken && checkpoint_is_durable(sender)) {
        sender->state.checkpoint = sender->checkpoint;
    }
    write_state(sender);
}

static void run_producer(struct sender *sender)
{
    bool gave_up = !resume(sender);
    if (!gave_up) { gave_up = !read_all(sender); }
    const bool whole = !gave_up && !sender->stopped;
    if (!gave_up) { gave_up = !wait_for_fates(sender); }
    if (whole) { check_lanes_reach(sender); }
    end_producer(sender, gave_up);
    end_state(sender, whole, gave_up);
    if (sender->code == COMMAND_OK && unsafe(sender) > 0) { sender->code = COMMAND_FINDING; }
    if (sender->state.path != NULL && atomic_load(&sender->events.lane_unknown)) {
        say(sender, "the appliance's memory of producer %s is gone; without %s all is sent again",
            sender->state.id, sender->state.path);
    }
}

static void summarize(struct sender *sender)
{
    const double seconds = (double)(clock_mono_ns() - sender->began_ns) / (double)NS_PER_S;
    send_progress_clear(&sender->progress);
    if (sender->options->json) {
        print_json(sender, seconds);
    } else if (!sender->options->quiet) {
        print_text(sender, seconds);
    }
}

static void sender_begin(struct sender *sender, const struct sender_options *options)
{
    sender->options = options;
    sender->plan = (struct send_plan){.lanes = options->lanes,
                                      .topic = options->topic,
                                      .record_bytes_max = options->record_bytes_max,
                                      .input = &options->input};
    atomic_init(&sender->events.quiet, options->quiet);
    sender->began_ns = clock_mono_ns();
    sender->heard_ns = sender->began_ns;
    sender->progress_ns = sender->began_ns;
    sender->looked_ns = sender->began_ns;
    sender->checkpoint_ns = sender->began_ns;
    send_progress_init(&sender->progress, options->progress, sender->began_ns);
}

int sender_run(const struct sender_options *options)
{
    struct sender *const sender = allocate_zeroed(1, sizeof *sender);
    char error[SEND_STATE_ERROR_BYTES];
    sigset_t before;
    sender_begin(sender, options);
    sender->input = record_input_create(&options->input, error, sizeof error);
    if (sender->input == NULL) {
        say(sender, "%s", error);
        free(sender);
        return COMMAND_UNREADABLE;
    }
    block_signals(&before);
    if (open_state(sender) && start_producer(sender)) {
        run_producer(sender);
        summarize(sender);
    }
    const int code = sender->code;
    penstock_producer_free(sender->producer);
    record_input_destroy(sender->input);
    send_state_deinit(&sender->state);
    free(sender);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}
