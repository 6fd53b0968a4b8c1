#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/decode.h"

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Decoded {
    enum syslog_result result;
    Fields fields; // names without "syslog.", in order
    std::string value;
};

// On an exact-size block: the address sanitizer sees one byte too far.
Decoded Decode(const std::string &datagram, enum syslog_value value = SYSLOG_VALUE_PARSED)
{
    auto exact = std::make_unique<uint8_t[]>(datagram.size());
    std::copy(datagram.begin(), datagram.end(), exact.get());
    struct record_header headers[RECORD_HEADERS_MAX];
    struct record record = {};
    Decoded out = {
        decode_syslog(bytes_of(exact.get(), datagram.size()), value, headers, &record), {}, ""};
    for (size_t i = 0; i < record.header_count; i++) {
        const std::string name(reinterpret_cast<const char *>(headers[i].name.at),
                               headers[i].name.len_bytes);
        out.fields.emplace_back(name.substr(std::string("syslog.").size()),
                                std::string(reinterpret_cast<const char *>(headers[i].value.at),
                                            headers[i].value.len_bytes));
    }
    out.value.assign(reinterpret_cast<const char *>(record.value.at), record.value.len_bytes);
    return out;
}

Fields WithoutPriority(const Fields &fields) { return Fields(fields.begin() + 2, fields.end()); }

struct Line {
    const char *name;
    std::string datagram;
    enum syslog_result result;
    Fields fields; // facility and severity aside
    std::string message;
};

// The name only: test reports are XML, and a datagram is any bytes.
void PrintTo(const Line &line, std::ostream *out) { *out << line.name; }

class SyslogLine : public testing::TestWithParam<Line> {};

TEST_P(SyslogLine, IsReadAsItsSenderMeantIt)
{
    const Decoded decoded = Decode(GetParam().datagram);

    EXPECT_EQ(decoded.result, GetParam().result);
    EXPECT_EQ(WithoutPriority(decoded.fields), GetParam().fields);
    EXPECT_EQ(decoded.value, GetParam().message);
}

std::string NameOf(const testing::TestParamInfo<Line> &info) { return info.param.name; }

const Line rfc5424_lines[] = {
    {"NoStructuredDataAndABom",
     "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' "
     "failed "
     "for lonvick on /dev/pts/8",
     SYSLOG_RFC5424,
     {{"version", "1"},
      {"timestamp", "2003-10-11T22:14:15.003Z"},
      {"hostname", "mymachine.example.com"},
      {"app", "su"},
      {"msgid", "ID47"}},
     "'su root' failed for lonvick on /dev/pts/8"},
    {"OffsetInsteadOfZ",
     "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the "
     "do-nuts.",
     SYSLOG_RFC5424,
     {{"version", "1"},
      {"timestamp", "2003-08-24T05:14:15.000003-07:00"},
      {"hostname", "192.0.2.1"},
      {"app", "myproc"},
      {"procid", "8710"}},
     "%% It's time to make the do-nuts."},
    {"StructuredDataWithMessage",
     "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut=\"3\" "
     "eventID=\"1011\"] An event",
     SYSLOG_RFC5424,
     {{"version", "1"},
      {"timestamp", "2003-10-11T22:14:15.003Z"},
      {"hostname", "h"},
      {"app", "evntslog"},
      {"msgid", "ID47"},
      {"sd", "[exampleSDID@32473 iut=\"3\" eventID=\"1011\"]"}},
     "An event"},
    {"TwoElementsAndNoMessage",
     "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 x=\"1\"][b@2 class=\"high\"]",
     SYSLOG_RFC5424,
     {{"version", "1"},
      {"timestamp", "2003-10-11T22:14:15.003Z"},
      {"hostname", "h"},
      {"app", "evntslog"},
      {"msgid", "ID47"},
      {"sd", "[a@1 x=\"1\"][b@2 class=\"high\"]"}},
     ""},
    {"EscapesInStructuredData",
     "<13>1 - h a - - [x k=\"q\\\" b\\\\ c\\] end\"] m",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"app", "a"}, {"sd", "[x k=\"q\\\" b\\\\ c\\] end\"]"}},
     "m"},
    {"BareBracketInAValue",
     "<13>1 - h a - - [x k=\"a]b\"] m",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"app", "a"}, {"sd", "[x k=\"a]b\"]"}},
     "m"},
    {"EverythingNil", "<14>1 - - - - - -", SYSLOG_RFC5424, {{"version", "1"}}, ""},
    {"ElementWithoutParameters",
     "<14>1 - h - - - [timeQuality] m",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"sd", "[timeQuality]"}},
     "m"},
    {"UnterminatedStructuredDataIsMessage",
     "<14>1 - h a 1 - [x k=\"v",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"app", "a"}, {"procid", "1"}},
     "[x k=\"v"},
    {"StructuredDataEndsInABackslash",
     "<14>1 - h a 1 - [x k=\"v\\",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"app", "a"}, {"procid", "1"}},
     "[x k=\"v\\"},
    {"NoSpaceBehindStructuredDataIsMessage",
     "<14>1 - h a - - [x]m",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"app", "a"}},
     "[x]m"},
    {"MissingStructuredDataIsMessage",
     "<14>1 2024-03-01T12:00:00Z h a 1 m hello",
     SYSLOG_RFC5424,
     {{"version", "1"},
      {"timestamp", "2024-03-01T12:00:00Z"},
      {"hostname", "h"},
      {"app", "a"},
      {"procid", "1"},
      {"msgid", "m"}},
     "hello"},
    {"CutOffBehindTheHostname",
     "<14>1 2024-03-01T12:00:00Z edge-sw1",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"timestamp", "2024-03-01T12:00:00Z"}, {"hostname", "edge-sw1"}},
     ""},
    {"TrailingNewlineIsNoPartOfTheMessage",
     "<14>1 - h a - - - m\n",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"app", "a"}},
     "m"},
    {"LoneNilStructuredDataThenNewline",
     "<14>1 - h a - - -\n",
     SYSLOG_RFC5424,
     {{"version", "1"}, {"hostname", "h"}, {"app", "a"}},
     ""},
};
INSTANTIATE_TEST_SUITE_P(Rfc5424, SyslogLine, testing::ValuesIn(rfc5424_lines), NameOf);

