#include "tools/trial_input.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace {

std::string TextOf(struct bytes bytes)
{
    if (bytes_are_null(bytes)) { return "(null)"; }
    return {reinterpret_cast<const char *>(bytes.at), bytes.len_bytes};
}

// A world of two topics and the usual listeners, and one format.
class TrialInput : public testing::Test {
  protected:
    TrialInput()
    {
        static const char rules[] =
            "rules: [{ name: a, when: x, do: { route: [events, audit] } }]\n"
            "default: drop\n";
        candidate_world_init(&world_, nullptr, rules, sizeof rules - 1, "lines:9");
    }
    ~TrialInput() override
    {
        trial_input_destroy(input_);
        candidate_world_deinit(&world_);
    }
    void Open(enum trial_format format)
    {
        struct trial_input_options options = {};
        options.format = format;
        options.world = &world_;
        options.syslog_value = -1;
        char error[256];
        input_ = trial_input_create(&options, error, sizeof error);
        ASSERT_NE(input_, nullptr) << error;
    }
    // What is wrong with it; "": nothing.
    std::string Decode(const std::string &text)
    {
        text_ = text;
        const char *const wrong =
            trial_input_decode(input_, bytes_of(text_.data(), text_.size()), &record_);
        return wrong == nullptr ? "" : wrong;
    }
    const struct record &Record() const { return record_.record; }

    struct candidate_world world_ = {};
    struct trial_input *input_ = nullptr;
    struct trial_record record_ = {};
    std::string text_;
};

TEST_F(TrialInput, ALineIsAValueOfAnyBytes)
{
    Open(TRIAL_LINES);

    EXPECT_EQ(Decode(std::string("a\0\xff", 3)), "");

    EXPECT_EQ(TextOf(Record().value), std::string("a\0\xff", 3));
    EXPECT_TRUE(bytes_are_null(Record().key));
    EXPECT_EQ(Record().topic, RECORD_NO_TOPIC);
    EXPECT_STREQ(world_.listeners[Record().listener], "lines:5140");
}

TEST_F(TrialInput, ADatagramHasItsHeaders)
{
    Open(TRIAL_SYSLOG);

    EXPECT_EQ(Decode("<12>1 2026-01-01T00:00:00Z host app - - - text"), "");

    ASSERT_GE(Record().header_count, 5);
    EXPECT_EQ(TextOf(Record().headers[1].name), "syslog.severity");
    EXPECT_EQ(TextOf(Record().headers[1].value), "4");
    EXPECT_STREQ(world_.listeners[Record().listener], "syslog:514");
}

TEST_F(TrialInput, AnObjectNamesEverything)
{
    Open(TRIAL_NDJSON);

    EXPECT_EQ(Decode(R"({"value":"v\u0000","key_base64":"/w==","topic":"audit","timestamp":5,)"
                     R"("headers":[{"name":"h","value":"1"},{"name":"n","value":null}],)"
                     R"("source":"192.0.2.1","listener":"lines:9"})"),
              "");

    EXPECT_EQ(TextOf(Record().value), std::string("v\0", 2));
    EXPECT_EQ(TextOf(Record().key), "\xff");
    EXPECT_EQ(Record().topic, 1);
    EXPECT_TRUE(record_.has_timestamp);
    EXPECT_EQ(TextOf(Record().headers[0].value), "1");
    EXPECT_TRUE(bytes_are_null(Record().headers[1].value));
    EXPECT_STREQ(world_.listeners[Record().listener], "lines:9");
    char text[TRIAL_ADDRESS_BYTES];
    EXPECT_STREQ(trial_address_text(Record().source, text), "192.0.2.1");
}

TEST_F(TrialInput, AnObjectThatIsNoRecordIsRefusedWithAReason)
{
    Open(TRIAL_NDJSON);

    EXPECT_EQ(Decode("{}"), "neither value nor value_base64");
    EXPECT_EQ(Decode("[]"), "not an object");
    EXPECT_EQ(Decode(R"({"value":"v","valeu":"v"})"), "no member of a record: 'valeu'");
    EXPECT_EQ(Decode(R"({"value":"v","source":"192.0.2"})"), "source is no IPv4 or IPv6 address");
    EXPECT_EQ(Decode(R"({"value":"v","source":1})"), "source is no IPv4 or IPv6 address");
    EXPECT_EQ(Decode(R"({"value":"v","listener":"lines:1"})"),
              "no listener 'lines:1' in the configuration");
    EXPECT_EQ(Decode(R"({"value":"v","topic":"none"})"), "no topic 'none' in the configuration");
    EXPECT_EQ(Decode(R"({"value":"v","value":"w"})").rfind("no JSON object", 0), 0U);
    EXPECT_EQ(Decode("nonsense").rfind("no JSON object", 0), 0U);
}

TEST_F(TrialInput, AddressesOfBothKindsComeBack)
{
    char text[TRIAL_ADDRESS_BYTES];
    uint8_t address[16];

    ASSERT_TRUE(trial_address_parse("2001:db8::1", address));
    EXPECT_STREQ(trial_address_text(address, text), "2001:db8::1");
    ASSERT_TRUE(trial_address_parse("::ffff:10.0.0.1", address));
    EXPECT_STREQ(trial_address_text(address, text), "10.0.0.1");
    EXPECT_FALSE(trial_address_parse("host", address));
}

} // namespace
