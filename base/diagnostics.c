#include "base/diagnostics.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"

struct diagnostics {
    struct diagnostic *items; /* in the order of their places */
    size_t count;
    size_t capacity;
    size_t error_count;
    char **files; /* each name once, in the order of their first message */
    size_t file_count;
};

struct diagnostics *diagnostics_create(void)
{
    return allocate_zeroed(1, sizeof(struct diagnostics));
}

void diagnostics_destroy(struct diagnostics *diagnostics)
{
    if (diagnostics == NULL) { return; }
    for (size_t i = 0; i < diagnostics->count; i++) { free(diagnostics->items[i].text); }
    for (size_t i = 0; i < diagnostics->file_count; i++) { free(diagnostics->files[i]); }
    free(diagnostics->items);
    free(diagnostics->files);
    free(diagnostics);
}

/* A copy of the name: messages outlive the trees and configurations they speak of. */
static size_t remember_file(struct diagnostics *diagnostics, const char *file)
{
    for (size_t i = 0; i < diagnostics->file_count; i++) {
        if (strcmp(diagnostics->files[i], file) == 0) { return i; }
    }
    diagnostics->files = allocate_again(diagnostics->files, diagnostics->file_count + 1,
                                        sizeof diagnostics->files[0]);
    diagnostics->files[diagnostics->file_count] = allocate_text(file);
    return diagnostics->file_count++;
}

/* Names and values come from the file: one must not break the line or drive the terminal. */
static void make_printable(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) { *at = '?'; }
    }
}

static bool place_is_behind(const struct diagnostics *diagnostics, const struct file_place *left,
                            size_t file_index, const struct file_place *right)
{
    if (left->file != diagnostics->files[file_index]) {
        for (size_t i = 0; i < file_index; i++) {
            if (left->file == diagnostics->files[i]) { return false; }
        }
        return true;
    }
    if (left->line != right->line) { return left->line > right->line; }
    return left->column > right->column;
}

/* Behind every message of the same place or an earlier one. */
static void insert_in_order(struct diagnostics *diagnostics, size_t file_index,
                            struct diagnostic item)
{
    if (diagnostics->count == diagnostics->capacity) {
        diagnostics->capacity = diagnostics->capacity * 2 + 8;
        diagnostics->items =
            allocate_again(diagnostics->items, diagnostics->capacity, sizeof diagnostics->items[0]);
    }
    size_t at = diagnostics->count;
    while (at > 0 && place_is_behind(diagnostics, &diagnostics->items[at - 1].place, file_index,
                                     &item.place)) {
        diagnostics->items[at] = diagnostics->items[at - 1];
        at--;
    }
    diagnostics->items[at] = item;
    diagnostics->count++;
}

static void add(struct diagnostics *diagnostics, enum diagnostic_severity severity,
                struct file_place place, const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0) { abort(); }
    make_printable(text);

    const size_t file_index = remember_file(diagnostics, place.file);
    place.file = diagnostics->files[file_index];
    insert_in_order(diagnostics, file_index, (struct diagnostic){severity, place, text});
    if (severity == DIAGNOSTIC_ERROR) { diagnostics->error_count++; }
}

void diagnostics_error(struct diagnostics *diagnostics, struct file_place place, const char *format,
                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(diagnostics, DIAGNOSTIC_ERROR, place, format, arguments);
    va_end(arguments);
}

void diagnostics_warning(struct diagnostics *diagnostics, struct file_place place,
                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(diagnostics, DIAGNOSTIC_WARNING, place, format, arguments);
    va_end(arguments);
}

size_t diagnostics_error_count(const struct diagnostics *diagnostics)
{
    return diagnostics->error_count;
}

size_t diagnostics_count(const struct diagnostics *diagnostics) { return diagnostics->count; }

const struct diagnostic *diagnostics_at(const struct diagnostics *diagnostics, size_t index)
{
    assert(index < diagnostics->count);
    return &diagnostics->items[index];
}

/* Nobody reads more, and a file of 16 MiB can have a million. */
enum { PRINTED_MAX = 1000 };

void diagnostics_print(const struct diagnostics *diagnostics, FILE *out)
{
    for (size_t i = 0; i < diagnostics->count && i < PRINTED_MAX; i++) {
        const struct diagnostic *const item = &diagnostics->items[i];
        const char *const severity = item->severity == DIAGNOSTIC_ERROR ? "error" : "warning";
        if (item->place.line == 0) {
            fprintf(out, "%s: %s: %s\n", item->place.file, severity, item->text);
        } else {
            fprintf(out, "%s:%u:%u: %s: %s\n", item->place.file, item->place.line,
                    item->place.column, severity, item->text);
        }
    }
    if (diagnostics->count > PRINTED_MAX) {
        fprintf(out, "and %zu more errors and warnings\n", diagnostics->count - PRINTED_MAX);
    }
}
