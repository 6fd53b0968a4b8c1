/* penstock.c - the operator's tool: finds the command and hands over. */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/logger.h"
#include "base/yaml.h"
#include "tools/command.h"

static const struct command *const commands[] = {&command_audit,  &command_check,  &command_ledger,
                                                 &command_log,    &command_rules,  &command_send,
                                                 &command_status, &command_storage};

static int print_usage(FILE *out, int code)
{
    fprintf(
        out,
        "usage: penstock COMMAND [ARGUMENTS]\n"
        "       penstock help [COMMAND]\n"
        "       penstock --help | --version\n\n"
        "Sends records to a Penstock node, looks at it, and at the files that configure it.\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out, "\n'penstock help COMMAND' tells more.\n");
    return code;
}

static int print_version(void)
{
    printf("penstock %s\n", PENSTOCK_VERSION);
    return COMMAND_OK;
}

static int refuse_unknown(const char *name)
{
    const char *names[ARRAY_COUNT(commands)];
    if (name[0] == '-') {
        fprintf(stderr, "penstock: unknown option '%s'; a command comes first\n", name);
        return COMMAND_USAGE;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) { names[i] = commands[i]->name; }

    const char *const nearest = yaml_nearest(name, names, ARRAY_COUNT(names));
    if (nearest != NULL) {
        fprintf(stderr, "penstock: unknown command '%s'; did you mean '%s'?\n", name, nearest);
    } else {
        fprintf(stderr, "penstock: unknown command '%s'; 'penstock --help' lists all\n", name);
    }
    return COMMAND_USAGE;
}

static const struct command *command_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0) { return commands[i]; }
    }
    return NULL;
}

/* argv[0] is what getopt's complaints begin with. */
static int run_command(const struct command *command, int argc, char **argv)
{
    char title[32];
    snprintf(title, sizeof title, "penstock %s", command->name);
    argv[0] = title;
    return command->run(command, argc, argv);
}

/* penstock help [COMMAND]: what `penstock COMMAND --help` says. */
static int help(int argc, char **argv)
{
    if (argc < 2) { return print_usage(stdout, COMMAND_OK); }
    const struct command *const command = command_named(argv[1]);
    if (command == NULL) { return refuse_unknown(argv[1]); }
    char option[] = "--help";
    char *words[] = {argv[1], option, NULL};
    return run_command(command, 2, words);
}

int main(int argc, char **argv)
{
    logger_init("penstock", LOG_LEVEL_NOTICE);
    if (argc < 2) { return print_usage(stderr, COMMAND_USAGE); }
    const char *const name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return print_usage(stdout, COMMAND_OK);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) { return print_version(); }

    if (strcmp(name, "help") == 0) { return help(argc - 1, argv + 1); }

    const struct command *const command = command_named(name);
    return command != NULL ? run_command(command, argc - 1, argv + 1) : refuse_unknown(name);
}
