#include <stdio.h>
#include <string.h>

#include "base/yaml.h"
#include "tools/cmd_rules_list.h"
#include "tools/rules_command.h"

static const struct command *const verbs[] = {
    &command_rules_check, &command_rules_test,     &command_rules_explain, &command_rules_replay,
    &command_rules_bench, &command_rules_history,  &command_rules_import,  &command_rules_list,
    &command_rules_top,   &command_rules_examples, &command_rules_reload,
};

static const char *verb_word(const struct command *verb) { return strchr(verb->name, ' ') + 1; }

static int refuse_unknown(const struct command *command, const char *word)
{
    const char *words[ARRAY_COUNT(verbs)];
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) { words[i] = verb_word(verbs[i]); }
    const char *const nearest = yaml_nearest(word, words, ARRAY_COUNT(words));
    if (nearest != NULL) {
        fprintf(stderr, "penstock rules: unknown verb '%s'; did you mean '%s'?\n", word, nearest);
    } else {
        fprintf(stderr, "penstock rules: unknown verb '%s'\n", word);
    }
    return command_misused(command);
}

static int print_verbs(const struct command *command)
{
    printf("usage: penstock %s %s\n\n%s.\n\n", command->name, command->arguments, command->summary);
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        printf("  %-8s %s\n", verb_word(verbs[i]), verbs[i]->summary);
    }
    printf("\n%s", command->help);
    return COMMAND_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    if (argc < 2) { return command_misused(command); }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return print_verbs(command);
    }
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(argv[1], verb_word(verbs[i])) != 0) { continue; }
        char title[32];
        snprintf(title, sizeof title, "penstock %s", verbs[i]->name);
        argv[1] = title; /* what getopt's complaints begin with */
        return verbs[i]->run(verbs[i], argc - 1, argv + 1);
    }
    return refuse_unknown(command, argv[1]);
}

const struct command command_rules = {
    .name = "rules",
    .arguments = "VERB [OPTION...] [FILE]",
    .summary = "Check, try and explain rules, show what they did, put others in force",
    .help = "'penstock rules VERB --help' tells more.\n\n"
            "Exit: 0 as it should be, 1 errors or differences, 64 usage, 66 something cannot be\n"
            "      read; more by verb.\n",
    .run = run,
};
