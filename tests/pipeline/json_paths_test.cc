#include "pipeline/json_paths.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "pipeline/rules_source.h"
#include "tests/pipeline/json_reference.h"

namespace {

using json_reference::Step;
using Found = std::vector<std::optional<std::string>>;

struct bytes BytesOf(const std::string &text) { return bytes_of(text.data(), text.size()); }

bool IsValid(const std::string &path) { return json_path_is_valid(BytesOf(path)); }

// The paths of one rule set, and the room of one worker.
class Paths {
  public:
    explicit Paths(const std::vector<std::string> &texts) : count_(texts.size())
    {
        std::vector<struct bytes> list;
        for (const std::string &text : texts) { list.push_back(BytesOf(text)); }
        EXPECT_EQ(json_paths_create(list.data(), list.size(), &paths_), STATUS_OK);
    }
    ~Paths() { json_paths_destroy(paths_); }
    Paths(const Paths &) = delete;
    Paths &operator=(const Paths &) = delete;

    // In memory of exactly that size, so that a sanitizer sees what is read behind it.
    Found In(const std::string &document)
    {
        const std::vector<uint8_t> copy(document.begin(), document.end());
        std::vector<struct bytes> out(count_, bytes_of("junk", 4));
        const size_t found_count =
            json_paths_find(paths_, bytes_of(copy.data(), copy.size()), Room(), out.data());
        Found found;
        size_t present_count = 0;
        for (const struct bytes bytes : out) {
            const bool present = !bytes_are_null(bytes);
            present_count += present ? 1 : 0;
            found.push_back(present ? std::optional<std::string>(
                                          std::string((const char *)bytes.at, bytes.len_bytes))
                                    : std::nullopt);
        }
        EXPECT_EQ(found_count, present_count);
        return found;
    }

  private:
    static struct json_room *Room() // one for all: it is large
    {
        static const auto room = [] {
            auto created = std::make_unique<struct json_room>();
            json_room_init(created.get());
            return created;
        }();
        return room.get();
    }

    size_t count_;
    struct json_paths *paths_ = nullptr;
};

std::optional<std::string> FindOne(const std::string &path, const std::string &document)
{
    return Paths({path}).In(document)[0];
}

constexpr auto kAbsent = std::nullopt;

// ------------------------------------------------------------------------------------- the paths

TEST(JsonPath, IsNamesAndIndexesBehindEachOther)
{
    for (const char *const path :
         {".level", ".http.status", ".items[0].id", ".\"odd name\".x", "[0]", "[0][12].x",
          ".@timestamp", ".a-b_c$/:", ".\xc3\xa4", ".\"\"", ".\"a\\\"b\\u00e4\"", "[1048576]"}) {
        EXPECT_TRUE(IsValid(path)) << path;
    }
}

TEST(JsonPath, IsRefusedWhenItsSyntaxIsBroken)
{
    for (const char *const path :
         {"",       ".",         "level",   ".a.",    ".a..b",     "..a",
          ".a[",    ".a[]",      ".a[x]",   ".a[-1]", ".a[01]",    ".a[1",
          ".a[1]b", ".a b",      ".a\"b\"", ".\"a",   ".\"a\\x\"", ".\"a\\u12\"",
          ".a\n",   ".\"a\nb\"", ".a]",     ".a\\b",  "[1048577]", "[99999999999999999999]",
          "$.a",    ".\"a\"b"}) {
        EXPECT_FALSE(IsValid(path)) << path;
    }
}

TEST(JsonPath, IsRefusedWhenItIsLongerOrDeeperThanTheBounds)
{
    const std::string longest = "." + std::string(RULES_JSON_PATH_BYTES_MAX - 1, 'a');
    std::string deepest;
    for (int i = 0; i < RULES_JSON_DEPTH_MAX; i++) { deepest += ".a"; }

    EXPECT_TRUE(IsValid(longest));
    EXPECT_FALSE(IsValid(longest + "a"));
    EXPECT_TRUE(IsValid(deepest));
    EXPECT_FALSE(IsValid(deepest + ".a"));
}

TEST(JsonPaths, RefusesOneBadPathAmongGoodOnesAndOneTooMany)
{
    std::vector<struct bytes> list(JSON_PATHS_MAX, bytes_of_text(".a"));
    struct json_paths *paths = nullptr;
    ASSERT_EQ(json_paths_create(list.data(), list.size(), &paths), STATUS_OK);
    json_paths_destroy(paths);

    list[63] = bytes_of_text("a");
    EXPECT_EQ(json_paths_create(list.data(), list.size(), &paths), STATUS_INVALID);
    EXPECT_EQ(paths, nullptr);
    list[63] = bytes_of_text(".b");
    list.push_back(bytes_of_text(".c"));
    EXPECT_EQ(json_paths_create(list.data(), list.size(), &paths), STATUS_INVALID);
    json_paths_destroy(nullptr);
}

// --------------------------------------------------------------------------------- what is found

TEST(JsonPaths, FindsMembersElementsAndWhatTheyHold)
{
    Paths paths(
        {".level", ".http.status", ".items[1].id", ".\"odd name\".x", ".items[0]", ".nope"});

    const Found found = paths.In(R"({"level":"warn", "http" : {"method":"GET","status":503},
        "items":[{"id":1},{"x":[],"id":"two"}],"odd name":{"x":null}})");

