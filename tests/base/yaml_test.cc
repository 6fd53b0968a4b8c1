#include "base/yaml.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

namespace {

/* One reading: the tree (or none) and what was said. */
class Reading {
  public:
    explicit Reading(const std::string &text)
        : diagnostics_(diagnostics_create(), diagnostics_destroy),
          yaml_(yaml_load_text(text.data(), text.size(), "t.yaml", diagnostics_.get()),
                yaml_destroy)
    {}

    bool Refused() const { return yaml_ == nullptr; }
    const struct yaml_node &Root() const { return *yaml_root(yaml_.get()); }
    size_t Count() const { return diagnostics_count(diagnostics_.get()); }

    std::string Message(size_t index) const
    {
        const struct diagnostic &item = *diagnostics_at(diagnostics_.get(), index);
        return std::to_string(item.place.line) + ":" + std::to_string(item.place.column) + ": " +
               item.text;
    }

  private:
    std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics_;
    std::unique_ptr<struct yaml, decltype(&yaml_destroy)> yaml_;
};

TEST(Yaml, EveryNodeKnowsItsPlace)
{
    const Reading reading("a: 1\nb:\n  - x\n  - { c: d }\n");
    ASSERT_FALSE(reading.Refused());

    const struct yaml_node &list = *yaml_map_get(&reading.Root(), "b");
    const struct yaml_node &inner = *list.children[1];
    EXPECT_EQ(list.kind, YAML_LIST);
    EXPECT_EQ(list.child_count, 2U);
    EXPECT_STREQ(list.children[0]->text, "x");
    EXPECT_EQ(list.children[0]->place.line, 3U);
    EXPECT_EQ(list.children[0]->place.column, 5U);
    EXPECT_EQ(inner.kind, YAML_MAP);
    EXPECT_STREQ(inner.keys[0]->text, "c");
    EXPECT_EQ(inner.children[0]->place.column, 10U);
    EXPECT_STREQ(inner.children[0]->place.file, "t.yaml");
}

TEST(Yaml, AScalarIsItsTextWhateverYamlWouldMakeOfIt)
{
    const Reading reading("[no, 0514, 1e3, ~, 'quoted', 12:30]");
    ASSERT_FALSE(reading.Refused());

    EXPECT_STREQ(reading.Root().children[0]->text, "no");
    EXPECT_STREQ(reading.Root().children[1]->text, "0514");
    EXPECT_STREQ(reading.Root().children[2]->text, "1e3");
    EXPECT_STREQ(reading.Root().children[3]->text, "~");
    EXPECT_TRUE(reading.Root().children[3]->plain);
    EXPECT_FALSE(reading.Root().children[4]->plain);
    EXPECT_STREQ(reading.Root().children[5]->text, "12:30");
}

class EmptyYaml : public testing::TestWithParam<const char *> {};

TEST_P(EmptyYaml, IsAnEmptyMap)
{
    const Reading reading(GetParam());
    ASSERT_FALSE(reading.Refused());

    EXPECT_EQ(reading.Root().kind, YAML_MAP);
    EXPECT_EQ(reading.Root().child_count, 0U);
}

INSTANTIATE_TEST_SUITE_P(Texts, EmptyYaml,
                         testing::Values("", "# only a comment\n", "---\n", "{}"));

TEST(Yaml, AMissingKeyIsNullAndSoIsAKeyOfAList)
{
    const Reading reading("{a: [1]}");

    EXPECT_EQ(yaml_map_get(&reading.Root(), "b"), nullptr);
    EXPECT_EQ(yaml_map_get(yaml_map_get(&reading.Root(), "a"), "a"), nullptr);
}

struct Refusal {
    const char *text;
    const char *message;
    bool tree_is_whole = false; // the caller goes on, and counts the error
};

class RefusedYaml : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedYaml, SaysWhereAndWhy)
{
    const Reading reading(GetParam().text);

