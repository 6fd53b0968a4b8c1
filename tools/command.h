/* command.h - one verb of the penstock tool: `penstock check`, `penstock status`, ...
 *
 * A command gets its own argv (argv[0] names it in complaints), prints results to stdout and
 * complaints to stderr, and returns the process's exit code. penstock.c has the table. */
#pragma once

#include <stdbool.h>
#include <sysexits.h>

#include "base/compiler.h"

BEGIN_C_DECLS

/* Exit codes: sysexits.h where it has a word for it. docs/man/penstock.1.scd lists them. */
enum {
    COMMAND_OK = 0,
    COMMAND_FINDING = 1,              /* works, but what was looked at is not as it should be */
    COMMAND_USAGE = EX_USAGE,         /* 64: unknown command or option */
    COMMAND_BAD_DATA = EX_DATAERR,    /* 65: what was read is not what it should be */
    COMMAND_UNREADABLE = EX_NOINPUT,  /* 66: a file cannot be read */
    COMMAND_NO_NODE = EX_UNAVAILABLE, /* 69: nothing to look at in the runtime directory */
    COMMAND_BAD_FILE = EX_CONFIG,     /* 78: a file was read, and has errors */
};

#define COMMAND_DEFAULT_CONFIG "/etc/penstock/penstock.yaml"

struct command {
    const char *name;
    const char *arguments; /* "[--json] FILE..." */
    const char *summary;   /* a line for the list of commands */
    const char *help;      /* the options and exit codes, a line each */
    int (*run)(const struct command *command, int argc, char **argv);
};

extern const struct command command_audit;
extern const struct command command_check;
extern const struct command command_status;
extern const struct command command_ledger;
extern const struct command command_log;
extern const struct command command_rules;
extern const struct command command_send;
extern const struct command command_storage;

/* To stdout; returns COMMAND_OK. */
int command_help(const struct command *command);

/* Whether `path` is a regular file that this process may read: else COMMAND_UNREADABLE. */
bool command_can_read(const char *path);

/* One line to stderr; returns COMMAND_USAGE. getopt has said what is wrong. */
int command_misused(const struct command *command);

END_C_DECLS
