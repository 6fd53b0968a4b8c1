#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/pipeline/rules_source_builder.h"

namespace {

using Topics = std::vector<uint16_t>;
using Indexes = std::vector<int32_t>;

struct record RecordOf(const std::string &value)
{
    struct record out = {};
    out.topic = RECORD_NO_TOPIC;
    out.value = bytes_of(value.data(), value.size());
    return out;
}

// -------------------------------------------------------------------------------- trees

TEST(RulesEngine, EvaluatesTreesOverSeveralFields)
{
    SourceBuilder b;
    b.Drop(b.All({b.Match("svc=payments"), b.Not(b.Match("level=debug")),
                  b.Compare(RULE_TEST_NUMBER, RULE_BELOW, 5,
                            b.Field(RULE_FIELD_HEADER, "syslog.severity"))}));
    const auto rules = b.Compile();
    Judge judge(rules.get());
    const struct record_header four = {bytes_of_text("syslog.severity"), bytes_of_text("4")};
    const struct record_header five = {bytes_of_text("syslog.severity"), bytes_of_text("5")};
    const auto with = [](const char *value, const struct record_header &header) {
        struct record out = RecordOf(value);
        out.value = bytes_of_text(value);
        out.headers = &header;
        out.header_count = 1;
        return out;
    };
    struct record holds = with("svc=payments", four);
    struct record too_high = with("svc=payments", five);
    struct record debug = with("svc=payments level=debug", four);

    EXPECT_EQ(judge(holds).fate, VERDICT_DROP);
    EXPECT_EQ(judge(too_high).fate, VERDICT_STORE);
    EXPECT_EQ(judge(debug).fate, VERDICT_STORE);
    EXPECT_EQ(judge("svc=payments").fate, VERDICT_STORE); // a field that is not there fails
}

TEST(RulesEngine, ANotOfAFieldThatIsNotThereHolds)
{
    SourceBuilder b;
    b.Drop(b.Not(b.Match("x", b.Field(RULE_FIELD_KEY))));
    const auto rules = b.Compile();

    EXPECT_EQ(Judge(rules.get())("any").fate, VERDICT_DROP);
}

TEST(RulesEngine, ATombstonesValueIsThereAndEmpty)
{
    SourceBuilder b;
    b.Drop(b.All({b.Test(RULE_TEST_PRESENT, b.Field(RULE_FIELD_VALUE)),
                  b.Equals("", b.Field(RULE_FIELD_VALUE)),
                  b.Compare(RULE_TEST_SIZE, RULE_AT_MOST, 0, b.Field(RULE_FIELD_VALUE))}));
    const auto rules = b.Compile();
    struct record tombstone = {};
    tombstone.topic = RECORD_NO_TOPIC;

    EXPECT_EQ(Judge(rules.get())(tombstone).fate, VERDICT_DROP);
    EXPECT_EQ(Judge(rules.get())("x").fate, VERDICT_STORE);
}

TEST(RulesEngine, ComparesTextsByAllBytes)
{
    SourceBuilder b;
    b.Drop(b.Equals(std::string("a\0b", 3), b.Field(RULE_FIELD_VALUE)));
    b.Drop(b.Equals(std::string(5000, 'x'), b.Field(RULE_FIELD_VALUE)));
    const auto rules = b.Compile();
    Judge judge(rules.get());

    EXPECT_EQ(judge(std::string("a\0b", 3)).rule, 0);
    EXPECT_EQ(judge(std::string("a\0c", 3)).rule, RULES_NONE);
    EXPECT_EQ(judge(std::string(5000, 'x')).rule, 1);
    EXPECT_EQ(judge(std::string(5001, 'x')).rule, RULES_NONE);
}

TEST(RulesEngine, FindsTheSourceInItsNetworks)
{
    SourceBuilder b;
    b.Drop(b.Any({b.Network("::ffff:10.0.0.0", 104), b.Network("2001:db8::", 32)}));
    b.Drop(b.Network("::", 0));
    const auto rules = b.Compile();
    Judge judge(rules.get());
    const auto from = [](const char *address) {
        struct record out = RecordOf("");
        inet_pton(AF_INET6, address, out.source);
        return out;
    };
    struct record inside = from("::ffff:10.255.0.1");
    struct record v6 = from("2001:db8::1");
    struct record outside = from("::ffff:11.0.0.1");

    EXPECT_EQ(judge(inside).rule, 0);
    EXPECT_EQ(judge(v6).rule, 0);
    EXPECT_EQ(judge(outside).rule, 1);
    EXPECT_EQ(judge("no source").rule, RULES_NONE); // not known lies in no network
}

TEST(RulesEngine, AnswersQuestionsAboutTheListener)
{
    SourceBuilder b(std::vector<struct rule_fallback>(3, {false, 1, {0}}));
    const struct rule_field listener = b.Field(RULE_FIELD_LISTENER);
    b.Drop(b.All({b.Match("^syslog:", listener), b.Match("noise")}));
    b.Drop(b.Equals("native:4650", listener));
    const auto rules = b.Compile();
    Judge judge(rules.get());
    struct record lines = RecordOf("noise");
    struct record syslog = RecordOf("noise");
    struct record native = RecordOf("noise");
    lines.value = syslog.value = native.value = bytes_of_text("noise");
    syslog.listener = 1;
    native.listener = 2;

    EXPECT_EQ(judge(lines).rule, RULES_NONE);
    EXPECT_EQ(judge(syslog).rule, 0);
    EXPECT_EQ(judge(native).rule, 1);
}

TEST(RulesEngine, LooksIntoJson)
{
    SourceBuilder b;
    b.Drop(b.All({b.Equals("error", b.Field(RULE_FIELD_JSON, ".level")),
                  b.Compare(RULE_TEST_NUMBER, RULE_AT_LEAST, 500,
                            b.Field(RULE_FIELD_JSON, ".http.status"))}));
    const auto rules = b.Compile();
    Judge judge(rules.get());

    EXPECT_EQ(judge(R"({"level":"error","http":{"status":503}})").rule, 0);
    EXPECT_EQ(judge(R"({"level":"error","http":{"status":404}})").rule, RULES_NONE);
    EXPECT_EQ(judge("level error").rule, RULES_NONE);
}

// -------------------------------------------------------------------- order, continue, shadow

TEST(RulesEngine, RoutesOfRulesThatContinueAddUpInOrder)
{
    SourceBuilder b;
    b.Route(b.Match("a"), {3, 1}).goes_on = true;
    b.Route(b.Match("b"), {1, 2});
    b.Route(b.Match("a"), {4});
    const auto rules = b.Compile();
    Judge judge(rules.get());

    EXPECT_EQ(TopicsOf(judge("ab")), (Topics{3, 1, 2}));
    EXPECT_EQ(judge.Matched(), (Indexes{0, 1}));
    EXPECT_EQ(TopicsOf(judge("a")), (Topics{3, 1, 4}));
    EXPECT_EQ(TopicsOf(judge("b")), (Topics{1, 2}));
}

TEST(RulesEngine, AShadowRuleOnlyCounts)
{
    SourceBuilder b;
    b.Drop(b.Match("a")).shadow = true;
    b.Route(b.Match("a"), {7});
    const auto rules = b.Compile();
    struct rule_counts counts[2] = {};
    struct rule_scratch_options options = Judge::Options();
    options.counts = counts;
    Judge judge(rules.get(), options);

    const struct verdict verdict = judge("cat");

    EXPECT_EQ(verdict.fate, VERDICT_STORE);
    EXPECT_EQ(TopicsOf(verdict), Topics{7});
    EXPECT_EQ(verdict.rule, 1);
    EXPECT_EQ(counts[0].matches, 1U);
    EXPECT_EQ(counts[0].match_bytes, 3U);
    EXPECT_EQ(counts[0].dropped, 1U);
    EXPECT_TRUE(rule_set_rule_is_shadow(rules.get(), 0));
    EXPECT_FALSE(rule_set_rule_is_shadow(rules.get(), 1));
}

TEST(RulesEngine, ARuleWithoutARouteLeavesThatToTheFallback)
{
    SourceBuilder b({{false, 1, {9}}});
    b.Rule(b.Match("a"));
    const auto rules = b.Compile();
    Judge judge(rules.get());

    const struct verdict verdict = judge("a");

    EXPECT_EQ(TopicsOf(verdict), Topics{9});
    EXPECT_EQ(verdict.rule, 0);
}

// -------------------------------------------------------------------------------- actions

TEST(RulesEngine, KeepsTheSameRecordsByHash)
{
    SourceBuilder b;
    b.Rule(b.Match("line")).action.keep_one_in = 4;
    const auto rules = b.Compile();
    Judge judge(rules.get());
    size_t kept = 0;
    for (int i = 0; i < 4000; i++) {
        const std::string line = "line " + std::to_string(i);
        const struct verdict verdict = judge(line);
        ASSERT_EQ(judge(line).fate, verdict.fate);
        kept += verdict.fate == VERDICT_STORE;
    }

    EXPECT_GT(kept, 900U);
    EXPECT_LT(kept, 1100U);
}

TEST(RulesEngine, LimitsWhatARuleLetsThrough)
{
    SourceBuilder b;
    struct rule_source &rule = b.Route(b.Match("a"), {1});
    rule.action.limit_unit = RULE_LIMIT_RECORDS;
    rule.action.limit_rate = 10;
    rule.action.limit_burst = 3;
    const auto rules = b.Compile();
    Judge judge(rules.get());
    struct record record = RecordOf("");
    record.value = bytes_of_text("a");
    const auto fate = [&](uint64_t now_ns) { return judge(record, now_ns).fate; };

    EXPECT_EQ(fate(0), VERDICT_STORE);
    EXPECT_EQ(fate(0), VERDICT_STORE);
    EXPECT_EQ(fate(0), VERDICT_STORE);
    EXPECT_EQ(fate(0), VERDICT_LIMITED);
    EXPECT_EQ(fate(UINT64_C(1000000000)), VERDICT_STORE);
}

TEST(RulesEngine, ConditionsSeeTheRecordAsItCame)
{
    SourceBuilder b;
    struct rule_source &first = b.Rule(b.Match("pin=[0-9]+"));
    first.goes_on = true;
    first.action.redact_pattern = "[0-9]";
    first.action.redact_field = b.Field(RULE_FIELD_VALUE);
    first.action.redact_with = '*';
    b.Route(b.All({b.Compare(RULE_TEST_NUMBER, RULE_ABOVE, 1, b.Field(RULE_FIELD_KEY)),
                   b.Match("pin=77")}),
            {5});
    const auto rules = b.Compile();
    Judge judge(rules.get());
    char value[] = "pin=77";
    char key[] = "12";
    struct record record = RecordOf("");
    record.value = bytes_of(value, 6);
    record.key = bytes_of(key, 2);

    EXPECT_EQ(TopicsOf(judge(record)), Topics{5});
    EXPECT_STREQ(value, "pin=**");
}

TEST(RulesEngine, SetsTheKeyAndAddsHeaders)
{
    SourceBuilder b;
    struct rule_source &rule = b.Rule(b.Match("user"));
    rule.action.sets_key = true;
    rule.action.key_field = b.Field(RULE_FIELD_JSON, ".user");
    rule.action.header_count = 1;
    rule.action.headers[0] = {b.Bytes("team"), b.Bytes("red")};
    const auto rules = b.Compile();
    Judge judge(rules.get());
    const std::string plain = R"({"user":"ann"})";
    const std::string escaped = R"({"user":"a\u006en"})";
    struct record first = RecordOf(plain);
    struct record second = RecordOf(escaped);

    judge(first);
    EXPECT_TRUE(bytes_equal_text(first.key, "ann"));
    ASSERT_EQ(first.header_count, 1);
    EXPECT_TRUE(bytes_equal_text(first.headers[0].name, "team"));
    EXPECT_TRUE(bytes_equal_text(first.headers[0].value, "red"));
    judge(second);
    EXPECT_TRUE(bytes_equal_text(second.key, "ann"));
}

TEST(RulesEngine, AKeyThatIsSetShowsNothingThatWasRedacted)
{
    SourceBuilder b;
    struct rule_source &rule = b.Rule(b.Match("user"));
    rule.action.redact_pattern = "secret";
    rule.action.redact_field = b.Field(RULE_FIELD_VALUE);
    rule.action.redact_with = 'x';
    rule.action.sets_key = true;
    rule.action.key_field = b.Field(RULE_FIELD_JSON, ".user");
    b.Rule(b.Match("nothing", b.Field(RULE_FIELD_JSON, ".user"))); // read before the redaction
    const auto rules = b.Compile();
    std::string value = R"({"user":"\u0061secret"})";
    struct record record = RecordOf(value);

    Judge judge(rules.get());
    judge(record);

    EXPECT_TRUE(bytes_equal_text(record.key, "axxxxxx"));
}

TEST(RulesEngine, ARecordWithAllTheHeadersThereCanBeGetsNone)
{
    SourceBuilder b;
    struct rule_source &rule = b.Rule(b.Match("a"));
    rule.action.header_count = 1;
    rule.action.headers[0] = {b.Bytes("team"), b.Bytes("red")};
    const auto rules = b.Compile();
    struct rule_counts counts = {};
    struct rule_scratch_options options = Judge::Options();
    options.counts = &counts;
    Judge judge(rules.get(), options);
    const std::vector<struct record_header> headers(
        RECORD_HEADERS_MAX, {bytes_of_text("name"), bytes_of_text("value")});
    struct record record = RecordOf("");
    record.value = bytes_of_text("a");
    record.headers = headers.data();
    record.header_count = RECORD_HEADERS_MAX;
    struct record one_less = record;
    one_less.header_count = RECORD_HEADERS_MAX - 1;

    judge(record);
    EXPECT_EQ(record.header_count, RECORD_HEADERS_MAX);
    EXPECT_EQ(counts.headers_full, 1U);
    judge(one_less);
    EXPECT_EQ(one_less.header_count, RECORD_HEADERS_MAX);
    EXPECT_TRUE(bytes_equal_text(one_less.headers[RECORD_HEADERS_MAX - 1].name, "team"));
    EXPECT_EQ(counts.headers_full, 1U);
}

TEST(RulesEngine, ShowsTheFirstExamplesAndThenOneIn256)
{
    SourceBuilder b;
    b.Route(b.Match("a"), {1});
    b.source.example_count = 4;
    const auto rules = b.Compile();
    size_t examples = 0;
    struct rule_scratch_options options = Judge::Options();
    options.context = &examples;
    options.on_example = [](void *context, size_t, const struct record *) {
        ++*static_cast<size_t *>(context);
    };
    Judge judge(rules.get(), options);

    for (int i = 0; i < 1024; i++) { judge("a"); }

    EXPECT_EQ(examples, 16U + 3U);
}

// --------------------------------------------------------------------------------- storms

SourceBuilder StormRules(uint32_t matches_max)
{
    SourceBuilder b({{false, 1, {9}}});
    for (int i = 0; i < 10; i++) {
        b.Route(b.Match(std::string(1, static_cast<char>('a' + i))), {1});
    }
    b.source.limits.matches_max = matches_max;
    return b;
}

TEST(RulesEngine, InAStormNoRuleDecides)
{
    SourceBuilder b = StormRules(/*matches_max=*/4);
    const auto rules = b.Compile();
    Judge judge(rules.get());

    const struct verdict calm = judge("abcd");
    const struct verdict storm = judge("abcde");
    const struct verdict behind = judge("d");

    EXPECT_EQ(calm.rule, 0);
    EXPECT_EQ(storm.rule, RULES_NONE);
    EXPECT_EQ(TopicsOf(storm), Topics{9});
    EXPECT_EQ(behind.rule, 3); // nothing of the storm is left over
    EXPECT_EQ(judge.Totals().storms, 1U);
    EXPECT_EQ(judge.Totals().judged, 3U);
}

// ---------------------------------------------------------------------------- many rules

TEST(RulesEngine, TenThousandRulesAreFoundEachByItsOwnText)
{
    SourceBuilder b;
    for (int i = 0; i < 10000; i++) {
        b.Route(b.Match("<id " + std::to_string(i) + ">"), {static_cast<uint16_t>(i)});
    }
    const auto rules = b.Compile();
    ASSERT_NE(rules, nullptr) << testing::PrintToString(b.errors);
    Judge judge(rules.get());

    for (int i = 0; i < 10000; i += 37) {
        EXPECT_EQ(judge("x <id " + std::to_string(i) + "> y").rule, i);
    }
    EXPECT_EQ(judge("<id 9999> <id 63> <id 64>").rule, 63);
}

// ---------------------------------------------------- random trees against a naive evaluator

class Random {
  public:
    explicit Random(uint32_t seed) : random_(seed) {}
    size_t Below(size_t limit) { return random_() % limit; }
    bool OneIn(size_t count) { return Below(count) == 0; }
    template <typename T> const T &Of(const std::vector<T> &items)
    {
        return items[Below(items.size())];
    }

