#include <gtest/gtest.h>

#include "tests/tools/penstock_run.h"

namespace {

TEST(Penstock, HelpListsTheCommandsOnStdout)
{
    const PenstockRun run = Penstock("--help 2>/dev/null");

    EXPECT_EQ(run.code, 0);
    EXPECT_NE(run.out.find("  check "), std::string::npos);
    EXPECT_NE(run.out.find("  ledger "), std::string::npos);
    EXPECT_NE(run.out.find("  status "), std::string::npos);
}

TEST(Penstock, HelpIsACommandToo)
{
    EXPECT_EQ(Penstock("help").out, Penstock("--help").out);
    EXPECT_EQ(Penstock("help").code, 0);
    EXPECT_EQ(Penstock("help legder").code, 64);
}

TEST(Penstock, SaysItsVersion)
{
    const PenstockRun run = Penstock("--version");

    EXPECT_EQ(run.code, 0);
    EXPECT_EQ(run.out, "penstock " PENSTOCK_VERSION "\n");
}

TEST(Penstock, WithoutACommandIsAMisuse) { EXPECT_EQ(Penstock("").code, 64); }

TEST(Penstock, AnUnknownCommandNamesTheNearest)
{
    const PenstockRun run = Penstock("legder");

    EXPECT_EQ(run.code, 64);
    EXPECT_EQ(run.out, "penstock: unknown command 'legder'; did you mean 'ledger'?\n");
}

class EveryCommand : public testing::TestWithParam<const char *> {};

TEST_P(EveryCommand, HelpsAndRefusesUnknownOptions)
{
    const PenstockRun help = Penstock(std::string(GetParam()) + " --help");
    const PenstockRun misuse = Penstock(std::string(GetParam()) + " --no-such-option");

    EXPECT_EQ(Penstock(std::string(GetParam()) + " -h").out, help.out);
    EXPECT_EQ(Penstock("help " + std::string(GetParam())).out, help.out);
    EXPECT_EQ(help.code, 0);
    EXPECT_EQ(help.out.rfind("usage: penstock " + std::string(GetParam()), 0), 0U) << help.out;
    EXPECT_NE(help.out.find("Exit: 0 "), std::string::npos);
    EXPECT_EQ(misuse.code, 64);
    EXPECT_EQ(misuse.out.rfind("penstock " + std::string(GetParam()) + ": ", 0), 0U) << misuse.out;
}

INSTANTIATE_TEST_SUITE_P(Names, EveryCommand,
                         testing::Values("audit", "check", "ledger", "log", "rules", "send",
                                         "status", "storage"));

} // namespace
