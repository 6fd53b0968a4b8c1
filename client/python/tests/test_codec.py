"""docs/protocol.md, sections 2 to 4, byte by byte."""

import context  # noqa: F401

import random
import unittest

from penstock_producer import codec
from penstock_producer.crc32c import crc32c

SESSION = 0x1122334455667788


def crc_by_definition(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def resealed(datagram: bytes, at: int, new: bytes) -> bytes:
    """With other bytes at `at`, and a right trailer."""
    changed = datagram[:at] + new + datagram[at + len(new) : -4]
    return changed + crc32c(changed).to_bytes(4, "little")


MESSAGES = [
    codec.Hello(nonce=7, key_id=0),
    codec.Challenge(nonce=7, cookie=bytes(range(24))),
    codec.Open(7, bytes(24), bytes(range(16)), 3, 2**60, codec.UNKNOWN, codec.UNKNOWN, 5, 1472, True, 0),
    codec.Accept(7, SESSION, 100, 90, 91, 99, 1 << 20, 921600, 1472, 5000, 30000, 604800, 6, 1, 2**63),
    codec.Data(SESSION, 1, 2, 3, [b"", b"x", bytes(200)]),
    codec.Fragment(SESSION, 1, 2, 3, 4096, 1024, bytes(2048)),
    codec.Ping(SESSION, 1, 2, 3, 1472),
    codec.Ack(SESSION, 9, 50, 40, 39, 1000, 77, 2, [(20, 25), (10, 17), (0, 5)], [(0, 1), (16, 1)]),
    codec.Ack(SESSION, 0, 0, 0, 1, 1000),
    codec.Close(SESSION, codec.CloseReason.DRAINING, 4, 5, 6),
    codec.Reject(7, codec.Code.REDIRECT, 8, 250, 40000, 4651, 9),
    codec.VersionList(7, (2, 3)),
]


class Crc32c(unittest.TestCase):
    def test_has_the_value_that_the_document_names(self):
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)

    def test_agrees_with_the_definition_at_every_length(self):
        data = random.Random(1).randbytes(20000)
        for length in [*range(200), 1196, 1468, 16384, 16385, 16387, 20000]:
            with self.subTest(length=length):
                self.assertEqual(crc32c(data[:length]), crc_by_definition(data[:length]))

    def test_goes_on_where_another_call_stopped(self):
        data = random.Random(2).randbytes(3000)

        self.assertEqual(crc32c(data[1001:], crc32c(data[:1001])), crc32c(data))


