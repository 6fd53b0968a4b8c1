#include "tools/command.h"

#include <stdio.h>

int command_help(const struct command *command)
{
    printf("usage: penstock %s %s\n\n%s.\n\n%s", command->name, command->arguments,
           command->summary, command->help);
    return COMMAND_OK;
}

int command_misused(const struct command *command)
{
    fprintf(stderr, "usage: penstock %s %s\n", command->name, command->arguments);
    return COMMAND_USAGE;
}