    EXPECT_EQ(found, (Found{"warn", "503", "two", "null", "{\"id\":1}", kAbsent}));
}

TEST(JsonPaths, AnswersTheTextOfWhatIsNoString)
{
    EXPECT_EQ(FindOne(".a", R"({"a":-1.50e+3})"), "-1.50e+3");
    EXPECT_EQ(FindOne(".a", R"({"a":true })"), "true");
    EXPECT_EQ(FindOne(".a", R"({"a":{ "b" : [ 1 ] } })"), R"({ "b" : [ 1 ] })");
    EXPECT_EQ(FindOne(".a", R"({"a":[ ] })"), "[ ]");
    EXPECT_EQ(FindOne(".a", R"({"a":""})"), "");
}

TEST(JsonPaths, FindsAnObjectAndWhatIsInIt)
{
    Paths paths({".a", ".a.b", ".a.b"});

    EXPECT_EQ(paths.In(R"({"a":{"b":"x\n"}})"), (Found{R"({"b":"x\n"})", "x\n", "x\n"}));
    EXPECT_EQ(paths.In(R"({"a":{"b":1,]})"), (Found{kAbsent, "1", "1"}));
}

TEST(JsonPaths, UnescapesStringsAndNames)
{
    EXPECT_EQ(FindOne(".a", R"({"a":"\"\\\/\b\f\n\r\t"})"), "\"\\/\b\f\n\r\t");
    EXPECT_EQ(FindOne(".a", R"({"a":"\u0041\u00e4\u20aC\uFFFF"})"),
              "A\xc3\xa4\xe2\x82\xac\xef\xbf\xbf");
    EXPECT_EQ(FindOne(".a", R"({"a":"\ud83d\ude00\uD800\uDC00"})"),
              "\xf0\x9f\x98\x80\xf0\x90\x80\x80");
    EXPECT_EQ(FindOne(".a", R"({"a":"x\u0000y"})"), std::string("x\0y", 3));
    EXPECT_EQ(FindOne(".abc", R"({"\u0061b\u0063":1})"), "1");
    EXPECT_EQ(FindOne(".\"\\u0061\"", R"({"a":1})"), "1");
}

TEST(JsonPaths, LeavesHalfASurrogatePairAsItIs)
{
    EXPECT_EQ(FindOne(".a", R"({"a":"\n\ud800\n"})"), "\n\\ud800\n");
    EXPECT_EQ(FindOne(".a", R"({"a":"\udc00x"})"), "\\udc00x");
    EXPECT_EQ(FindOne(".a", R"({"a":"\ud800\u0041"})"), "\\ud800A");
    EXPECT_EQ(FindOne(".a", R"({"a":"\ud800\ud83d\ude00"})"), "\\ud800\xf0\x9f\x98\x80");
    EXPECT_EQ(FindOne(".a", R"({"a":"\udc00\ud800"})"), "\\udc00\\ud800");
}

