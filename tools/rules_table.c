#include "tools/rules_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "tools/human.h"

enum { NAME_COLUMNS_MIN = 4, NAME_COLUMNS_MAX = 40 };

static const char *const order_names[RULES_ORDER_COUNT] = {
    [RULES_ORDER_FILE] = "file",   [RULES_ORDER_MATCHES] = "matches",
    [RULES_ORDER_BYTES] = "bytes", [RULES_ORDER_DROPPED] = "dropped",
    [RULES_ORDER_NAME] = "name",
};

bool rules_order_parse(const char *text, enum rules_order *out)
{
    for (size_t i = 0; i < RULES_ORDER_COUNT; i++) {
        if (strcmp(text, order_names[i]) != 0) { continue; }
        *out = (enum rules_order)i;
        return true;
    }
    return false;
}

/* -------------------------------------------------------------------------------------- lines */

/* Less than before: the node's memory was made anew. */
static uint64_t grown(uint64_t now, uint64_t before) { return before <= now ? now - before : now; }

static uint64_t each_second(uint64_t count, double seconds)
{
    return (uint64_t)((double)count / seconds + 0.5);
}

static struct rule_counts paced(const struct rule_counts *now, const struct rule_counts *before,
                                double seconds)
{
    return (struct rule_counts){
        .matches = each_second(grown(now->matches, before->matches), seconds),
        .match_bytes = each_second(grown(now->match_bytes, before->match_bytes), seconds),
        .dropped = each_second(grown(now->dropped, before->dropped), seconds),
        .sampled_out = each_second(grown(now->sampled_out, before->sampled_out), seconds),
        .limited = each_second(grown(now->limited, before->limited), seconds),
        .redacted = each_second(grown(now->redacted, before->redacted), seconds),
        .headers_full = each_second(grown(now->headers_full, before->headers_full), seconds),
    };
}

static struct rules_line line_of(const struct rules_row *row, const struct rules_sample *before,
                                 double seconds)
{
    uint64_t judged_before;
    const struct rule_counts earlier = rules_sample_earlier(before, row, &judged_before);
    const uint64_t judged = grown(row->judged, judged_before);
    const uint64_t matches = grown(row->counts.matches, earlier.matches);
    return (struct rules_line){
        .row = row,
        .counts = paced(&row->counts, &earlier, seconds),
        .share = judged > 0 ? (double)matches / (double)judged : -1,
    };
}

static uint64_t taken_of(const struct rule_counts *counts)
{
    return counts->dropped + counts->sampled_out + counts->limited;
}

/* The larger first; equal ones in file order. */
static int by_count(uint64_t left, uint64_t right, const struct rules_line *left_line,
                    const struct rules_line *right_line)
{
    if (left != right) { return left > right ? -1 : 1; }
    return left_line->row->index < right_line->row->index ? -1 : 1;
}

static int by_matches(const void *left_at, const void *right_at)
{
    const struct rules_line *const left = left_at;
    const struct rules_line *const right = right_at;
    return by_count(left->counts.matches, right->counts.matches, left, right);
}

static int by_bytes(const void *left_at, const void *right_at)
{
    const struct rules_line *const left = left_at;
    const struct rules_line *const right = right_at;
    return by_count(left->counts.match_bytes, right->counts.match_bytes, left, right);
}

static int by_dropped(const void *left_at, const void *right_at)
{
    const struct rules_line *const left = left_at;
    const struct rules_line *const right = right_at;
    return by_count(taken_of(&left->counts), taken_of(&right->counts), left, right);
}

static int by_name(const void *left_at, const void *right_at)
{
    const struct rules_line *const left = left_at;
    const struct rules_line *const right = right_at;
    const int by_text = strcmp(left->row->name, right->row->name);
    return by_text != 0 ? by_text : by_count(0, 0, left, right);
}

struct rules_line *rules_lines(const struct rules_sample *now, const struct rules_sample *before,
                               enum rules_order order)
{
    static int (*const compare[RULES_ORDER_COUNT])(const void *, const void *) = {
        [RULES_ORDER_MATCHES] = by_matches,
        [RULES_ORDER_BYTES] = by_bytes,
        [RULES_ORDER_DROPPED] = by_dropped,
        [RULES_ORDER_NAME] = by_name,
    };
    struct rules_line *const lines = allocate_zeroed(now->count, sizeof *lines);
    const double seconds =
        before != NULL ? (double)(now->taken_ns - before->taken_ns) / NS_PER_S : 1;
    for (size_t i = 0; i < now->count; i++) { lines[i] = line_of(&now->rows[i], before, seconds); }
    if (compare[order] != NULL) { qsort(lines, now->count, sizeof *lines, compare[order]); }
    return lines;
}

/* -------------------------------------------------------------------------------------- table */

void rules_table_title(const struct runtime_sample *node, const struct rules_sample *rules)
{
    char loaded[CLOCK_WALL_TEXT_BYTES];
    printf("%s: %s; %zu rules, epoch %016" PRIx64 ", loaded %s\n", node->node_name,
           runtime_sample_state_text(node), rules->count, rules->facts.epoch,
           clock_wall_text(rules->facts.loaded_wall_ms, loaded));
}

/* Of a terminal, near enough: a character of several bytes takes one. */
static size_t columns_of(const char *text)
{
    size_t columns = 0;
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text & 0xc0) != 0x80) { columns++; }
    }
    return columns;
}

static size_t name_columns(const struct rules_line *lines, size_t count)
{
    size_t widest = NAME_COLUMNS_MIN;
    for (size_t i = 0; i < count; i++) {
        const size_t columns = columns_of(lines[i].row->name);
        if (columns > widest && columns <= NAME_COLUMNS_MAX) { widest = columns; }
    }
    return widest;
}

/* What does not fit stands out of line, whole: a name is what one searches for. */
static void print_name(const char *name, size_t columns)
{
    const size_t used = columns_of(name);
    printf("  %s%*s", name, used < columns ? (int)(columns - used) : 0, "");
}

static void print_line(const struct rules_line *line, size_t columns)
{
    char text[7][HUMAN_TEXT_BYTES];
    char share[16] = "-";
    const struct rule_counts *const counts = &line->counts;
    if (line->share >= 0) { snprintf(share, sizeof share, "%.2f%%", line->share * 100); }
    print_name(line->row->name, columns);
    printf("  %-7s %9s %8s %10s %9s %9s %9s %9s\n", rules_row_mode(line->row),
           human_count(counts->matches, text[0]), share, human_bytes(counts->match_bytes, text[1]),
           human_count(counts->dropped, text[2]), human_count(counts->sampled_out, text[3]),
           human_count(counts->limited, text[4]), human_count(counts->redacted, text[5]));
}

void rules_table_print(const struct rules_line *lines, size_t count, const char *per)
{
    static const char *const titles[] = {"matches", "bytes",   "dropped",
                                         "sampled", "limited", "redacted"};
    char title[ARRAY_COUNT(titles)][16];
    const size_t columns = name_columns(lines, count);
    for (size_t i = 0; i < ARRAY_COUNT(titles); i++) {
        snprintf(title[i], sizeof title[i], "%s%s", titles[i], per);
    }
    print_name("rule", columns);
    printf("  %-7s %9s %8s %10s %9s %9s %9s %9s\n", "mode", title[0], "share", title[1], title[2],
           title[3], title[4], title[5]);
    for (size_t i = 0; i < count; i++) { print_line(&lines[i], columns); }
}