  private:
    std::mt19937 random_;
};

const std::vector<std::string> kWords = {"a", "b", "ab", "ba", "7", "12", "-3", "abc", ""};
const std::vector<std::string> kHeaders = {"h0", "h1", "h2"};
const std::vector<std::string> kAddresses = {"::ffff:10.1.2.3", "::ffff:10.1.2.4", "2001:db8::5",
                                             "::ffff:192.0.2.1"};

// A record and what its fields hold, kept apart from the engine's way to find them.
struct Sample {
    std::string value;
    bool has_key = false;
    std::string key;
    std::vector<std::pair<std::string, std::string>> headers;
    uint16_t listener = 0;
    std::string source;
    bool is_json = false;
    std::string json;
};

std::string RandomText(Random &random)
{
    std::string out;
    for (size_t i = random.Below(4); i > 0; i--) { out += random.Of(kWords); }
    return out;
}

Sample RandomSample(Random &random)
{
    Sample out;
    out.is_json = random.OneIn(3);
    if (out.is_json) {
        out.json = RandomText(random);
        out.value = "{\"m\":\"" + out.json + "\"}";
    } else {
        out.value = RandomText(random);
    }
    out.has_key = random.OneIn(2);
    out.key = RandomText(random);
    for (size_t i = random.Below(4); i > 0; i--) {
        out.headers.emplace_back(random.Of(kHeaders), RandomText(random));
    }
    out.listener = static_cast<uint16_t>(random.Below(3));
    if (random.OneIn(2)) { out.source = random.Of(kAddresses); }
    return out;
}

// False: the field is not there.
bool Content(const Sample &sample, const struct rule_field &field, std::string *out)
{
    static const char *const listeners[] = {"lines:5140", "syslog:514", "native:4650"};
    const std::string name(reinterpret_cast<const char *>(field.name.at), field.name.len_bytes);
    switch (field.kind) {
    case RULE_FIELD_VALUE: *out = sample.value; return true;
    case RULE_FIELD_KEY: *out = sample.key; return sample.has_key;
    case RULE_FIELD_LISTENER: *out = listeners[sample.listener]; return true;
    case RULE_FIELD_JSON: *out = sample.json; return sample.is_json;
    case RULE_FIELD_SOURCE: *out = sample.source; return !sample.source.empty();
    case RULE_FIELD_HEADER: break;
    }
    for (const auto &[header, value] : sample.headers) {
        if (header != name) { continue; }
        *out = value;
        return true;
    }
    return false;
}

// '^', a literal, '$': nothing else is in these patterns.
bool Finds(std::string pattern, const std::string &text)
{
    const bool begins = pattern.front() == '^';
    const bool ends = pattern.back() == '$';
    pattern = pattern.substr(begins ? 1 : 0, pattern.size() - (begins ? 1 : 0) - (ends ? 1 : 0));
    if (begins && ends) { return text == pattern; }
    if (begins) { return text.compare(0, pattern.size(), pattern) == 0; }
    if (ends) {
        return text.size() >= pattern.size() &&
               text.compare(text.size() - pattern.size(), pattern.size(), pattern) == 0;
    }
    return text.find(pattern) != std::string::npos;
}

bool Compares(enum rule_comparison comparison, double left, double right)
{
    return (comparison == RULE_BELOW && left < right) ||
           (comparison == RULE_AT_MOST && left <= right) ||
           (comparison == RULE_AT_LEAST && left >= right) ||
           (comparison == RULE_ABOVE && left > right);
}

bool IsNumber(const std::string &text, double *out)
{
    char *end = nullptr;
    *out = std::strtod(text.c_str(), &end);
    return !text.empty() && *end == '\0'; // these texts have letters a to c, digits and '-'
}

bool LiesIn(const struct rule_network &network, const std::string &source)
{
    uint8_t address[16];
    inet_pton(AF_INET6, source.c_str(), address);
    for (size_t bit = 0; bit < network.prefix_bits; bit++) {
        const int mask = 0x80 >> (bit % 8);
        if ((address[bit / 8] & mask) != (network.address[bit / 8] & mask)) { return false; }
    }
    return true;
}

bool TestHolds(const struct rule_condition &test, const Sample &sample)
{
    std::string content;
    double number = 0;
    if (!Content(sample, test.field, &content)) { return false; }
    switch (test.test) {
    case RULE_TEST_MATCH: return Finds(test.pattern, content);
    case RULE_TEST_EQUALS:
        return content ==
               std::string(reinterpret_cast<const char *>(test.literal.at), test.literal.len_bytes);
    case RULE_TEST_PRESENT: return true;
    case RULE_TEST_NUMBER:
        return IsNumber(content, &number) && Compares(test.comparison, number, test.number);
    case RULE_TEST_SIZE:
        return Compares(test.comparison, static_cast<double>(content.size()), test.number);
    case RULE_TEST_NETWORK: return LiesIn(test.network, sample.source);
    }
    return false;
}

bool Holds(const struct rule_condition &condition, const Sample &sample)
{
    if (condition.kind == RULE_CONDITION_TEST) { return TestHolds(condition, sample); }
    if (condition.kind == RULE_CONDITION_NOT) { return !Holds(condition.children[0], sample); }
    size_t holding = 0;
    for (size_t i = 0; i < condition.child_count; i++) {
        holding += Holds(condition.children[i], sample) ? 1 : 0;
    }
    return condition.kind == RULE_CONDITION_ALL ? holding == condition.child_count : holding > 0;
}

struct rule_condition RandomTest(Random &random, SourceBuilder &b)
{
    const std::vector<struct rule_field> fields = {
        b.Field(RULE_FIELD_VALUE),      b.Field(RULE_FIELD_VALUE),
        b.Field(RULE_FIELD_KEY),        b.Field(RULE_FIELD_HEADER, random.Of(kHeaders)),
        b.Field(RULE_FIELD_JSON, ".m"), b.Field(RULE_FIELD_LISTENER)};
    const struct rule_field field = random.Of(fields);
    const auto comparison = static_cast<enum rule_comparison>(random.Below(4));
    switch (random.Below(8)) {
    case 0: return b.Equals(RandomText(random), field);
    case 1: return b.Test(RULE_TEST_PRESENT, field);
    case 2:
        return b.Compare(RULE_TEST_NUMBER, comparison, static_cast<double>(random.Below(14)),
                         field);
    case 3:
        return b.Compare(RULE_TEST_SIZE, comparison, static_cast<double>(random.Below(8)), field);
    case 4: {
        const std::string &address = random.Of(kAddresses);
        return b.Network(address, static_cast<uint8_t>(random.Below(129)));
    }
    default: break;
    }
    static const std::vector<std::string> literals = {"a",   "b",      "ab",  "12",
                                                      "abc", "syslog", "5140"};
    return b.Match(
        (random.OneIn(4) ? "^" : "") + random.Of(literals) + (random.OneIn(4) ? "$" : ""), field);
}

struct rule_condition RandomTree(Random &random, SourceBuilder &b, size_t depth)
{
    if (depth == 0 || random.OneIn(3)) { return RandomTest(random, b); }
    const size_t kind = random.Below(3);
    if (kind == 0) { return b.Not(RandomTree(random, b, depth - 1)); }
    std::vector<struct rule_condition> children;
    for (size_t i = 1 + random.Below(4); i > 0; i--) {
        children.push_back(RandomTree(random, b, depth - 1));
    }
    return kind == 1 ? b.All(children) : b.Any(children);
}

void AddRandomRule(Random &random, SourceBuilder &b)
{
    const struct rule_condition when = RandomTree(random, b, random.Below(5));
    if (random.OneIn(3)) {
        b.Drop(when).shadow = random.OneIn(3);
        return;
    }
    struct rule_source &rule = b.Route(when, {static_cast<uint16_t>(random.Below(7))});
    rule.goes_on = !random.OneIn(3);
    rule.shadow = random.OneIn(5);
}

struct Expected {
    uint8_t fate = VERDICT_STORE;
    Topics topics;
    int32_t rule = RULES_NONE;
    Indexes matched;
};

Expected Naive(const std::deque<struct rule_source> &rules, const Sample &sample)
{
    Expected out;
    for (size_t i = 0; i < rules.size(); i++) {
        const struct rule_source &rule = rules[i];
        if (!Holds(rule.when, sample)) { continue; }
        out.matched.push_back(static_cast<int32_t>(i));
        if (rule.shadow) { continue; }
        out.rule = static_cast<int32_t>(i);
        if (rule.action.drop) {
            out.fate = VERDICT_DROP;
            out.topics.clear();
            return out;
        }
        const uint16_t topic = rule.action.topics[0];
        if (std::find(out.topics.begin(), out.topics.end(), topic) == out.topics.end()) {
            out.topics.push_back(topic);
        }
        if (!rule.goes_on) { break; }
    }
    if (out.topics.empty()) { out.topics = {static_cast<uint16_t>(100 + sample.listener)}; }
    return out;
}

void ExpectAgreement(const SourceBuilder &b, Judge &judge, const Sample &sample)
{
    std::vector<struct record_header> headers;
    for (const auto &[name, value] : sample.headers) {
        headers.push_back(
            {bytes_of(name.data(), name.size()), bytes_of(value.data(), value.size())});
    }
    struct record record = RecordOf(sample.value);
    if (sample.has_key) { record.key = bytes_of(sample.key.data(), sample.key.size()); }
    record.headers = headers.data();
    record.header_count = static_cast<uint16_t>(headers.size());
    record.listener = sample.listener;
    if (!sample.source.empty()) { inet_pton(AF_INET6, sample.source.c_str(), record.source); }

    const struct verdict verdict = judge(record);

    const Expected expected = Naive(b.rules(), sample);
    EXPECT_EQ(verdict.fate, expected.fate) << sample.value;
    EXPECT_EQ(TopicsOf(verdict), expected.topics) << sample.value;
    EXPECT_EQ(verdict.rule, expected.rule) << sample.value;
    EXPECT_EQ(judge.Matched(), expected.matched) << sample.value;
}

class RulesEngineRandom : public testing::TestWithParam<uint32_t> {};

TEST_P(RulesEngineRandom, TreesAgreeWithANaiveEvaluator)
{
    Random random(GetParam());
    SourceBuilder b({{false, 1, {100}}, {false, 1, {101}}, {false, 1, {102}}});
    for (size_t i = 1 + random.Below(150); i > 0; i--) { AddRandomRule(random, b); }
    const auto rules = b.Compile();
    ASSERT_NE(rules, nullptr) << testing::PrintToString(b.errors);
    Judge judge(rules.get());

    for (int i = 0; i < 500 && !HasFailure(); i++) {
        ExpectAgreement(b, judge, RandomSample(random));
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RulesEngineRandom, testing::Range(1U, 31U));

} // namespace
