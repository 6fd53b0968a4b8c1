#include "base/diagnostics.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace {

using Diagnostics = std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)>;

Diagnostics Empty() { return Diagnostics(diagnostics_create(), diagnostics_destroy); }

std::string Printed(const Diagnostics &diagnostics)
{
    char *text = nullptr;
    size_t len_bytes = 0;
    FILE *const out = open_memstream(&text, &len_bytes);
    diagnostics_print(diagnostics.get(), out);
    fclose(out);
    const std::string printed(text, len_bytes);
    free(text);
    return printed;
}

TEST(Diagnostics, PrintsThePlaceTheSeverityAndTheText)
{
    const auto diagnostics = Empty();

    diagnostics_error(diagnostics.get(), {"a.yaml", 3, 7}, "%d is wrong; 1 is right", 2);

    EXPECT_EQ(Printed(diagnostics), "a.yaml:3:7: error: 2 is wrong; 1 is right\n");
}

TEST(Diagnostics, LineZeroSpeaksOfTheFileAsAWhole)
{
    const auto diagnostics = Empty();

    diagnostics_warning(diagnostics.get(), {"a.yaml", 0, 0}, "is old");

    EXPECT_EQ(Printed(diagnostics), "a.yaml: warning: is old\n");
}

TEST(Diagnostics, ComeInTheOrderOfTheirPlacesAndFilesInThatOfTheirFirstMessage)
{
    const auto diagnostics = Empty();

    diagnostics_error(diagnostics.get(), {"z.yaml", 9, 1}, "fourth");
    diagnostics_error(diagnostics.get(), {"a.yaml", 1, 1}, "fifth");
    diagnostics_error(diagnostics.get(), {"z.yaml", 2, 5}, "second");
    diagnostics_error(diagnostics.get(), {"z.yaml", 2, 5}, "third");
    diagnostics_error(diagnostics.get(), {"z.yaml", 2, 4}, "first");

    EXPECT_EQ(Printed(diagnostics), "z.yaml:2:4: error: first\n"
                                    "z.yaml:2:5: error: second\n"
                                    "z.yaml:2:5: error: third\n"
                                    "z.yaml:9:1: error: fourth\n"
                                    "a.yaml:1:1: error: fifth\n");
}

TEST(Diagnostics, CountErrorsApartFromWarnings)
{
    const auto diagnostics = Empty();

    diagnostics_warning(diagnostics.get(), {"a", 1, 1}, "one");
    diagnostics_error(diagnostics.get(), {"a", 2, 1}, "two");

    EXPECT_EQ(diagnostics_count(diagnostics.get()), 2U);
    EXPECT_EQ(diagnostics_error_count(diagnostics.get()), 1U);
    EXPECT_EQ(diagnostics_at(diagnostics.get(), 0)->severity, DIAGNOSTIC_WARNING);
}

TEST(Diagnostics, KeepTheFileNameWhenTheCallersIsGone)
{
    const auto diagnostics = Empty();
    auto name = std::make_unique<std::string>("gone.yaml");

    diagnostics_error(diagnostics.get(), {name->c_str(), 1, 1}, "wrong");
    name.reset();

    EXPECT_EQ(Printed(diagnostics), "gone.yaml:1:1: error: wrong\n");
}

TEST(Diagnostics, AControlCharacterFromTheFileReachesNoTerminal)
{
    const auto diagnostics = Empty();

    diagnostics_error(diagnostics.get(), {"a", 1, 1}, "unknown key '%s'", "x\x1b[2J\ny");

    EXPECT_EQ(Printed(diagnostics), "a:1:1: error: unknown key 'x?[2J?y'\n");
}

} // namespace