TEST(JsonPaths, TakesTheFirstOfMembersWithOneName)
{
    EXPECT_EQ(FindOne(".a", R"({"a":1,"a":2})"), "1");
    EXPECT_EQ(FindOne(".a", R"({"\u0061":1,"a":2})"), "1");
    EXPECT_EQ(FindOne(".a.b", R"({"a":{"c":1},"a":{"b":2}})"), kAbsent);
    EXPECT_EQ(FindOne(".a.b", R"({"a":0,"a":{"b":2}})"), kAbsent);
    EXPECT_EQ(FindOne("[0].b", R"([{"a":1},{"b":2}])"), kAbsent);
}

TEST(JsonPaths, TellsObjectsFromArrays)
{
    EXPECT_EQ(FindOne(".a[0]", R"({"a":{"0":1}})"), kAbsent);
    EXPECT_EQ(FindOne(".a.0", R"({"a":[1]})"), kAbsent);
    EXPECT_EQ(FindOne(".a.0", R"({"a":{"0":1}})"), "1");
    EXPECT_EQ(FindOne(".a", R"("a")"), kAbsent);
    EXPECT_EQ(FindOne(".a", ""), kAbsent);
    EXPECT_EQ(FindOne(".a", " \n"), kAbsent);
}

TEST(JsonPaths, KeepsWhatStandsInFrontOfBrokenJsonAndNothingBehind)
{
    Paths paths({".a", ".z"});

    for (const char *const broken : {"tru",
                                     "nul",
                                     "True",
                                     "01",
                                     "-",
                                     "+1",
                                     ".5",
                                     "1.",
                                     "1e",
                                     "1e+",
                                     "0x1",
                                     "1x",
                                     "'a'",
                                     "\"\\x\"",
                                     "\"\\u12g4\"",
                                     "\"\n\"",
                                     "{]",
                                     "[}",
                                     "[1,]",
                                     "{\"b\":1,}",
                                     "{\"b\":}",
                                     "{\"b\"}",
                                     "{b:1}",
                                     "[1 2]",
                                     "{\"b\":1 \"c\":2}",
                                     "[,1]",
                                     "{,}",
                                     "{\"b\"::1}",
                                     "",
                                     ",",
                                     "nulll",
                                     "NaN",
                                     "\xef\xbb\xbf"
                                     "1",
                                     "[1}",
                                     "{\"b\":1]",
                                     "/**/1",
                                     "\f1"}) {
        const std::string document = std::string(R"({"a":"x","b":)") + broken + R"(,"z":1})";
        EXPECT_EQ(paths.In(document), (Found{"x", kAbsent})) << document;
    }
}

TEST(JsonPaths, FindsNothingInWhatIsNoJson)
{
    for (const char *const document :
         {"plain text", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":\"1", "{\"a\":tru", "{a:1}",
          "\xef\xbb\xbf{\"a\":1}", "<a>1</a>", "{\"a\" 1}"}) {
        EXPECT_EQ(FindOne(".a", document), kAbsent) << document;
    }
    EXPECT_EQ(FindOne(".a", "{\"a\":1,"), "1");
    EXPECT_EQ(FindOne(".a", "{\"a\":\"1\""), "1");
}

TEST(JsonPaths, TakesBytesBeyondAsciiAsTheyAre)
{
    EXPECT_EQ(FindOne(".a", "{\"a\":\"\xff\x80\xc3\"}"), "\xff\x80\xc3");
    EXPECT_EQ(FindOne(".\xff", "{\"\xff\":1}"), "1");
}

// ------------------------------------------------------------------------------------ the bounds

std::string Nested(int levels) // of arrays around a 1; one more level is the object's
{
    return "{\"a\":" + std::string((size_t)levels, '[') + "1" + std::string((size_t)levels, ']') +
           ",\"z\":2}";
}

