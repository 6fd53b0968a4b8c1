#include <stdio.h>
#include <string.h>

#include "tools/cmd_rules_list.h"

static const struct command *const verbs[] = {&command_rules_list, &command_rules_top,
                                              &command_rules_examples};

static int run(const struct command *command, int argc, char **argv)
{
    if (argc < 2) { return command_misused(command); }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return command_help(command);
    }
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(argv[1], strchr(verbs[i]->name, ' ') + 1) != 0) { continue; }
        char title[32];
        snprintf(title, sizeof title, "penstock %s", verbs[i]->name);
        argv[1] = title; /* what getopt's complaints begin with */
        return verbs[i]->run(verbs[i], argc - 1, argv + 1);
    }
    fprintf(stderr, "penstock rules: unknown verb '%s'\n", argv[1]);
    return command_misused(command);
}

const struct command command_rules = {
    .name = "rules",
    .arguments = "list|top|examples [OPTION...]",
    .summary = "Show what the rules of a node do",
    .help = "  list      what each rule has done\n"
            "  top       what the rules do now, the busiest first\n"
            "  examples  records that a rule's condition held for\n\n"
            "'penstock rules VERB --help' tells more.\n\n"
            "Exit: 0 shown, 64 usage, 69 no node in the runtime directory; more by verb.\n",
    .run = run,
};