const Line rfc3164_lines[] = {
    {"TheExampleOfTheRfc",
     "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
     SYSLOG_RFC3164,
     {{"timestamp", "Oct 11 22:14:15"}, {"hostname", "mymachine"}, {"app", "su"}},
     "'su root' failed for lonvick on /dev/pts/8"},
    {"OpensshWithPid",
     "<38>Mar  1 12:00:00 bastion sshd[2211]: Accepted publickey for root",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"},
      {"hostname", "bastion"},
      {"app", "sshd"},
      {"procid", "2211"}},
     "Accepted publickey for root"},
    {"LocalSocketHasNoHostname",
     "<86>Mar  1 12:00:00 sshd[2211]: session opened",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"app", "sshd"}, {"procid", "2211"}},
     "session opened"},
    {"DayWithoutPadding",
     "<13>Mar 1 12:00:00 host app: m",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar 1 12:00:00"}, {"hostname", "host"}, {"app", "app"}},
     "m"},
    {"DayWithAZero",
     "<13>Mar 01 12:00:00 host app: m",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar 01 12:00:00"}, {"hostname", "host"}, {"app", "app"}},
     "m"},
    {"PostfixTagWithASlash",
     "<22>Mar 11 12:00:00 mx1 postfix/smtpd[901]: connect from unknown[192.0.2.7]",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar 11 12:00:00"},
      {"hostname", "mx1"},
      {"app", "postfix/smtpd"},
      {"procid", "901"}},
     "connect from unknown[192.0.2.7]"},
    {"KernelWithItsOwnClock",
     "<6>Mar  1 12:00:00 node7 kernel: [12345.678901] eth0: link up",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "node7"}, {"app", "kernel"}},
     "[12345.678901] eth0: link up"},
    {"TagWithPidAndNoColon",
     "<13>Mar  1 12:00:00 host app[7] message",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "host"}, {"app", "app"}, {"procid", "7"}},
     "message"},
    {"TagEndedByASpace",
     "<13>Feb  5 17:32:18 10.0.0.99 myproc Use the BFG!",
     SYSLOG_RFC3164,
     {{"timestamp", "Feb  5 17:32:18"}, {"hostname", "10.0.0.99"}, {"app", "myproc"}},
     "Use the BFG!"},
    {"CronWithParenthesesInTheMessage",
     "<78>Mar  1 12:00:01 host CRON[77]: (root) CMD (true)",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:01"}, {"hostname", "host"}, {"app", "CRON"}, {"procid", "77"}},
     "(root) CMD (true)"},
    {"CiscoSequenceNumberAndUnsetClock",
     "<189>29: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured from console by vty2",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 18:46:11.123 UTC"}, {"app", "%SYS-5-CONFIG_I"}},
     "Configured from console by vty2"},
    {"CiscoTwoSequenceNumbers",
     "<189>45: 000123: .Mar  1 2024 18:46:11: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 2024 18:46:11"}, {"app", "%LINK-3-UPDOWN"}},
     "Interface Gi0/1, changed state to up"},
    {"CiscoWithOriginId",
     "<189>29: R1: *Mar  1 18:46:11.123: %SYS-5-CONFIG_I: Configured",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 18:46:11.123"}, {"hostname", "R1"}, {"app", "%SYS-5-CONFIG_I"}},
     "Configured"},
    {"CiscoWithoutTimestamps",
     "<189>29: %SYS-5-CONFIG_I: Configured from console",
     SYSLOG_RFC3164,
     {{"app", "%SYS-5-CONFIG_I"}},
     "Configured from console"},
    {"NxosYearInFront",
     "<189>: 2024 Mar  1 12:00:00.123 CET: %ETHPORT-5-IF_UP: Interface Ethernet1/1 is up",
     SYSLOG_RFC3164,
     {{"timestamp", "2024 Mar  1 12:00:00.123 CET"}, {"app", "%ETHPORT-5-IF_UP"}},
     "Interface Ethernet1/1 is up"},
    {"AsaWithYear",
     "<166>Mar 01 2024 12:00:00: %ASA-6-302013: Built outbound TCP connection 1",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar 01 2024 12:00:00"}, {"app", "%ASA-6-302013"}},
     "Built outbound TCP connection 1"},
    {"AsaWithDeviceId",
     "<166>Mar 01 2024 12:00:00 asa1 : %ASA-6-302013: Built",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar 01 2024 12:00:00"}, {"hostname", "asa1"}, {"app", "%ASA-6-302013"}},
     "Built"},
    {"HostnameWithAColonBeforeAMnemonic",
     "<189>Mar  1 12:00:00 sw1: %LINK-3-UPDOWN: down",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "sw1"}, {"app", "%LINK-3-UPDOWN"}},
     "down"},
    {"EsxiRfc3339WithoutVersion",
     "<166>2024-03-01T12:00:00.123Z esx1.example Hostd: info hostd[2099] done",
     SYSLOG_RFC3164,
     {{"timestamp", "2024-03-01T12:00:00.123Z"}, {"hostname", "esx1.example"}, {"app", "Hostd"}},
     "info hostd[2099] done"},
    {"Rfc3339WithoutZone",
     "<30>2024-03-01T12:00:00 box daemon[5]: m",
     SYSLOG_RFC3164,
     {{"timestamp", "2024-03-01T12:00:00"},
      {"hostname", "box"},
      {"app", "daemon"},
      {"procid", "5"}},
     "m"},
    {"OpenwrtCtime",
     "<30>Fri Mar  1 12:00:00 2024 dnsmasq[1234]: query[A] example.com",
     SYSLOG_RFC3164,
     {{"timestamp", "Fri Mar  1 12:00:00 2024"}, {"app", "dnsmasq"}, {"procid", "1234"}},
     "query[A] example.com"},
    {"Ipv6Hostname",
     "<13>Mar  1 12:00:00 2001:db8::7 app: m",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "2001:db8::7"}, {"app", "app"}},
     "m"},
    {"JuniperStructuredTag",
     "<28>Mar  1 12:00:00 router1 mgd[123]: UI_COMMIT: User 'root' requested 'commit'",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "router1"}, {"app", "mgd"}, {"procid", "123"}},
     "UI_COMMIT: User 'root' requested 'commit'"},
    {"CefStaysWhole",
     "<134>Mar  1 12:00:00 fw CEF:0|Vendor|Product|1|100|x|5|src=192.0.2.1",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "fw"}},
     "CEF:0|Vendor|Product|1|100|x|5|src=192.0.2.1"},
    {"PaloAltoCsvStaysWhole",
     "<14>Mar  1 12:00:00 pa-220 1,2024/03/01 12:00:00,0123,TRAFFIC",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "pa-220"}},
     "1,2024/03/01 12:00:00,0123,TRAFFIC"},
    {"FortinetHasNoHeaderAtAll",
     "<189>date=2024-03-01 time=12:00:00 devname=\"FG100\"",
     SYSLOG_RFC3164,
     {},
     "date=2024-03-01 time=12:00:00 devname=\"FG100\""},
    {"MikrotikTopics",
     "<30>system,info,account user admin logged in",
     SYSLOG_RFC3164,
     {},
     "system,info,account user admin logged in"},
    {"ProcurveSpaceBehindThePriority",
     "<14> Mar  1 12:00:00 10.0.0.1 00077 ports: port 1 is now on-line",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "10.0.0.1"}},
     "00077 ports: port 1 is now on-line"},
    {"TagAndNothingElse", "<13>app: hello", SYSLOG_RFC3164, {{"app", "app"}}, "hello"},
    {"TagBeforeATimestampInTheMessage",
     "<13>app: 2024-03-01T12:00:00Z started",
     SYSLOG_RFC3164,
     {{"app", "app"}},
     "2024-03-01T12:00:00Z started"},
    {"WordsWithoutATimestampAreAllMessage", "<13>Use the BFG!", SYSLOG_RFC3164, {}, "Use the BFG!"},
    {"UrlIsNoTag", "<13>http://example.com/x", SYSLOG_RFC3164, {}, "http://example.com/x"},
    {"ANumberAndAColonAreAMessage",
     "<13>42: the answer",
     SYSLOG_RFC3164,
     {{"app", "42"}},
     "the answer"},
    {"OneWordBehindTheTimestampIsTheMessage",
     "<13>Mar  1 12:00:00 hello",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}},
     "hello"},
    {"NothingBehindTheTimestamp",
     "<13>Mar  1 12:00:00",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}},
     ""},
    {"NothingBehindThePriority", "<13>", SYSLOG_RFC3164, {}, ""},
    {"TagAtTheEnd",
     "<13>Mar  1 12:00:00 host app:",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "host"}, {"app", "app"}},
     ""},
    {"PidCutOffIsNoTag",
     "<13>Mar  1 12:00:00 host app[12",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "host"}},
     "app[12"},
    {"EmptyPid",
     "<13>Mar  1 12:00:00 host app[]: m",
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "host"}, {"app", "app"}},
     "m"},
    {"ImpossibleTimeIsNoTimestamp",
     "<13>Mar  1 25:00:00 host app: m",
     SYSLOG_RFC3164,
     {},
     "Mar  1 25:00:00 host app: m"},
    {"ImpossibleDayIsNoTimestamp",
     "<13>Mar 32 12:00:00 host app: m",
     SYSLOG_RFC3164,
     {},
     "Mar 32 12:00:00 host app: m"},
    {"UnknownVersionIsNotRfc5424",
     "<13>2 2024-03-01T12:00:00Z h a - - - m",
     SYSLOG_RFC3164,
     {},
     "2 2024-03-01T12:00:00Z h a - - - m"},
    {"OneAndASpaceAreNotAVersionYet",
     "<13>1 is the loneliest number",
     SYSLOG_RFC3164,
     {},
     "1 is the loneliest number"},
    {"Rfc5424NeedsAZone",
     "<13>1 2024-03-01T12:00:00 h a - - - m",
     SYSLOG_RFC3164,
     {},
     "1 2024-03-01T12:00:00 h a - - - m"},
    {"InvalidUtf8AndNulStayInTheMessage",
     std::string("<13>Mar  1 12:00:00 host app: \xff\xfe\0x", 34),
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "host"}, {"app", "app"}},
     std::string("\xff\xfe\0x", 4)},
    {"TrailingNulIsNoPartOfTheMessage",
     std::string("<13>Mar  1 12:00:00 host app: m\0", 32),
     SYSLOG_RFC3164,
     {{"timestamp", "Mar  1 12:00:00"}, {"hostname", "host"}, {"app", "app"}},
     "m"},
};
INSTANTIATE_TEST_SUITE_P(Rfc3164, SyslogLine, testing::ValuesIn(rfc3164_lines), NameOf);