TEST(JsonPaths, LooksThroughSixtyFourLevelsAndNoFurther)
{
    Paths paths({".z"});
    EXPECT_EQ(paths.In(Nested(JSON_LEVELS_MAX - 1)), (Found{"2"}));
    EXPECT_EQ(paths.In(Nested(JSON_LEVELS_MAX)), (Found{kAbsent}));

    Paths inside({".a[0][0]", ".z"}); // the levels that the path itself goes down count too
    EXPECT_TRUE(inside.In(Nested(JSON_LEVELS_MAX - 1))[0].has_value());
    EXPECT_EQ(inside.In(Nested(JSON_LEVELS_MAX)), (Found{kAbsent, kAbsent}));
}

TEST(JsonPaths, LooksIntoTheFirstMebibyteAndNoFurther)
{
    const std::string begin = "{\"pad\":\"";
    const std::string member = "\",\"z\":\"end\"";
    const size_t pad_bytes = JSON_DOCUMENT_BYTES_MAX - begin.size() - member.size();

    EXPECT_EQ(FindOne(".z", begin + std::string(pad_bytes, 'x') + member + "}"), "end");
    EXPECT_EQ(FindOne(".z", begin + std::string(pad_bytes + 1, 'x') + member + "}"), kAbsent);
}

TEST(JsonPaths, HasRoomForAllStringsOfTheLargestDocument)
{
    const std::string escapes(JSON_DOCUMENT_BYTES_MAX / 2 - 100, '\\'); // pairs of backslashes
    const std::string document = "{\"a\":\"" + escapes + "\",\"b\":\"" + escapes + "\"}";

    const Found found = Paths({".a", ".b"}).In(document);

    EXPECT_EQ(found[0], escapes.substr(escapes.size() / 2));
    EXPECT_EQ(found[1], escapes.substr(escapes.size() / 2));
}

TEST(JsonPaths, ComparesTheLongestNameHoweverItIsEscaped)
{
    const std::string name(RULES_JSON_PATH_BYTES_MAX - 1, 'a');
    std::string escaped;
    for (size_t i = 0; i < name.size(); i++) { escaped += "\\u0061"; }

    EXPECT_EQ(FindOne("." + name, "{\"" + escaped + "\":1}"), "1");
    EXPECT_EQ(FindOne("." + name, "{\"" + escaped + "\\u0061\":1,\"" + name + "\":2}"), "2");
    EXPECT_EQ(FindOne("." + name, "{\"" + escaped + escaped + "\":1,\"" + name + "\":2}"), "2");
}

// ------------------------------------------------------------------------ against the references

struct Path {
    std::string text;
    std::vector<Step> steps;
};

// Names and values from few, so that paths often lead somewhere and names are often there twice.
class Generator {
  public:
    explicit Generator(uint64_t seed) : random_(random_seed(seed)) {}

    uint64_t Below(uint64_t limit) { return random_below(&random_, limit); }

    std::string Document() { return Space() + Value(0) + Space(); }

    Path AnyPath()
    {
        Path path;
        const uint64_t count = 1 + Below(Below(2) == 0 ? 1 : 3);
        for (uint64_t i = 0; i < count; i++) {
            Step step;
            if (Below(5) == 0) {
                step.index = Below(4);
                path.text += "[" + std::to_string(step.index) + "]";
            } else {
                static const char *const spelled[] = {
                    ".a", ".b", ".c", ".\"odd name\"", ".\xc3\xa4", ".\"\\n\"", ".\"\""};
                const uint64_t name = Below(7);
                step.name = kNames[name];
                path.text += spelled[name];
            }
            path.steps.push_back(step);
        }
        return path;
    }

    // One byte or a few: another, gone, or from elsewhere in the text; or cut off.
    std::string Mutated(std::string text)
    {
        static const std::string odd = "{}[]\",:\\u0 \n\x01\x80-+.eE19tfn";
        const uint64_t count = 1 + Below(3);
        for (uint64_t i = 0; i < count && !text.empty(); i++) {
            const size_t at = Below(text.size());
            switch (Below(5)) {
            case 0: text[at] = odd[Below(odd.size())]; break;
            case 1: text.erase(at, 1 + Below(3)); break;
            case 2: text.insert(at, 1, odd[Below(odd.size())]); break;
            case 3: text.insert(at, text.substr(Below(text.size()), Below(12))); break;
            default: text.resize(at); break;
            }
        }
        return text;
    }

