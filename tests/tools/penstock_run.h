/* One run of the built penstock tool. */
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

struct PenstockRun {
    std::string out; // stdout, then stderr
    int code = -1;
};

/* `arguments` go through a shell: the tests' own words only. */
inline PenstockRun Penstock(const std::string &arguments)
{
    PenstockRun run;
    const std::string command = "exec " PENSTOCK_PROGRAM " " + arguments + " 2>&1";
    FILE *const pipe = popen(command.c_str(), "r");
    EXPECT_NE(pipe, nullptr);
    char text[4096];
    for (size_t len; (len = fread(text, 1, sizeof text, pipe)) > 0;) { run.out.append(text, len); }
    const int status = pclose(pipe);
    if (WIFEXITED(status)) { run.code = WEXITSTATUS(status); }
    return run;
}
