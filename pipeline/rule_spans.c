#include "pipeline/rule_spans.h"

#include <string.h>

#include "base/invariant.h"

void rule_spans_init(struct rule_spans *spans) /* items are written before they are read */
{
    spans->rest_begin = UINT32_MAX;
    spans->count = 0;
}

void rule_spans_add(struct rule_spans *spans, struct rule_span span)
{
    assert_hot(span.begin <= span.end);
    if (span.begin == span.end || span.begin >= spans->rest_begin) { return; }

    while (spans->count > 0) { /* what it touches becomes part of it */
        const struct rule_span last = spans->items[spans->count - 1];
        if (span.begin > last.end || last.begin > span.end) { break; }
        if (last.begin < span.begin) { span.begin = last.begin; }
        if (last.end > span.end) { span.end = last.end; }
        spans->count--;
    }
    if (spans->count < RULE_SPANS_MAX) {
        spans->items[spans->count++] = span;
    } else {
        spans->rest_begin = span.begin;
    }
}

void rule_spans_overwrite(const struct rule_spans *spans, uint8_t *field, size_t len_bytes,
                          uint8_t with)
{
    for (size_t i = 0; i < spans->count; i++) {
        const struct rule_span span = spans->items[i];
        assert_hot(span.end <= len_bytes);
        memset(field + span.begin, with, span.end - span.begin);
    }
    if (spans->rest_begin < len_bytes) {
        memset(field + spans->rest_begin, with, len_bytes - spans->rest_begin);
    }
}
