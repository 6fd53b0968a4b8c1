#include "tools/send_progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/human.h"

enum { TERMINAL_MS = 200, LINES_MS = 2000, BAR_CELLS = 20 };

void send_progress_init(struct send_progress *progress, bool shown, uint64_t now_ns)
{
    *progress = (struct send_progress){
        .shown = shown,
        .on_terminal = isatty(STDERR_FILENO) == 1,
        .began_ns = now_ns,
        .drawn_ns = now_ns,
    };
}

void send_progress_clear(struct send_progress *progress)
{
    if (progress->line_open) { fprintf(stderr, "\r\033[K"); }
    progress->line_open = false;
}

/* "[######..............]  31 %", or nothing where the end is not known. */
static void draw_bar(const struct send_figures *figures)
{
    if (figures->total_bytes == 0) { return; }
    const double share = (double)figures->read_bytes / (double)figures->total_bytes;
    const int cells = share >= 1 ? BAR_CELLS : (int)(share * BAR_CELLS);
    fputc('[', stderr);
    for (int i = 0; i < BAR_CELLS; i++) { fputc(i < cells ? '#' : '.', stderr); }
    fprintf(stderr, "] %3.0f %%  ", share >= 1 ? 100 : share * 100);
}

static void draw_eta(const struct send_figures *figures, uint64_t elapsed_ns)
{
    if (figures->total_bytes == 0 || figures->read_bytes <= figures->begin_bytes) { return; }
    if (figures->read_bytes >= figures->total_bytes) { return; }
    char eta[HUMAN_TEXT_BYTES];
    const double left = (double)(figures->total_bytes - figures->read_bytes);
    const double eta_ns =
        (double)elapsed_ns * left / (double)(figures->read_bytes - figures->begin_bytes);
    fprintf(stderr, ", %s to go", human_duration((uint64_t)eta_ns, eta));
}

static void draw(const struct send_progress *progress, const struct send_figures *figures,
                 uint64_t now_ns)
{
    char read[HUMAN_TEXT_BYTES];
    char durable[HUMAN_TEXT_BYTES];
    char rate[HUMAN_TEXT_BYTES];
    const double seconds = (double)(now_ns - progress->drawn_ns) / (double)NS_PER_S;
    const double settled = (double)(figures->settled_records - progress->drawn_records);
    draw_bar(figures);
    fprintf(stderr, "%s records read, %s durable, %s/s", human_count(figures->read_records, read),
            human_count(figures->durable_records, durable),
            human_count((uint64_t)(settled / seconds), rate));
    if (figures->waiting != NULL) {
        fprintf(stderr, ", waiting for the appliance: %s", figures->waiting);
    } else {
        draw_eta(figures, now_ns - progress->began_ns);
    }
}

void send_progress_show(struct send_progress *progress, const struct send_figures *figures,
                        uint64_t now_ns)
{
    if (!progress->shown) { return; }
    const uint64_t every_ms = progress->on_terminal ? TERMINAL_MS : LINES_MS;
    if (now_ns - progress->drawn_ns < every_ms * NS_PER_MS) { return; }
    if (progress->on_terminal) { fprintf(stderr, "\r\033[K"); }
    draw(progress, figures, now_ns);
    if (!progress->on_terminal) { fputc('\n', stderr); }
    progress->line_open = progress->on_terminal;
    progress->drawn_ns = now_ns;
    progress->drawn_records = figures->settled_records;
}
