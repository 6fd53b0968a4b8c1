#include "dataplane/rules_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/logger.h"
#include "base/mapped_file.h"

#define DRAFT_NAME RULES_PAGE_FILE_NAME "-next"

enum { PATH_BYTES = 4096 };

/* A worker's examples. */
struct example_rings {
    const struct rules_page_worker *row;
    uint8_t *slots;
    size_t stride;  /* from rule to rule */
    uint32_t count; /* of a rule */
    uint32_t capacity_bytes;
};

struct rules_page {
    struct mapped_file file;
    struct rules_view view;    /* of this page: the layout, and what carrying reads */
    struct mapped_file last;   /* of the last run; not mapped where there is a previous page */
    struct rules_view earlier; /* what is carried from: the previous page, or the last run's */
    uint32_t *origins;         /* by rule: 1 + its index there; 0: it is new */
    bool published;
    char draft_path[PATH_BYTES];
    char path[PATH_BYTES];
    struct example_rings rings[ROOT_PARTITIONS_MAX]; /* by worker */
};

/* ----------------------------------------------------------------------------- what was before */

struct named_rule {
    struct bytes name;
    bool is_shadow;
    uint32_t index;
};

static int compare_rules(const void *left_at, const void *right_at)
{
    const struct named_rule *const left = left_at;
    const struct named_rule *const right = right_at;
    if (left->is_shadow != right->is_shadow) { return left->is_shadow ? 1 : -1; }
    if (left->name.len_bytes != right->name.len_bytes) {
        return left->name.len_bytes < right->name.len_bytes ? -1 : 1;
    }
    return left->name.len_bytes == 0 ? 0
                                     : memcmp(left->name.at, right->name.at, left->name.len_bytes);
}

static struct named_rule rule_of(const struct rules_view *view, uint32_t index)
{
    return (struct named_rule){rules_view_name(view, index), rules_view_is_shadow(view, index),
                               index};
}

/* Cold, but between a decision to swap and the swap: thousands of rules are sorted, not searched
 * one by one. */
static enum status find_origins(struct rules_page *page)
{
    const uint32_t count = page->view.facts.rule_count;
    const uint32_t earlier_count = page->earlier.facts.rule_count;
    struct named_rule *const sorted = calloc((size_t)earlier_count + 1, sizeof *sorted);
    page->origins = calloc((size_t)count + 1, sizeof *page->origins);
    if (sorted == NULL || page->origins == NULL) {
        free(sorted);
        return STATUS_NO_MEMORY;
    }
    for (uint32_t i = 0; i < earlier_count; i++) { sorted[i] = rule_of(&page->earlier, i); }
    qsort(sorted, earlier_count, sizeof *sorted, compare_rules);
    for (uint32_t i = 0; i < count; i++) {
        const struct named_rule wanted = rule_of(&page->view, i);
        const struct named_rule *const found =
            bsearch(&wanted, sorted, earlier_count, sizeof *sorted, compare_rules);
        if (found != NULL) { page->origins[i] = found->index + 1; }
    }
    free(sorted);
    return STATUS_OK;
}

/* The page of the last run, if there is one that can be read. */
static void open_last(struct rules_page *page)
{
    enum status status =
        mapped_file_open(page->path, false, sizeof(struct rules_page_header), &page->last);
    if (status == STATUS_NOT_FOUND) { return; }
    if (status == STATUS_OK) {
        status = rules_view_open(page->last.at, page->last.size_bytes, &page->earlier);
    }
    if (status == STATUS_OK) { return; }
    log_warning("%s cannot be read (%s): the rules' counts begin at 0", page->path,
                status_text(status));
    mapped_file_close(&page->last);
    page->earlier = (struct rules_view){0};
}

/* -------------------------------------------------------------------------------------- create */

static uint64_t names_bytes_of(const struct rule_set *rules)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < rule_set_rule_count(rules); i++) {
        bytes += strlen(rule_set_rule_name(rules, i));
    }
    return bytes;
}

