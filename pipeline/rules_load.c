#include "pipeline/rules_load.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/arena.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/yaml.h"
#include "pipeline/rules_compile.h"
#include "pipeline/rules_reading.h"

struct rules_document {
    struct yaml *yaml;  /* the texts; NULL without a file */
    struct arena arena; /* the trees and lists, and the file's name */
    struct rules_source source;
};

static uint64_t epoch_of(const char *text, size_t len_bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    const int hashed = EVP_Digest(text, len_bytes, digest, NULL, EVP_sha256(), NULL);
    assert(hashed == 1); /* it fails on a broken OpenSSL only */
    return load_le64(digest);
}

/* Reads the document's tree, or what holds without any. */
static bool read_document(struct rules_document *document, const char *name,
                          const struct rules_world *world, struct diagnostics *diagnostics)
{
    assert(world->topic_count <= UINT16_MAX);
    struct rules_reading reading = {
        .world = world,
        .diagnostics = diagnostics,
        .errors_before = diagnostics_error_count(diagnostics),
        .arena = &document->arena,
        .has_file = document->yaml != NULL,
        .file = {arena_keep_text(&document->arena, name, strlen(name)), 0, 0},
    };
    rules_read_file(&reading, document->yaml != NULL ? yaml_root(document->yaml) : NULL,
                    &document->source);
    return diagnostics_error_count(diagnostics) == reading.errors_before;
}

bool rules_read_text(const char *text, size_t len_bytes, const char *name,
                     const struct rules_world *world, struct diagnostics *diagnostics,
                     struct rules_document **out)
{
    *out = NULL;
    const size_t errors_before = diagnostics_error_count(diagnostics);
    struct yaml *const yaml = yaml_load_text(text, len_bytes, name, diagnostics);
    if (yaml == NULL) { return false; }

    struct rules_document *const document = allocate_zeroed(1, sizeof *document);
    document->yaml = yaml;
    const bool is_read = read_document(document, name, world, diagnostics) &&
                         diagnostics_error_count(diagnostics) == errors_before;
    if (!is_read) { /* a repeated key leaves a tree, and is an error all the same */
        rules_document_destroy(document);
        return false;
    }
    document->source.epoch = epoch_of(text, len_bytes);
    *out = document;
    return true;
}

static bool read_nothing(const struct rules_world *world, struct diagnostics *diagnostics,
                         struct rules_document **out)
{
    struct rules_document *const document = allocate_zeroed(1, sizeof *document);
    *out = document;
    if (read_document(document, "rules", world, diagnostics)) { return true; }
    *out = NULL;
    rules_document_destroy(document);
    return false;
}

bool rules_read(const char *path, struct file_place named_at, const struct rules_world *world,
                struct diagnostics *diagnostics, struct rules_document **out)
{
    *out = NULL;
    if (path == NULL) { return read_nothing(world, diagnostics, out); }

    char *text = NULL;
    size_t len_bytes = 0;
    char *const why = yaml_read_file(path, &text, &len_bytes);
    if (why != NULL) {
        diagnostics_error(diagnostics, named_at, "rules: %s %s", path, why);
        free(why);
        return false;
    }
    const bool is_read = rules_read_text(text, len_bytes, path, world, diagnostics, out);
    free(text);
    return is_read;
}

const struct rules_source *rules_document_source(const struct rules_document *document)
{
    return &document->source;
}

void rules_document_destroy(struct rules_document *document)
{
    if (document == NULL) { return; }
    yaml_destroy(document->yaml);
    arena_deinit(&document->arena);
    free(document);
}

/* Takes the document. */
static struct rule_set *compile(struct rules_document *document, struct diagnostics *diagnostics)
{
    struct rule_set *const rules =
        rules_compile(&document->source, document->source.file, diagnostics);
    rules_document_destroy(document);
    return rules;
}

struct rule_set *rules_load_text(const char *text, size_t len_bytes, const char *name,
                                 const struct rules_world *world, struct diagnostics *diagnostics)
{
    struct rules_document *document;
    const bool is_read = rules_read_text(text, len_bytes, name, world, diagnostics, &document);
    return is_read ? compile(document, diagnostics) : NULL;
}

struct rule_set *rules_load(const char *path, struct file_place named_at,
                            const struct rules_world *world, struct diagnostics *diagnostics)
{
    struct rules_document *document;
    const bool is_read = rules_read(path, named_at, world, diagnostics, &document);
    return is_read ? compile(document, diagnostics) : NULL;
}
