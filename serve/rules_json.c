#include "serve/rules_json.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "serve/text.h"

static const char *mode_text(const struct rules_view *view, size_t rule)
{
    return rules_view_is_shadow(view, rule) ? "shadow" : "enforce";
}

static void write_rule(const struct rules_view *view, size_t rule, struct text *out)
{
    const struct rule_counts counts = rules_view_counts(view, rule);
    text_printf(out, "{\"name\":\"");
    text_json_bytes(out, rules_view_name(view, rule));
    text_printf(out,
                "\",\"mode\":\"%s\",\"judged\":%" PRIu64 ",\"matches\":%" PRIu64
                ",\"match_bytes\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"sampled_out\":%" PRIu64
                ",\"limited\":%" PRIu64 ",\"redacted\":%" PRIu64 ",\"headers_full\":%" PRIu64 "}",
                mode_text(view, rule), rules_view_judged(view, rule), counts.matches,
                counts.match_bytes, counts.dropped, counts.sampled_out, counts.limited,
                counts.redacted, counts.headers_full);
}

void rules_json_write(const struct rules_view *view, struct text *out)
{
    char loaded[CLOCK_WALL_TEXT_BYTES];
    text_printf(out,
                "{\"epoch\":\"%016" PRIx64 "\",\"generation\":%" PRIu64
                ",\"loaded\":\"%s\",\"examples_kept\":%" PRIu32 ",\"rules\":[",
                view->facts.epoch, view->facts.generation,
                clock_wall_text(view->facts.loaded_wall_ms, loaded), view->facts.example_count);
    for (size_t i = 0; i < view->facts.rule_count; i++) {
        if (i > 0) { text_printf(out, ","); }
        write_rule(view, i, out);
    }
    text_printf(out, "]}\n");
}

static void write_bytes(const char *name, struct bytes bytes, struct text *out)
{
    if (utf8_is_text(bytes)) {
        text_printf(out, ",\"%s\":\"", name);
        text_json_bytes(out, bytes);
    } else {
        text_printf(out, ",\"%s_base64\":\"", name);
        text_base64(out, bytes);
    }
    text_printf(out, "\"");
}

static void write_example(const struct rules_example *example, struct text *out)
{
    char time[CLOCK_WALL_TEXT_BYTES];
    const struct bytes key = rules_example_key(example);
    const struct bytes value = rules_example_value(example);
    text_printf(out,
                "{\"time\":\"%s\",\"worker\":%" PRIu32 ",\"record_bytes\":%" PRIu64 ",\"cut\":%s",
                clock_wall_text(example->wall_ms, time), example->worker, example->record_bytes,
                example->flags & RULES_EXAMPLE_CUT ? "true" : "false");
    if (!bytes_are_null(key)) { write_bytes("key", key, out); }
    if (bytes_are_null(value)) {
        text_printf(out, ",\"value\":null");
    } else {
        write_bytes("value", value, out);
    }
    text_printf(out, "}");
}

void rules_json_write_examples(const struct rules_view *view, size_t rule, struct text *out)
{
    struct rules_example *const examples = calloc(RULES_JSON_EXAMPLES_MAX, sizeof *examples);
    if (examples == NULL) {
        out->failed = true;
        return;
    }
    const size_t count = rules_view_examples(view, rule, examples, RULES_JSON_EXAMPLES_MAX);
    text_printf(out, "{\"rule\":\"");
    text_json_bytes(out, rules_view_name(view, rule));
    text_printf(out, "\",\"mode\":\"%s\",\"epoch\":\"%016" PRIx64 "\",\"examples\":[",
                mode_text(view, rule), view->facts.epoch);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) { text_printf(out, ","); }
        write_example(&examples[i], out);
    }
    text_printf(out, "]}\n");
    free(examples);
}