/* Examples are a convenience: where they would take too much memory there are fewer. */
static void bound_examples(struct rules_page_facts *facts)
{
    const uint32_t wanted = facts->example_count;
    const uint64_t rings = (uint64_t)facts->rule_count * facts->worker_count;
    const uint64_t slot_bytes = sizeof(struct rules_page_slot) + facts->example_bytes + 63;
    if (wanted == 0 || rings == 0) { return; }
    const uint64_t fits = RULES_PAGE_EXAMPLES_BYTES_MAX / slot_bytes / rings;
    if (fits >= wanted) { return; }
    facts->example_count = (uint32_t)fits;
    log_warning("%u examples of %u bytes, of %u rules and by %u workers, would take more than %d "
                "MiB of memory: %u are kept",
                wanted, facts->example_bytes, facts->rule_count, facts->worker_count,
                RULES_PAGE_EXAMPLES_BYTES_MAX >> 20, facts->example_count);
}

/* STATUS_FULL: more, or longer names, than a page has room for. */
static enum status settle_facts(const struct rules_page_options *options,
                                const struct rules_view *earlier, struct rules_page_facts *out)
{
    const struct rule_set *const rules = options->rules;
    const uint64_t names_bytes = names_bytes_of(rules);
    if (names_bytes > RULES_PAGE_NAMES_BYTES_MAX) { return STATUS_FULL; }
    if (rule_set_rule_count(rules) > RULES_PAGE_RULES_MAX) { return STATUS_FULL; }
    *out = (struct rules_page_facts){
        .epoch = rule_set_epoch(rules),
        .generation = earlier->facts.generation + 1,
        .loaded_wall_ms = options->loaded_wall_ms,
        .rule_count = (uint32_t)rule_set_rule_count(rules),
        .worker_count = options->worker_count,
        .names_bytes = (uint32_t)names_bytes,
        .example_count = options->example_count,
        .example_bytes = options->example_bytes,
    };
    bound_examples(out);
    return STATUS_OK;
}

static void fill(struct rules_page *page, const struct rules_page_facts *facts,
                 const struct rule_set *rules)
{
    uint32_t name_position = 0;
    rules_page_init(page->file.at, facts);
    for (uint32_t i = 0; i < facts->rule_count; i++) {
        const char *const name = rule_set_rule_name(rules, i);
        rules_page_name_rule(page->file.at, &page->view.layout, i,
                             rule_set_rule_is_shadow(rules, i), name, name_position);
        name_position += (uint32_t)strlen(name);
    }
}

static enum status map_page(struct rules_page *page, const struct rules_page_facts *facts)
{
    const bool sound = rules_page_layout_of(facts, &page->view.layout);
    assert(sound); /* settle_facts keeps the bounds; the rules' language those of examples */
    const size_t file_bytes = page->view.layout.file_bytes;
    const enum status status = mapped_file_create(page->draft_path, file_bytes, &page->file);
    if (status != STATUS_OK) {
        log_error("%s: %s; %zu bytes of memory are needed there", page->draft_path, strerror(errno),
                  file_bytes);
        return status;
    }
    page->view.at = page->file.at;
    page->view.facts = *facts;
    /* Workers write here: a page of a set that comes while they run is not in node_run's mlockall.
     */
    if (mlock(page->file.at, file_bytes) != 0) {
        log_warning("%zu bytes of counts of rules cannot be locked in memory (%s): raise the limit "
                    "(ulimit -l)",
                    file_bytes, strerror(errno));
    }
    return STATUS_OK;
}

static enum status build(struct rules_page *page, const struct rules_page_options *options)
{
    const char *const directory = options->directory;
    const int len = snprintf(page->path, PATH_BYTES, "%s/" RULES_PAGE_FILE_NAME, directory);
    const int draft_len = snprintf(page->draft_path, PATH_BYTES, "%s/" DRAFT_NAME, directory);
    if (len < 0 || draft_len < 0 || draft_len >= PATH_BYTES) { return STATUS_INVALID; }

