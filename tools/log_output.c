#include "tools/log_output.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/human.h"

/* ---------------------------------------------------------------------------------------- JSON */

void log_array_next(struct log_array *array)
{
    fputs(array->begun ? ",\n" : "[\n", array->out);
    array->begun = true;
}

void log_array_add(struct log_array *array, json_t *value)
{
    log_array_next(array);
    json_dumpf(value, array->out, JSON_INDENT(1) | JSON_ENCODE_ANY);
    json_decref(value);
}

void log_array_end(struct log_array *array) { fputs(array->begun ? "\n]\n" : "[]\n", array->out); }

json_t *log_number_json(uint64_t number)
{
    if (number <= INT64_MAX) { return json_integer((json_int_t)number); }
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return json_string(text);
}

void log_id_text(struct log_id id, char out[2 * LOG_ID_BYTES + 1])
{
    for (size_t i = 0; i < LOG_ID_BYTES; i++) { snprintf(out + 2 * i, 3, "%02x", id.bytes[i]); }
}

const char *log_time_text(int64_t wall_ms, char out[LOG_TIME_BYTES])
{
    return clock_wall_text(wall_ms, out);
}

/* ------------------------------------------------------------------------------------ progress */

enum { PROGRESS_NS = 200 * 1000 * 1000 };

void log_progress_begin(struct log_progress *progress, const char *doing, uint64_t total_bytes,
                        bool quiet)
{
    pthread_mutex_init(&progress->lock, NULL);
    progress->shown = !quiet && isatty(STDERR_FILENO) == 1;
    progress->on_line = false;
    progress->doing = doing;
    progress->total_bytes = total_bytes;
    progress->done_bytes = 0;
    progress->began_ns = clock_mono_ns();
    progress->told_ns = progress->began_ns;
}

static void show(struct log_progress *progress, uint64_t now_ns)
{
    char done[HUMAN_TEXT_BYTES];
    char total[HUMAN_TEXT_BYTES];
    char rate[HUMAN_TEXT_BYTES];
    const uint64_t spent_ms = (now_ns - progress->began_ns) / 1000000 + 1;
    fprintf(stderr, "\r\033[K%s %s of %s, %s/s", progress->doing,
            human_bytes(progress->done_bytes, done), human_bytes(progress->total_bytes, total),
            human_bytes(progress->done_bytes * 1000 / spent_ms, rate));
    fflush(stderr);
    progress->on_line = true;
}

void log_progress_add(struct log_progress *progress, uint64_t bytes)
{
    pthread_mutex_lock(&progress->lock);
    progress->done_bytes += bytes;
    const uint64_t now_ns = clock_mono_ns();
    if (progress->shown && now_ns - progress->told_ns >= PROGRESS_NS) {
        progress->told_ns = now_ns;
        show(progress, now_ns);
    }
    pthread_mutex_unlock(&progress->lock);
}

void log_progress_clear(struct log_progress *progress)
{
    pthread_mutex_lock(&progress->lock);
    if (progress->on_line) { fputs("\r\033[K", stderr); }
    progress->on_line = false;
    pthread_mutex_unlock(&progress->lock);
}

void log_progress_end(struct log_progress *progress)
{
    log_progress_clear(progress);
    pthread_mutex_destroy(&progress->lock);
}