  private:
    static const std::vector<std::string> kNames;

    std::string Space()
    {
        static const char *const spaces[] = {"", "", "", " ", "\n", "\t \r\n"};
        return spaces[Below(6)];
    }

    // Any way to write it: some characters as escapes.
    std::string Quoted(const std::string &content)
    {
        std::string out = "\"";
        for (const char c : content) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)c);
            if (c == '\n') {
                out += "\\n";
            } else if (c == '"' || c == '\\') {
                out += std::string("\\") + c;
            } else if ((unsigned char)c < 0x80 && Below(8) == 0) {
                out += escape;
            } else {
                out += c;
            }
        }
        return out + "\"";
    }

    std::string String()
    {
        static const char *const raw[] = {"\"\\ud83d\\ude00\"", "\"\\ud83dx\"", "\"\\u00e4\\/\"",
                                          "\"\\udead\"", "\"\""};
        if (Below(4) == 0) { return raw[Below(5)]; }
        std::string content;
        const uint64_t length = Below(30);
        for (uint64_t i = 0; i < length; i++) { content += "abc\"\\{}[],: \n\xc3"[Below(15)]; }
        return Quoted(content);
    }

    std::string Scalar()
    {
        static const char *const scalars[] = {"0",     "-0",   "17",    "-1.25", "1e9",
                                              "12E-3", "true", "false", "null",  "123456789012345"};
        return Below(2) == 0 ? String() : scalars[Below(10)];
    }

    std::string Value(int depth)
    {
        const uint64_t kind = Below(depth == 0 ? 4 : 8);
        if (depth > 5 || kind >= 4) { return Scalar(); }
        const bool object = kind != 0;
        const uint64_t count = Below(6);
        std::string out = object ? "{" : "[";
        for (uint64_t i = 0; i < count; i++) {
            out += i == 0 ? Space() : Space() + "," + Space();
            if (object) { out += Quoted(kNames[Below(7)]) + Space() + ":" + Space(); }
            out += Value(depth + 1);
        }
        return out + Space() + (object ? "}" : "]");
    }

    struct random random_;
};

const std::vector<std::string> Generator::kNames = {"a",        "b",  "c", "odd name",
                                                    "\xc3\xa4", "\n", ""};

// Counts what it compared, so that a generator whose paths lead nowhere is noticed.
size_t CompareWithReference(Paths &paths, const std::vector<Path> &wanted,
                            const std::string &document)
{
    const auto root = json_reference::Reader(document).Read();
    const Found found = paths.In(document);
    size_t found_count = 0;
    for (size_t i = 0; i < wanted.size(); i++) {
        const auto expected = json_reference::Find(*root, wanted[i].steps);
        EXPECT_EQ(found[i], expected) << wanted[i].text << " in " << document;
        found_count += expected ? 1 : 0;
    }
    return found_count;
}

TEST(JsonPathsDifferential, AgreesWithAPlainReaderOnWholeAndMutatedDocuments)
{
    size_t found_count = 0;
    for (uint64_t seed = 1; seed <= 800; seed++) {
        Generator generator(seed);
        std::vector<Path> wanted;
        std::vector<std::string> texts;
        for (uint64_t i = 1 + generator.Below(10); i > 0; i--) {
            wanted.push_back(generator.AnyPath());
            texts.push_back(wanted.back().text);
        }
        Paths paths(texts);
        for (int i = 0; i < 30; i++) {
            const std::string document = generator.Document();
            found_count += CompareWithReference(paths, wanted, document);
            found_count += CompareWithReference(paths, wanted, generator.Mutated(document));
        }
        if (HasFailure()) { FAIL() << "seed " << seed; }
    }
    EXPECT_GT(found_count, 8000U);
}

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