    struct rules_page_facts facts;
    if (options->previous != NULL) {
        page->earlier = options->previous->view;
    } else {
        open_last(page);
    }
    enum status status = settle_facts(options, &page->earlier, &facts);
    if (status == STATUS_OK) { status = map_page(page, &facts); }
    if (status != STATUS_OK) { return status; }
    fill(page, &facts, options->rules);
    return find_origins(page);
}

enum status rules_page_create(const struct rules_page_options *options, struct rules_page **out)
{
    *out = NULL;
    assert(options->worker_count <= ROOT_PARTITIONS_MAX);
    struct rules_page *const page = calloc(1, sizeof *page);
    if (page == NULL) { return STATUS_NO_MEMORY; }
    const enum status status = build(page, options);
    if (status != STATUS_OK) {
        log_error("the rules' counts have no place: %s", status_text(status));
        rules_page_destroy(page);
        return status;
    }
    *out = page;
    return STATUS_OK;
}

void rules_page_destroy(struct rules_page *page)
{
    if (page == NULL) { return; }
    if (page->file.at != NULL && !page->published) { (void)unlink(page->draft_path); }
    mapped_file_close(&page->file);
    mapped_file_close(&page->last);
    free(page->origins);
    free(page);
}

/* ---------------------------------------------------------------------------------------- swap */

void rules_page_carry(struct rules_page *page, const struct rules_page *previous)
{
    assert(page->origins != NULL); /* once */
    assert(previous == NULL || page->earlier.at == previous->view.at);
    struct rules_page_rule *const rows =
        (struct rules_page_rule *)(page->file.at + page->view.layout.rules);
    for (uint32_t i = 0; i < page->view.facts.rule_count; i++) {
        if (page->origins[i] == 0) { continue; }
        rows[i].carried = rules_view_counts(&page->earlier, page->origins[i] - 1);
        rows[i].carried_judged = rules_view_judged(&page->earlier, page->origins[i] - 1);
    }
    free(page->origins);
    page->origins = NULL;
    page->earlier = (struct rules_view){0};
    mapped_file_close(&page->last);
}

enum status rules_page_publish(struct rules_page *page)
{
    assert(page->origins == NULL); /* carried: totals would fall else */
    if (rename(page->draft_path, page->path) != 0) {
        const enum status status = status_from_errno(errno);
        log_error("%s: %s: the counts of the rules in force cannot be seen", page->path,
                  strerror(errno));
        return status;
    }
    page->published = true;
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------- workers */

struct rules_page_worker *rules_page_worker(struct rules_page *page, size_t worker)
{
    assert(worker < page->view.facts.worker_count);
    return (struct rules_page_worker *)(page->file.at + page->view.layout.workers) + worker;
}

/* rule_scratch_options.on_example */
static void on_example(void *context, size_t rule, const struct record *record)
{
    const struct example_rings *const rings = context;
    if (rings->count == 0) { return; }
    const struct rules_page_sighting sighting = {
        .rule = (uint32_t)rule,
        .wall_ms = rings->row->wall_ms,
        .key = record->key,
        .value = record->value,
    };
    rules_page_store_example(rings->slots + rule * rings->stride, rings->count,
                             rings->capacity_bytes, &sighting);
}

void rules_page_seat_scratch(struct rules_page *page, size_t worker,
                             struct rule_scratch_options *scratch)
{
    const struct rules_page_layout *const layout = &page->view.layout;
    const struct rules_page_facts *const facts = &page->view.facts;
    struct example_rings *const rings = &page->rings[worker];
    *rings = (struct example_rings){
        .row = rules_page_worker(page, worker),
        .stride = layout->slot_stride * facts->example_count,
        .count = facts->example_count,
        .capacity_bytes = facts->example_bytes,
    };
    rings->slots = page->file.at + layout->examples + worker * facts->rule_count * rings->stride;
    scratch->counts =
        (struct rule_counts *)(page->file.at + layout->counts + worker * layout->counts_stride);
    scratch->on_example = on_example;
    scratch->context = rings;
}