const Line lines_without_priority[] = {
    {"Missing",
     "Mar  1 12:00:00 host app: m",
     SYSLOG_NO_PRIORITY,
     {},
     "Mar  1 12:00:00 host app: m"},
    {"Empty", "<>m", SYSLOG_NO_PRIORITY, {}, "<>m"},
    {"OneAboveTheGreatest", "<192>m", SYSLOG_NO_PRIORITY, {}, "<192>m"},
    {"ThreeNines", "<999>m", SYSLOG_NO_PRIORITY, {}, "<999>m"},
    {"TwoToThe31", "<2147483648>m", SYSLOG_NO_PRIORITY, {}, "<2147483648>m"},
    {"TwentyDigits", "<00000000000000000013>m", SYSLOG_NO_PRIORITY, {}, "<00000000000000000013>m"},
    {"Negative", "<-13>m", SYSLOG_NO_PRIORITY, {}, "<-13>m"},
    {"NotClosed", "<13", SYSLOG_NO_PRIORITY, {}, "<13"},
    {"OnlyOpened", "<", SYSLOG_NO_PRIORITY, {}, "<"},
    {"NotANumber", "<1x>m", SYSLOG_NO_PRIORITY, {}, "<1x>m"},
    {"OctetCount",
     "33 <13>Mar  1 12:00:00 host app: m",
     SYSLOG_NO_PRIORITY,
     {},
     "33 <13>Mar  1 12:00:00 host app: m"},
    {"OnlyANewline", "\n", SYSLOG_NO_PRIORITY, {}, ""},
};
INSTANTIATE_TEST_SUITE_P(NoPriority, SyslogLine, testing::ValuesIn(lines_without_priority), NameOf);

