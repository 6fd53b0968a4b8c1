#include "wire/rules_page.h"

#include <stdatomic.h>
#include <string.h>

#include "base/invariant.h"
#include "base/utf8.h"

static const char rules_magic[8] = {'P', 'E', 'N', 'S', 'T', 'R', 'U', 'L'};

enum {
    LINE_BYTES = 64,
    COPY_TRIES_MAX = 4, /* of a slot: it is written once in a while, for some nanoseconds */
};

/* ------------------------------------------------------------------------------------- layout */

static size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static bool facts_are_sound(const struct rules_page_facts *facts)
{
    if (facts->rule_count > RULES_PAGE_RULES_MAX) { return false; }
    if (facts->worker_count > ROOT_PARTITIONS_MAX) { return false; }
    if (facts->names_bytes > RULES_PAGE_NAMES_BYTES_MAX) { return false; }
    if (facts->example_count > RULES_PAGE_EXAMPLES_MAX) { return false; }
    return facts->example_bytes <= RULES_PAGE_EXAMPLE_BYTES_MAX;
}

bool rules_page_layout_of(const struct rules_page_facts *facts, struct rules_page_layout *out)
{
    if (!facts_are_sound(facts)) { return false; } /* and so nothing below wraps in 64 bits */
    const size_t rules = facts->rule_count;
    const size_t workers = facts->worker_count;
    const size_t slot_count = workers * rules * facts->example_count;
    *out = (struct rules_page_layout){
        .workers = sizeof(struct rules_page_header),
        .counts_stride = rounded_up(rules * sizeof(struct rule_counts), CACHE_PAIR_BYTES),
        .slot_stride =
            rounded_up(sizeof(struct rules_page_slot) + facts->example_bytes, LINE_BYTES),
    };
    out->rules = out->workers + workers * sizeof(struct rules_page_worker);
    out->counts = out->rules + rules * sizeof(struct rules_page_rule);
    out->examples = out->counts + workers * out->counts_stride;
    out->names = out->examples + slot_count * out->slot_stride;
    out->file_bytes = out->names + facts->names_bytes;
    return true;
}

/* ------------------------------------------------------------------------------------ writing */

void rules_page_init(uint8_t *at, const struct rules_page_facts *facts)
{
    struct rules_page_header *const header = (struct rules_page_header *)at;
    assert(facts_are_sound(facts));
    memcpy(header->magic, rules_magic, sizeof header->magic);
    header->version = SHARED_VERSION;
    header->facts = *facts;
}

void rules_page_name_rule(uint8_t *at, const struct rules_page_layout *layout, size_t rule,
                          bool is_shadow, const char *name, uint32_t name_position)
{
    struct rules_page_rule *const rules = (struct rules_page_rule *)(at + layout->rules);
    const size_t name_bytes = strlen(name);
    assert(name_bytes <= layout->file_bytes - layout->names - name_position);
    rules[rule].name_position = name_position;
    rules[rule].name_bytes = (uint32_t)name_bytes;
    rules[rule].is_shadow = is_shadow;
    memcpy(at + layout->names + name_position, name, name_bytes);
}

static size_t slot_stride_of(uint32_t capacity_bytes)
{
    return rounded_up(sizeof(struct rules_page_slot) + capacity_bytes, LINE_BYTES);
}

static struct rules_page_slot *oldest_slot(uint8_t *slots, size_t count, size_t stride)
{
    struct rules_page_slot *oldest = (struct rules_page_slot *)slots;
    for (size_t i = 1; i < count; i++) {
        struct rules_page_slot *const slot = (struct rules_page_slot *)(slots + i * stride);
        const uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_relaxed);
        if (turn < atomic_load_explicit(&oldest->turn, memory_order_relaxed)) { oldest = slot; }
    }
    return oldest;
}

/* Where to cut: text is not cut inside a character. */
static size_t cut_before(struct bytes source, size_t room_bytes)
{
    size_t at = room_bytes;
    for (int i = 0; i < 3 && at > 0 && utf8_is_continuation(source, at); i++) { at--; }
    return at;
}

