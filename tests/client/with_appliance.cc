/* with_appliance.cc - runs a program against a model appliance and checks what it stored.
 *
 *     with_appliance EXPECTED-RECORDS [--stdin FILE] PROGRAM ARGUMENT ...
 *
 * '@SERVER@' among the arguments becomes HOST:PORT. Several programs, parted by '--', run one after
 * the other. Exit status 0: each exited with 0, and the appliance has the fate of exactly so many.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/client/udp_appliance.h"

static int Run(std::vector<std::string> words, const char *input)
{
    const pid_t child = fork();
    if (child == 0) {
        if (input != nullptr) {
            const int fd = open(input, O_RDONLY);
            if (fd < 0 || dup2(fd, 0) != 0) { _exit(126); }
        }
        std::vector<char *> arguments;
        for (auto &word : words) { arguments.push_back(word.data()); }
        arguments.push_back(nullptr);
        execv(arguments[0], arguments.data());
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) { return 1; }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) { return 2; }
    UdpAppliance appliance;
    const unsigned long expected = strtoul(argv[1], nullptr, 10);
    const char *input = nullptr;
    int at = 2;
    if (strcmp(argv[at], "--stdin") == 0) {
        input = argv[at + 1];
        at += 2;
    }
    while (at < argc) {
        std::vector<std::string> words;
        for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
            words.push_back(strcmp(argv[at], "@SERVER@") == 0 ? appliance.Address() : argv[at]);
        }
        at++;
        const int code = Run(words, input);
        if (code != 0) {
            fprintf(stderr, "%s: exit status %d\n", words[0].c_str(), code);
            return 1;
        }
    }
    const unsigned long got = appliance.Records();
    printf("the appliance has %lu records\n", got);
    if (got != expected) { fprintf(stderr, "expected %lu\n", expected); }
    return got == expected ? 0 : 1;
}