TEST(DecodeSyslog, SplitsThePriorityInFacilityAndSeverity)
{
    EXPECT_EQ(Decode("<0>m").fields, (Fields{{"facility", "0"}, {"severity", "0"}}));
    EXPECT_EQ(Decode("<191>m").fields, (Fields{{"facility", "23"}, {"severity", "7"}}));
    EXPECT_EQ(Decode("<34>m").fields, (Fields{{"facility", "4"}, {"severity", "2"}}));
}

TEST(DecodeSyslog, WithoutAPriorityItIsUserNotice)
{
    EXPECT_EQ(Decode("m").fields, (Fields{{"facility", "1"}, {"severity", "5"}}));
}

TEST(DecodeSyslog, ARawValueIsTheDatagramByteForByte)
{
    const std::string datagram = "<13>1 - h a - - - \xef\xbb\xbfm\n";

    EXPECT_EQ(Decode(datagram, SYSLOG_VALUE_RAW).value, datagram);
    EXPECT_EQ(Decode(datagram, SYSLOG_VALUE_RAW).fields, Decode(datagram).fields);
}

TEST(DecodeSyslog, TakesOffOneEndMarkOnly)
{
    EXPECT_EQ(Decode("<13>app: m\n\n").value, "m\n");
    EXPECT_EQ(Decode("<13>app: m\r\n").value, "m\r");
}