/* Copies what fits; answers how much that was. */
static uint32_t store_bytes(uint8_t *target, size_t room_bytes, struct bytes source)
{
    const size_t fits =
        source.len_bytes <= room_bytes ? source.len_bytes : cut_before(source, room_bytes);
    if (fits > 0) { memcpy(target, source.at, fits); }
    return (uint32_t)fits;
}

void rules_page_store_example(uint8_t *slots, size_t count, uint32_t capacity_bytes,
                              const struct rules_page_sighting *sighting)
{
    assert_hot(count > 0);
    struct rules_page_slot *const slot = oldest_slot(slots, count, slot_stride_of(capacity_bytes));
    uint8_t *const bytes = (uint8_t *)(slot + 1);
    const uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_relaxed);
    atomic_store_explicit(&slot->turn, turn + 1, memory_order_relaxed);
    /* Pairs with the acquire fence in copy_slot: who sees a byte of this sees the odd turn too. */
    atomic_thread_fence(memory_order_release);

    slot->wall_ms = sighting->wall_ms;
    slot->rule = sighting->rule;
    slot->record_bytes = sighting->key.len_bytes + sighting->value.len_bytes;
    slot->key_bytes = store_bytes(bytes, capacity_bytes / 4, sighting->key);
    slot->value_bytes =
        store_bytes(bytes + slot->key_bytes, capacity_bytes - slot->key_bytes, sighting->value);
    uint32_t flags = 0;
    if (!bytes_are_null(sighting->key)) { flags |= RULES_EXAMPLE_HAS_KEY; }
    if (!bytes_are_null(sighting->value)) { flags |= RULES_EXAMPLE_HAS_VALUE; }
    if ((uint64_t)slot->key_bytes + slot->value_bytes < slot->record_bytes) {
        flags |= RULES_EXAMPLE_CUT;
    }
    slot->flags = flags;

    atomic_store_explicit(&slot->turn, turn + 2, memory_order_release); /* pairs: copy_slot */
}

/* ------------------------------------------------------------------------------------ reading */