class Uvarint(unittest.TestCase):
    def test_comes_back_from_its_bytes(self):
        for value in (0, 1, 127, 128, 16383, 16384, 2**63, 2**64 - 1):
            encoded = codec.encode_uvarint(value)
            self.assertEqual(codec.decode_uvarint(encoded, 0, len(encoded)), (value, len(encoded)))

    def test_refuses_a_longer_form_an_overflow_and_a_missing_end(self):
        for wrong in (b"\x80\x00", b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x01", b"\x80", b""):
            with self.subTest(wrong=wrong), self.assertRaises(codec.Malformed):
                codec.decode_uvarint(wrong, 0, len(wrong))


class Messages(unittest.TestCase):
    def test_come_back_from_their_bytes(self):
        for message in MESSAGES:
            with self.subTest(message=message):
                self.assertEqual(codec.decode(message.encode()), message)

    def test_have_the_lengths_of_section_4(self):
        lengths = [len(message.encode()) for message in MESSAGES]

        self.assertEqual(lengths[:4], [64, 44, 128, 100])
        self.assertEqual(lengths[-3:], [44, 40, 24])
        self.assertEqual(len(codec.Data(1, 0, 1, 0, [b""]).encode()), 45)
        self.assertEqual(len(codec.Fragment(1, 0, 1, 0, 1, 0, b"x").encode()), 53)

    def test_no_truncation_and_no_flipped_bit_passes_the_trailer(self):
        for message in MESSAGES:
            whole = message.encode()
            damaged = [whole[:length] for length in range(len(whole))]
            damaged += [whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :] for at in range(len(whole))]
            for datagram in damaged:
                with self.assertRaises(codec.Malformed):
                    codec.decode(datagram)

    def test_a_truncation_that_was_sealed_again_never_raises_anything_else(self):
        for message in MESSAGES:
            whole = message.encode()
            for length in range(16, len(whole) - 4):
                cut = whole[:length]
                try:
                    codec.decode(cut + crc32c(cut).to_bytes(4, "little"))
                except codec.Malformed:
                    pass

    def test_what_follows_the_known_fields_is_ignored(self):
        whole = codec.Reject(7, codec.Code.DRAINING).encode()
        longer = whole[:-4] + b"more"

        self.assertEqual(codec.decode(longer + crc32c(longer).to_bytes(4, "little")), codec.decode(whole))

    def test_reserved_bits_are_ignored_and_sealed_is_refused(self):
        hello = codec.Hello(7).encode()

        self.assertEqual(codec.decode(resealed(hello, 2, b"\x02\x00")), codec.Hello(7))
        with self.assertRaises(codec.Malformed):
            codec.decode(resealed(hello, 2, b"\x00\x80"))

    def test_another_version_names_itself_and_its_token(self):
        with self.assertRaises(codec.ForeignVersion) as caught:
            codec.decode(resealed(codec.Hello(7).encode(), 0, b"\x02"))

        self.assertEqual((caught.exception.version, caught.exception.token), (2, 7))

    def test_data_must_be_filled_exactly(self):
        data = codec.Data(1, 0, 1, 0, [b"abc", b"de"]).encode()

        for count in (0, 1, 3, 257):
            with self.subTest(count=count), self.assertRaises(codec.Malformed):
                codec.decode(resealed(data, 4, count.to_bytes(4, "little")))

    def test_fragments_are_rows_of_whole_chunks(self):
        for offset, piece in ((512, 1024), (0, 1000), (1024, 2048)):
            wrong = codec.Fragment(1, 0, 1, 0, 2048, offset, bytes(piece)).encode()
            with self.subTest(offset=offset, piece=piece), self.assertRaises(codec.Malformed):
                codec.decode(wrong)

    def test_the_fates_of_an_ack_reach_durable_exactly(self):
        for fates in ([], [(0, 1)], [(0, 3)], [(0, 1), (1, 2)]):
            wrong = codec.Ack(1, 0, 9, 9, 8, 0, fates=fates).encode()
            with self.subTest(fates=fates), self.assertRaises(codec.Malformed):
                codec.decode(wrong)

    def test_ranges_below_packet_number_0_are_refused(self):
        ack = codec.Ack(1, 0, 0, 0, 1, 0, ranges=[(3, 5)]).encode()

        with self.assertRaises(codec.Malformed):
            codec.decode(resealed(ack, 64, b"\x06"))


class Records(unittest.TestCase):
    def test_come_back_from_their_bytes(self):
        headers = (("trace", b"1"), ("none", None), ("naïve", b""))
        for record in (
            codec.Record(None),
            codec.Record(b""),
            codec.Record(b"v" * 300, b"k" * 200),
            codec.Record(b"v", None, headers, 0xFFFFFFFF, -1),
            codec.Record(b"v", b"", (), None, 2**62),
        ):
            with self.subTest(record=record):
                self.assertEqual(codec.decode_record(codec.encode_record(record)), record)

    def test_no_truncation_is_a_record(self):
        whole = codec.encode_record(codec.Record(b"value", b"key", (("name", b"x"),), 5, 6))

        for length in range(len(whole)):
            with self.assertRaises(codec.Malformed):
                codec.decode_record(whole[:length])

    def test_unknown_attributes_and_a_25th_header_are_refused(self):
        with self.assertRaises(codec.Malformed):
            codec.decode_record(b"\x04\x00\x00\x00")
        with self.assertRaises(ValueError):
            codec.encode_record(codec.Record(b"", headers=[("n", b"")] * 25))

    def test_the_running_hash_is_over_bodies(self):
        plain = codec.encode_record(codec.Record(b"v"))
        stamped = codec.encode_record(codec.Record(b"v", topic_crc=9, timestamp_ms=8))

        self.assertEqual(codec.hash_record(0, plain), crc32c(plain[1:]) + 1)
        self.assertEqual(codec.hash_record(5, plain), codec.hash_record(5, stamped))
        self.assertNotEqual(codec.hash_record(5, plain), codec.hash_record(6, plain))


if __name__ == "__main__":
    unittest.main()