TEST(DecodeSyslog, AnEmptyDatagramIsNoRecord) { EXPECT_EQ(Decode("").result, SYSLOG_EMPTY); }

TEST(DecodeSyslog, ReadsTheLargestDatagram)
{
    const std::string head = "<13>Mar  1 12:00:00 host app: ";
    const std::string datagram = head + std::string(65507 - head.size(), 'x');

    EXPECT_EQ(Decode(datagram).value.size(), 65507 - head.size());
}

TEST(DecodeSyslog, AWordTooLongForAHostnameOrATagIsMessage)
{
    const std::string word(256, 'h');

    EXPECT_EQ(Decode("<13>Mar  1 12:00:00 " + word + " m").value, word + " m");
    EXPECT_EQ(Decode("<13>" + word + ": m").value, word + ": m");
}

// Every prefix of every line above: nothing may be read behind it (the sanitizers look), and
// header and message together never outgrow it.
TEST_P(SyslogLine, CanBeCutAnywhere)
{
    for (size_t length = 1; length < GetParam().datagram.size(); length++) {
        const Decoded decoded = Decode(GetParam().datagram.substr(0, length));
        EXPECT_LE(decoded.value.size(), length);
        EXPECT_GE(decoded.fields.size(), 2U);
    }
}

TEST(SyslogNames, AreWhatTheRecordHeadersAreCalled)
{
    EXPECT_STREQ(syslog_field_name(SYSLOG_FIELD_FACILITY), "syslog.facility");
    EXPECT_STREQ(syslog_field_name(SYSLOG_FIELD_SD), "syslog.sd");
    EXPECT_STREQ(syslog_result_name(SYSLOG_NO_PRIORITY), "no-priority");
}

} // namespace