    EXPECT_EQ(reading.Refused(), !GetParam().tree_is_whole);
    ASSERT_EQ(reading.Count(), 1U);
    EXPECT_EQ(reading.Message(0), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, RefusedYaml,
    testing::Values(
        Refusal{"a: 1\nb: 2\na: 3\n", "3:1: key 'a' a second time; the first is on line 1", true},
        Refusal{"a: &x 1\n", "1:4: anchor '&x' is not accepted here; write the value out", true},
        Refusal{"a: !!int 1\n",
                "1:4: tag 'tag:yaml.org,2002:int' is not accepted here; quote the "
                "value if it is text",
                true},
        Refusal{"a: 1\n---\nb: 2\n", "2:1: a second document; a file holds one"},
        Refusal{"? [a]\n: 1\n", "1:3: a list or map as a key; a key is a word"},
        Refusal{"a: \"x\\0y\"\n", "1:4: a NUL character; text has none"},
        Refusal{"a:\n\tb: 1\n", "2:1: a tab; YAML is indented by spaces only"},
        Refusal{"a: [1, 2\n", "2:1: not valid YAML: while parsing a flow sequence, did not find "
                              "expected ',' or ']'"},
        Refusal{"a: 1\nb: \xff\n", "2:4: not valid text: invalid leading UTF-8 octet; a YAML file "
                                   "is UTF-8"}));

TEST(Yaml, SaysEverythingThatIsWrongAtOnce)
{
    const Reading reading("a: &x 1\nb: *x\na: 2\n");

    ASSERT_TRUE(reading.Refused());
    ASSERT_EQ(reading.Count(), 3U);
    EXPECT_EQ(reading.Message(0), "1:4: anchor '&x' is not accepted here; write the value out");
    EXPECT_EQ(reading.Message(1), "2:4: alias '*x' is not accepted here; write the value out");
    EXPECT_EQ(reading.Message(2), "3:1: key 'a' a second time; the first is on line 1");
}

TEST(Yaml, NestsEightyLevelsAndNoMore)
{
    const Reading deepest(std::string(79, '[') + "x" + std::string(79, ']'));
    const Reading deeper(std::string(80, '[') + "x" + std::string(80, ']'));

    EXPECT_FALSE(deepest.Refused());
    ASSERT_TRUE(deeper.Refused());
    EXPECT_EQ(deeper.Message(0), "1:81: nested deeper than 80 levels; write it flatter");
}

TEST(Yaml, AFileThatIsNotThereIsAnErrorOfTheFileAsAWhole)
{
    const std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics(
        diagnostics_create(), diagnostics_destroy);

    EXPECT_EQ(yaml_load("/nowhere/x.yaml", diagnostics.get()), nullptr);

    ASSERT_EQ(diagnostics_count(diagnostics.get()), 1U);
    EXPECT_EQ(diagnostics_at(diagnostics.get(), 0)->place.line, 0U);
    EXPECT_STREQ(diagnostics_at(diagnostics.get(), 0)->text,
                 "cannot be opened: No such file or directory");
}

TEST(Yaml, AFolderCannotBeReadAndSaysSo)
{
    const std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics(
        diagnostics_create(), diagnostics_destroy);

    EXPECT_EQ(yaml_load("/", diagnostics.get()), nullptr);

    ASSERT_EQ(diagnostics_count(diagnostics.get()), 1U);
    EXPECT_STREQ(diagnostics_at(diagnostics.get(), 0)->text,
                 "cannot be read: it is a directory; name a file in it");
}

TEST(Yaml, AFifoIsRefusedAndNotWaitedFor)
{
    const std::string path = testing::TempDir() + "/yaml_test_fifo_" + std::to_string(getpid());
    const std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics(
        diagnostics_create(), diagnostics_destroy);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);

    EXPECT_EQ(yaml_load(path.c_str(), diagnostics.get()), nullptr);
    remove(path.c_str());

    ASSERT_EQ(diagnostics_count(diagnostics.get()), 1U);
    EXPECT_STREQ(diagnostics_at(diagnostics.get(), 0)->text,
                 "cannot be read: it is no regular file");
}

TEST(Yaml, ARepeatedKeyHasItsFirstValue)
{
    const Reading reading("a: 1\na: 2\n");
    ASSERT_FALSE(reading.Refused());

    EXPECT_STREQ(yaml_map_get(&reading.Root(), "a")->text, "1");
}

TEST(Yaml, AFileOfSixteenMebibytesIsReadAndOneByteMoreRefused)
{
    const std::string path = testing::TempDir() + "/yaml_test_large.yaml";
    const std::string text(16 * 1024 * 1024, '\n');
    const std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics(
        diagnostics_create(), diagnostics_destroy);
    FILE *const file = fopen(path.c_str(), "wb");
    ASSERT_EQ(fwrite(text.data(), 1, text.size(), file), text.size());
    fflush(file);

    struct yaml *const largest = yaml_load(path.c_str(), diagnostics.get());
    fputc('\n', file);
    fclose(file);
    struct yaml *const larger = yaml_load(path.c_str(), diagnostics.get());
    remove(path.c_str());

    EXPECT_NE(largest, nullptr);
    EXPECT_EQ(larger, nullptr);
    EXPECT_STREQ(diagnostics_at(diagnostics.get(), 0)->text, "cannot be read: File too large");
    yaml_destroy(largest);
}

TEST(YamlNearest, FindsTheOneTypo)
{
    const char *const words[] = {"address", "gateway", "device", "port", "mtu"};

    EXPECT_STREQ(yaml_nearest("adress", words, 5), "address");
    EXPECT_STREQ(yaml_nearest("prot", words, 5), "port");
    EXPECT_STREQ(yaml_nearest("ports", words, 5), "port");
    EXPECT_STREQ(yaml_nearest("mtv", words, 5), "mtu");
}

TEST(YamlNearest, KeepsQuietWhenNothingIsNear)
{
    const char *const words[] = {"address", "gateway", "device", "port", "mtu"};

    EXPECT_EQ(yaml_nearest("compression", words, 5), nullptr);
    EXPECT_EQ(yaml_nearest("x", words, 5), nullptr);
    EXPECT_EQ(yaml_nearest("", words, 5), nullptr);
    EXPECT_EQ(yaml_nearest(std::string(65, 'm').c_str(), words, 5), nullptr);
}

} // namespace
