#include "tools/command.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int command_help(const struct command *command)
{
    printf("usage: penstock %s %s\n\n%s.\n\n%s", command->name, command->arguments,
           command->summary, command->help);
    return COMMAND_OK;
}

bool command_can_read(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && access(path, R_OK) == 0;
}

int command_misused(const struct command *command)
{
    fprintf(stderr, "usage: penstock %s %s\n", command->name, command->arguments);
    return COMMAND_USAGE;
}
