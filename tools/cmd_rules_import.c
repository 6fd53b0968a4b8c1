/* cmd_rules_import.c - penstock rules import: patterns of other tools as a rules file. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/allocate.h"
#include "tools/record_input.h"
#include "tools/rules_command.h"
#include "tools/rules_import.h"

static const char tool[] = "penstock rules import";

enum import_source { IMPORT_NONE, IMPORT_GREP, IMPORT_SURICATA };

struct import_options {
    enum import_source from;
    enum grep_syntax syntax;
    bool ignore_case;
    bool grep_options; /* one of grep's own was given */
    const char *action;
    const char *fallback;
    const char *path;
};

static enum input_result next_line(struct record_input *input, struct bytes *out)
{
    struct input_record line;
    enum input_result result;
    do {
        result = record_input_next(input, &line);
    } while (result == INPUT_WAITING);
    *out = line.value;
    return result;
}

/* Suricata goes on behind a backslash at a line's end; grep's lines are patterns as they stand. */
struct signature {
    char *text;
    size_t used_bytes;
    size_t first_line;
};

static bool is_continued(struct bytes line)
{
    if (line.len_bytes > 0 && line.at[line.len_bytes - 1] == '\r') {
        line = bytes_slice(line, 0, line.len_bytes - 1);
    }
    return line.len_bytes > 0 && line.at[line.len_bytes - 1] == '\\';
}

static void take_signature_line(struct rules_import *import, struct signature *signature,
                                size_t number, struct bytes line)
{
    const bool goes_on = is_continued(line);
    if (signature->used_bytes == 0) { signature->first_line = number; }
    const void *const backslash = goes_on ? memrchr(line.at, '\\', line.len_bytes) : NULL;
    const size_t kept = goes_on ? (size_t)((const uint8_t *)backslash - line.at) : line.len_bytes;
    signature->text = allocate_again(signature->text, signature->used_bytes + kept + 1, 1);
    if (kept > 0) { memcpy(signature->text + signature->used_bytes, line.at, kept); }
    signature->used_bytes += kept;
    if (goes_on && signature->used_bytes < RECORD_INPUT_BYTES_MAX) {
        signature->text[signature->used_bytes++] = ' ';
        return;
    }
    rules_import_suricata(import, signature->first_line,
                          bytes_of(signature->text, signature->used_bytes));
    signature->used_bytes = 0;
}

/* All lines of the file. COMMAND_OK, or what to exit with. */
static int read_lines(const struct import_options *options, struct rules_import *import)
{
    char error[512];
    const struct record_input_options lines = {
        .paths = &options->path, .path_count = 1, .format = RECORD_LINES};
    struct record_input *const input = record_input_create(&lines, error, sizeof error);
    if (input == NULL) {
        fprintf(stderr, "%s: %s\n", tool, error);
        return COMMAND_UNREADABLE;
    }
    struct bytes line;
    struct signature signature = {0};
    enum input_result result;
    size_t number = 0;
    while ((result = next_line(input, &line)) == INPUT_RECORD) {
        number++;
        if (options->from == IMPORT_GREP) {
            rules_import_grep(import, number, line, options->syntax, options->ignore_case);
        } else {
            take_signature_line(import, &signature, number, line);
        }
    }
    if (signature.used_bytes > 0) { /* the file ends in a backslash */
        rules_import_suricata(import, signature.first_line,
                              bytes_of(signature.text, signature.used_bytes));
    }
    free(signature.text);
    if (result != INPUT_END) { fprintf(stderr, "%s: %s\n", tool, record_input_error(input)); }
    record_input_destroy(input);
    return result == INPUT_END   ? COMMAND_OK
           : result == INPUT_BAD ? COMMAND_BAD_DATA
                                 : COMMAND_UNREADABLE;
}

static int write_file(const struct rules_import *import, const char *source)
{
    rules_import_write(import, source, stdout);
    rules_import_report(import, source, stderr);
    fprintf(stderr, "%s: %zu of %zu taken over%s\n", tool, import->count - import->refused,
            import->count, import->shadow ? "; they only count (mode: shadow)" : "");
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "%s: standard output: %s\n", tool, strerror(errno));
        return EX_IOERR;
    }
    return import->refused > 0 ? COMMAND_FINDING : COMMAND_OK;
}

