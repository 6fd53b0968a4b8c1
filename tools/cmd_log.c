#include <stdio.h>
#include <string.h>

#include "tools/log_command.h"

static const struct command *const verbs[] = {&command_log_verify, &command_log_inspect,
                                              &command_log_repair, &command_log_export};

static int help(const struct command *command)
{
    command_help(command);
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        printf("  %-8s %s\n", strchr(verbs[i]->name, ' ') + 1, verbs[i]->summary);
    }
    printf("\n'penstock log VERB --help' tells more.\n");
    return COMMAND_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    if (argc < 2) { return command_misused(command); }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) { return help(command); }
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(argv[1], strchr(verbs[i]->name, ' ') + 1) != 0) { continue; }
        char title[32];
        snprintf(title, sizeof title, "penstock %s", verbs[i]->name);
        argv[1] = title; /* what getopt's complaints begin with */
        return verbs[i]->run(verbs[i], argc - 1, argv + 1);
    }
    fprintf(stderr, "penstock log: unknown verb '%s'\n", argv[1]);
    return command_misused(command);
}

const struct command command_log = {
    .name = "log",
    .arguments = "verify|inspect|repair|export [OPTION...] (-c FILE | PATH...)",
    .summary = "Check, look into, mend and export the logs on disk",
    .help = "PATH is a segment, a partition's directory, or a storage path; -c FILE means all "
            "storage\npaths of a node's configuration.\n\n",
    .run = run,
};
