"""Syslog: what devices send arrives as it came, its header fields beside it."""
import consuming
import rack
from appliance import PARSED_PORT, SYSLOG_PORT
from case import SharedApplianceTest

RFC5424 = (b'<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 8710 ID47 '
           b'[exampleSDID@32473 iut="3" eventSource="Application"] An application event log entry')
RFC5424_FIELDS = {
    "syslog.facility": b"20", "syslog.severity": b"5", "syslog.version": b"1",
    "syslog.timestamp": b"2003-10-11T22:14:15.003Z", "syslog.hostname": b"mymachine.example.com",
    "syslog.app": b"evntslog", "syslog.procid": b"8710", "syslog.msgid": b"ID47",
    "syslog.sd": b'[exampleSDID@32473 iut="3" eventSource="Application"]',
}
RFC3164 = b"<34>Oct 11 22:14:15 mymachine su[231]: 'su root' failed for lonvick on /dev/pts/8"
RFC3164_FIELDS = {
    "syslog.facility": b"4", "syslog.severity": b"2", "syslog.timestamp": b"Oct 11 22:14:15",
    "syslog.hostname": b"mymachine", "syslog.app": b"su", "syslog.procid": b"231",
}


class Syslog(SharedApplianceTest):
    def send(self, port, *payloads):
        """Sends, waits for the books, answers the records of topic syslog that are new."""
        old = len(consuming.values("syslog"))
        with rack.datagram_socket(port) as sender:
            for payload in payloads:
                sender.send(payload)
        self.assert_balanced(self.node.settled_ledger())
        one = consuming.consumer()
        try:
            partition = consuming.kafka.TopicPartition("syslog", 0)
            one.assign([partition])
            one.seek(partition, old)
            out = [next(one) for _ in payloads]
        finally:
            one.close()
        self.assertEqual([record.offset for record in out], list(range(old, old + len(payloads))))
        return out

    def test_rfc5424_header_fields_arrive_as_record_headers(self):
        (record,) = self.send(SYSLOG_PORT, RFC5424)

        self.assertEqual(record.value, RFC5424)
        self.assertEqual(dict(record.headers), RFC5424_FIELDS)

    def test_rfc3164_header_fields_arrive_as_record_headers(self):
        (record,) = self.send(SYSLOG_PORT, RFC3164)

        self.assertEqual(record.value, RFC3164)
        self.assertEqual(dict(record.headers), RFC3164_FIELDS)

    def test_kcat_prints_the_same_headers(self):
        (record,) = self.send(SYSLOG_PORT, RFC3164)

        text = consuming.kcat("-C", "-t", "syslog", "-p", "0", "-o", str(record.offset), "-c", "1", "-q", "-f", "%h")

        self.assertEqual(text, b",".join(b"%s=%s" % (name.encode(), value) for name, value in record.headers))

    def test_a_parsed_listener_stores_the_message_alone(self):
        new, old = self.send(PARSED_PORT, RFC5424, RFC3164)

        self.assertEqual(new.value, b"An application event log entry")
        self.assertEqual(dict(new.headers), RFC5424_FIELDS)
        self.assertEqual(old.value, b"'su root' failed for lonvick on /dev/pts/8")

    def test_what_has_no_priority_is_stored_as_user_notice_and_counted(self):
        before = self.node.counters()

        (record,) = self.send(SYSLOG_PORT, b"plain text without a header\n")

        after = self.node.counters()
        self.assertEqual(record.value, b"plain text without a header\n")
        self.assertEqual(dict(record.headers)["syslog.facility"], b"1")
        self.assertEqual(dict(record.headers)["syslog.severity"], b"5")
        self.assertEqual(after["syslog_no_priority"] - before["syslog_no_priority"], 1)