json_t *JanssonFind(json_t *root, const std::vector<Step> &steps)
{
    json_t *node = root;
    for (const Step &step : steps) {
        node = step.name ? json_object_get(node, step.name->c_str())
                         : json_array_get(node, step.index);
    }
    return node;
}

// A random document that jansson itself holds and writes: no name twice, UTF-8, no bare NUL.
json_t *JanssonDocument(Generator &generator, int depth)
{
    static const char *const names[] = {"a", "b", "c", "odd name", "\xc3\xa4", "\n", ""};
    static const char *const strings[] = {"", "plain", "a\"b\\c/\n\t\x01", "\xc3\xa4\xe2\x82\xac",
                                          "\xf0\x9f\x98\x80 x"};
    const uint64_t kind = generator.Below(depth == 0 ? 2 : 8);
    if (kind == 0 || (kind == 1 && depth < 6)) {
        json_t *const out = kind == 0 ? json_array() : json_object();
        for (uint64_t i = depth > 5 ? 0 : generator.Below(7); i > 0; i--) {
            json_t *const child = JanssonDocument(generator, depth + 1);
            if (kind == 0) {
                json_array_append_new(out, child);
            } else {
                json_object_set_new(out, names[generator.Below(7)], child);
            }
        }
        return out;
    }
    switch (kind) {
    case 2: return json_integer((json_int_t)generator.Below(1000000) - 500000);
    case 3: return json_real((double)generator.Below(1000000) / 1024 - 300);
    case 4: return json_boolean(generator.Below(2));
    case 5: return json_null();
    default: return json_string(strings[generator.Below(5)]);
    }
}

void ExpectSameAsJansson(const std::optional<std::string> &found, json_t *expected)
{
    ASSERT_EQ(found.has_value(), expected != nullptr);
    if (expected == nullptr) { return; }
    if (json_is_string(expected)) {
        ASSERT_EQ(*found, std::string(json_string_value(expected), json_string_length(expected)));
        return;
    }
    const Json parsed(json_loadb(found->data(), found->size(), JSON_DECODE_ANY, nullptr),
                      json_decref);
    ASSERT_TRUE(json_equal(parsed.get(), expected)) << *found;
}

TEST(JsonPathsDifferential, AgreesWithJanssonOnWhatJanssonWrites)
{
    static const size_t styles[] = {0, JSON_COMPACT, JSON_INDENT(3),
                                    JSON_ENSURE_ASCII | JSON_COMPACT, JSON_ESCAPE_SLASH};
    size_t found_count = 0;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        Generator generator(seed);
        const Path one = generator.AnyPath();
        const Path other = generator.AnyPath();
        const Json document(JanssonDocument(generator, 0), json_decref);
        char *const text = json_dumps(document.get(), styles[generator.Below(5)]);

        const Found found = Paths({one.text, other.text}).In(text);

        ExpectSameAsJansson(found[0], JanssonFind(document.get(), one.steps));
        ExpectSameAsJansson(found[1], JanssonFind(document.get(), other.steps));
        found_count += found[0].has_value() || found[1].has_value() ? 1 : 0;
        free(text);
        if (HasFailure()) { FAIL() << "seed " << seed; }
    }
    EXPECT_GT(found_count, 500U);
}

// Whatever jansson reads to the end, the pass must not take for broken.
TEST(JsonPathsDifferential, ReadsToTheEndOfWhatJanssonReads)
{
    size_t read_count = 0;
    Generator generator(7);
    Paths end({".\"the end\""});
    for (int i = 0; i < 20000; i++) {
        const std::string text = generator.Mutated(generator.Document());
        const Json read(
            json_loadb(text.data(), text.size(), JSON_DECODE_ANY | JSON_ALLOW_NUL, nullptr),
            json_decref);
        if (read == nullptr) { continue; }
        read_count++;
        ASSERT_EQ(end.In("{\"x\":" + text + ",\"the end\":1}"), (Found{"1"})) << text;
    }
    EXPECT_GT(read_count, 500U);
}

} // namespace