static int import_all(const struct import_options *options)
{
    struct rules_import import = {
        .shadow = options->action == NULL,
        .has_default = options->fallback != NULL,
    };
    if (options->action != NULL && strcmp(options->action, "drop") != 0) {
        import.topic = options->action;
    }
    if (options->fallback != NULL && strcmp(options->fallback, "drop") != 0) {
        import.default_topic = options->fallback;
    }
    int code = read_lines(options, &import);
    if (code == COMMAND_OK) {
        struct diagnostics *const diagnostics = diagnostics_create();
        if (rules_import_check(&import, diagnostics)) {
            code = write_file(&import, options->path);
        } else {
            diagnostics_print(diagnostics, stderr);
            code = COMMAND_BAD_DATA;
        }
        diagnostics_destroy(diagnostics);
    }
    rules_import_deinit(&import);
    return code;
}

static bool take_source(const char *text, struct import_options *out)
{
    out->from = strcmp(text, "grep") == 0            ? IMPORT_GREP
                : strcmp(text, "suricata-pcre") == 0 ? IMPORT_SURICATA
                                                     : IMPORT_NONE;
    if (out->from != IMPORT_NONE) { return true; }
    fprintf(stderr, "%s: --from '%s': not grep or suricata-pcre\n", tool, text);
    return false;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_FROM = 256, OPTION_DO, OPTION_DEFAULT };
    static const struct option options[] = {
        {"from", required_argument, NULL, OPTION_FROM},
        {"do", required_argument, NULL, OPTION_DO},
        {"default", required_argument, NULL, OPTION_DEFAULT},
        {"extended", no_argument, NULL, 'E'},
        {"fixed", no_argument, NULL, 'F'},
        {"ignore-case", no_argument, NULL, 'i'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct import_options chosen = {.path = "-"};
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "EFih", options, NULL)) != -1;) {
        switch (c) {
        case OPTION_FROM: good = take_source(optarg, &chosen); break;
        case OPTION_DO: chosen.action = optarg; break;
        case OPTION_DEFAULT: chosen.fallback = optarg; break;
        case 'E': chosen.syntax = GREP_EXTENDED; break;
        case 'F': chosen.syntax = GREP_FIXED; break;
        case 'i': chosen.ignore_case = true; break;
        case 'h': return command_help(command);
        default: good = false;
        }
        if (c == 'E' || c == 'F' || c == 'i') { chosen.grep_options = true; }
    }
    if (!good || argc - optind > 1) { return command_misused(command); }
    if (optind < argc) { chosen.path = argv[optind]; }
    if (chosen.from == IMPORT_NONE) {
        fprintf(stderr, "%s: --from is missing: grep or suricata-pcre\n", tool);
        return command_misused(command);
    }
    if (chosen.from == IMPORT_SURICATA && chosen.grep_options) {
        fprintf(stderr, "%s: -E, -F and -i are grep's\n", tool);
        return command_misused(command);
    }
    return import_all(&chosen);
}

const struct command command_rules_import = {
    .name = "rules import",
    .arguments = "--from grep [-E | -F] [-i] [FILE] [--do drop|TOPIC] [--default drop|TOPIC]\n"
                 "       penstock rules import --from suricata-pcre [FILE] [--do drop|TOPIC]\n"
                 "                 [--default drop|TOPIC]",
    .summary = "Make a rules file of other tools' patterns",
    .help =
        "  FILE           default: the standard input\n"
        "  --from grep    a pattern a line: basic, -E (--extended), or -F (--fixed); -i\n"
        "                 (--ignore-case) for all of them\n"
        "  --from suricata-pcre\n"
        "                 signatures: content with |hex|, nocase, startswith, endswith; pcre with\n"
        "                 the flags i and s. Addresses, ports and flow are not looked at\n"
        "  --do           what the rules do; without it they only count (mode: shadow)\n"
        "  --default      what holds for records that no rule decides\n\n"
        "The rules file goes to stdout, and has been read back by the loader. What cannot be said\n"
        "in it is listed with line and reason on stderr, and in a comment at its end.\n\n"
        "Exit: 0 all taken over, 1 some not, 64 usage, 65 not such a file, 66 it cannot be read,\n"
        "      74 the output cannot be written.\n",
    .run = run,
};