enum status rules_view_open(const uint8_t *at, size_t size_bytes, struct rules_view *out)
{
    const struct rules_page_header *const header = (const struct rules_page_header *)at;
    if (size_bytes < sizeof *header) { return STATUS_TRUNCATED; }
    if (memcmp(header->magic, rules_magic, sizeof header->magic) != 0) { return STATUS_CORRUPT; }
    if (header->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    *out = (struct rules_view){.at = at, .facts = header->facts};
    /* The copy is what is checked and used, even under a hostile writer. */
    atomic_signal_fence(memory_order_seq_cst);
    if (!rules_page_layout_of(&out->facts, &out->layout)) { return STATUS_CORRUPT; }
    if (out->layout.file_bytes > size_bytes) { return STATUS_TRUNCATED; }
    return STATUS_OK;
}

static const struct rules_page_rule *rule_at(const struct rules_view *view, size_t rule)
{
    assert(rule < view->facts.rule_count);
    return (const struct rules_page_rule *)(view->at + view->layout.rules) + rule;
}

struct bytes rules_view_name(const struct rules_view *view, size_t rule)
{
    const struct rules_page_rule *const row = rule_at(view, rule);
    /* volatile: read once, as in rules_view_open. */
    const uint32_t position = *(const volatile uint32_t *)&row->name_position;
    const uint32_t len_bytes = *(const volatile uint32_t *)&row->name_bytes;
    const uint32_t names_bytes = view->facts.names_bytes;
    const uint8_t *const names = view->at + view->layout.names;
    if (position > names_bytes || len_bytes > names_bytes - position) { return bytes_of(names, 0); }
    return bytes_of(names + position, len_bytes);
}

bool rules_view_is_shadow(const struct rules_view *view, size_t rule)
{
    return rule_at(view, rule)->is_shadow != 0;
}

static void add_counts(struct rule_counts *sum, const struct rule_counts *part)
{
    sum->matches += part->matches;
    sum->match_bytes += part->match_bytes;
    sum->dropped += part->dropped;
    sum->sampled_out += part->sampled_out;
    sum->limited += part->limited;
    sum->redacted += part->redacted;
    sum->headers_full += part->headers_full;
}

struct rule_counts rules_view_counts(const struct rules_view *view, size_t rule)
{
    struct rule_counts out = rule_at(view, rule)->carried;
    const uint8_t *row = view->at + view->layout.counts + rule * sizeof out;
    for (uint32_t i = 0; i < view->facts.worker_count; i++) {
        add_counts(&out, (const struct rule_counts *)row);
        row += view->layout.counts_stride;
    }
    return out;
}

uint64_t rules_view_judged(const struct rules_view *view, size_t rule)
{
    const struct rules_page_worker *const workers =
        (const struct rules_page_worker *)(view->at + view->layout.workers);
    uint64_t judged = rule_at(view, rule)->carried_judged;
    for (uint32_t i = 0; i < view->facts.worker_count; i++) { judged += workers[i].judged; }
    return judged;
}

size_t rules_view_find(const struct rules_view *view, struct bytes name)
{
    size_t rule = 0;
    while (rule < view->facts.rule_count && !bytes_equal(rules_view_name(view, rule), name)) {
        rule++;
    }
    return rule;
}

/* ----------------------------------------------------------------------------------- examples */

struct bytes rules_example_key(const struct rules_example *example)
{
    if (!(example->flags & RULES_EXAMPLE_HAS_KEY)) { return bytes_null(); }
    return bytes_of(example->bytes, example->key_bytes);
}

struct bytes rules_example_value(const struct rules_example *example)
{
    if (!(example->flags & RULES_EXAMPLE_HAS_VALUE)) { return bytes_null(); }
    return bytes_of(example->bytes + example->key_bytes, example->value_bytes);
}

/* False: never written, being written, or nonsense. */
static bool copy_slot(const struct rules_view *view, const struct rules_page_slot *slot,
                      size_t rule, struct rules_example *out)
{
    for (int i = 0; i < COPY_TRIES_MAX; i++) {
        const uint64_t before = atomic_load_explicit(&slot->turn, memory_order_acquire);
        if (before == 0) { return false; }
        if (before % 2 != 0) { continue; }
        const struct rules_page_slot copy = *slot;
        memcpy(out->bytes, slot + 1, view->facts.example_bytes);
        atomic_thread_fence(memory_order_acquire); /* the copy is done: pairs with the writer's */
        if (atomic_load_explicit(&slot->turn, memory_order_relaxed) != before) { continue; }

        const uint64_t used = (uint64_t)copy.key_bytes + copy.value_bytes;
        if (copy.rule != rule || used > view->facts.example_bytes) { return false; }
        out->wall_ms = copy.wall_ms;
        out->flags = copy.flags;
        out->key_bytes = copy.key_bytes;
        out->value_bytes = copy.value_bytes;
        out->record_bytes = copy.record_bytes;
        return true;
    }
    return false;
}

/* Into its place among `*count` of them, the newest first; the oldest falls out behind capacity. */
static void keep_newest(struct rules_example *out, size_t capacity, size_t *count,
                        const struct rules_example *example)
{
    size_t at = *count;
    while (at > 0 && out[at - 1].wall_ms < example->wall_ms) { at--; }
    if (at == capacity) { return; }
    if (*count < capacity) { ++*count; }
    memmove(out + at + 1, out + at, (*count - at - 1) * sizeof *out);
    out[at] = *example;
}

size_t rules_view_examples(const struct rules_view *view, size_t rule, struct rules_example *out,
                           size_t capacity)
{
    const uint32_t slot_count = view->facts.example_count;
    struct rules_example example;
    size_t count = 0;
    assert(rule < view->facts.rule_count);
    for (uint32_t worker = 0; worker < view->facts.worker_count; worker++) {
        const size_t first = ((size_t)worker * view->facts.rule_count + rule) * slot_count;
        const uint8_t *at = view->at + view->layout.examples + first * view->layout.slot_stride;
        for (uint32_t i = 0; i < slot_count; i++, at += view->layout.slot_stride) {
            if (!copy_slot(view, (const struct rules_page_slot *)at, rule, &example)) { continue; }
            example.worker = worker;
            keep_newest(out, capacity, &count, &example);
        }
    }
    return count;
}
