/* One run of a command of the penstock tool, in this process. */
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tools/command.h"

struct CommandRun {
    std::string out;
    std::string errors;
    int code = -1;
};

inline CommandRun RunCommand(const struct command &command, std::vector<std::string> arguments)
{
    CommandRun run;
    std::vector<char *> argv;
    arguments.insert(arguments.begin(), command.name);
    for (std::string &argument : arguments) { argv.push_back(argument.data()); }
    argv.push_back(nullptr);
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    run.code = command.run(&command, static_cast<int>(arguments.size()), argv.data());
    std::fflush(stdout);
    std::fflush(stderr);
    run.out = ::testing::internal::GetCapturedStdout();
    run.errors = ::testing::internal::GetCapturedStderr();
    return run;
}

inline void WriteFile(const std::string &path, const std::string &bytes)
{
    FILE *const file = std::fopen(path.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    ASSERT_EQ(std::fclose(file), 0);
}
