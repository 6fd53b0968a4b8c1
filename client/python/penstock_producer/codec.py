"""The messages of the native ingest protocol, version 1, to bytes and back: docs/protocol.md, section 4.

No socket, no clock, no state. decode() raises Malformed for whatever the document says is dropped.
Integers are little-endian; a message's class carries its fields in the order of its table.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from .crc32c import crc32c

VERSION = 1
DEFAULT_PORT = 4650
SAFE_DATAGRAM_BYTES = 1200  # every path carries these (section 6.5)
UNKNOWN = 2**64 - 1  # in OPEN: durable, oldest held
SEQUENCE_LIMIT = 2**63  # sequences from here on are invalid
RECORDS_PER_DATAGRAM_MAX = 256
HEADERS_MAX = 24
RANGES_MAX = 32
CHUNK_BYTES = 1024  # fragments begin and end at multiples of it
TRAILER_BYTES = 4
DATA_OVERHEAD_BYTES = 40 + TRAILER_BYTES
FRAGMENT_OVERHEAD_BYTES = 48 + TRAILER_BYTES
SEALED = 1 << 15
BEGIN = 1 << 0
COOKIE_BYTES = 24
PRODUCER_ID_BYTES = 16
_U64 = 2**64 - 1


class Type(IntEnum):
    HELLO = 1
    CHALLENGE = 2
    OPEN = 3
    ACCEPT = 4
    DATA = 5
    FRAGMENT = 6
    PING = 7
    ACK = 8
    CLOSE = 9
    REJECT = 10


class Status(IntEnum):
    WELL = 0
    DISK_BEHIND = 1
    CLOSED_WRITES = 2
    CLOSED_SPACE = 3
    DRAINING = 4


class Fate(IntEnum):
    STORED = 0
    DROPPED = 1
    LOST = 2
    TOO_LARGE = 16
    NO_TOPIC = 17
    NOT_ALLOWED = 18
    QUOTA = 19
    MALFORMED = 20


FIRST_REFUSAL = 16  # this fate and all above refuse, known by name or not


class Code(IntEnum):
    """Of REJECT."""

    REDIRECT = 1
    COOKIE = 2
    FENCED = 3
    LANE_BUSY = 4
    LANE_UNKNOWN = 5
    LANES_FULL = 6
    SESSION_UNKNOWN = 7
    DRAINING = 8
    INVALID = 9
    NOT_ALLOWED = 10
    OVERLOADED = 11


class CloseReason(IntEnum):
    DONE = 0
    DRAINING = 1
    FAILED = 2


class Malformed(Exception):
    """The bytes are no message of this protocol: drop them and count them."""


class ForeignVersion(Malformed):
    """A version that is not spoken here. `token` is what a version list has to carry."""

    def __init__(self, version: int, token: int) -> None:
        super().__init__(f"version {version}")
        self.version = version
        self.token = token


# ---- varints -------------------------------------------------------------------------------------


def encode_uvarint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_uvarint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The value, and where it ends. The shortest form only."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise Malformed("a varint without an end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift > 0:
                raise Malformed("a varint longer than it needs to be")
            if value > _U64:
                break
            return value, at
    raise Malformed("a varint over 64 bits")


# ---- records (section 4.5) -----------------------------------------------------------------------

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(slots=True)
class Record:
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    topic_crc: int | None = None
    timestamp_ms: int | None = None


def topic_crc(name: str) -> int:
    return crc32c(name.encode()) or 1


def _encode_nullable(data: bytes | None) -> bytes:
    return b"\0" if data is None else encode_uvarint(len(data) + 1) + data


def encode_record(record: Record) -> bytes:
    """Raises ValueError for what the table cannot say."""
    if len(record.headers) > HEADERS_MAX:
        raise ValueError(f"a record has at most {HEADERS_MAX} headers")
    parts = [b""]
    attributes = 0
    if record.topic_crc is not None:
        attributes |= 1
        parts.append(struct.pack("<I", record.topic_crc))
    if record.timestamp_ms is not None:
        attributes |= 2
        parts.append(struct.pack("<q", record.timestamp_ms))
    parts[0] = bytes((attributes,))
    parts += (_encode_nullable(record.key), encode_uvarint(len(record.headers)))
    for name, value in record.headers:
        encoded = name.encode()
        parts += (encode_uvarint(len(encoded)), encoded, _encode_nullable(value))
    parts.append(_encode_nullable(record.value))
    return b"".join(parts)


def _decode_bytes(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    if length > len(data) - at:
        raise Malformed("a length reaches past the record")
    return data[at : at + length], at + length


def _decode_nullable(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_uvarint(data, at, len(data))
    if length == 0:
        return None, at
    return _decode_bytes(data, at, length - 1)


def record_body_at(data: bytes) -> int:
    """Where the record's body begins: behind attributes, topic and timestamp."""
    if not data or data[0] & ~3:
        raise Malformed("attributes")
    at = 1 + (4 if data[0] & 1 else 0) + (8 if data[0] & 2 else 0)
    if at > len(data):
        raise Malformed("a record that ends before its body")
    return at


def decode_record(data: bytes) -> Record:
    body_at = record_body_at(data)
    topic = struct.unpack_from("<I", data, 1)[0] if data[0] & 1 else None
    timestamp = struct.unpack_from("<q", data, body_at - 8)[0] if data[0] & 2 else None
    key, at = _decode_nullable(data, body_at)
    count, at = decode_uvarint(data, at, len(data))
    if count > HEADERS_MAX:
        raise Malformed("too many headers")
    headers = []
    for _ in range(count):
        length, at = decode_uvarint(data, at, len(data))
        name, at = _decode_bytes(data, at, length)
        value, at = _decode_nullable(data, at)
        try:
            headers.append((name.decode(), value))
        except UnicodeDecodeError as error:
            raise Malformed("a header's name is not UTF-8") from error
    value, at = _decode_nullable(data, at)
    if at != len(data):
        raise Malformed("the value does not end where the record ends")
    return Record(value, key, tuple(headers), topic, timestamp)


def hash_record(running: int, record: bytes) -> int:
    """H(n) of H(n-1): section 3."""
    return (running * 0x9E3779B97F4A7C15 + crc32c(record[record_body_at(record) :]) + 1) & _U64


# ---- messages ------------------------------------------------------------------------------------

_HEAD = struct.Struct("<BBHIQ")  # version, type, flags, argument, token


def _seal(datagram: bytes) -> bytes:
    return datagram + struct.pack("<I", crc32c(datagram))


def _message(kind: Type, flags: int, argument: int, token: int, body: bytes) -> bytes:
    return _seal(_HEAD.pack(VERSION, kind, flags, argument, token) + body)


@dataclass(slots=True)
class Hello:
    nonce: int
    key_id: int = 0

    _BODY = struct.Struct("<I40x")

    def encode(self) -> bytes:
        return _message(Type.HELLO, 0, 0, self.nonce, self._BODY.pack(self.key_id))


@dataclass(slots=True)
class Challenge:
    nonce: int
    cookie: bytes

    _BODY = struct.Struct("<24s")

    def encode(self) -> bytes:
        return _message(Type.CHALLENGE, 0, 0, self.nonce, self._BODY.pack(self.cookie))


@dataclass(slots=True)
class Open:
    nonce: int
    cookie: bytes
    producer_id: bytes
    lane: int
    epoch: int
    durable: int
    oldest_held: int
    previous_session: int = 0
    datagram_bytes: int = SAFE_DATAGRAM_BYTES
    begin: bool = False
    key_id: int = 0

    _BODY = struct.Struct("<24s16sIIQQQQH26x")

    def encode(self) -> bytes:
        return _message(
            Type.OPEN,
            BEGIN if self.begin else 0,
            0,
            self.nonce,
            self._BODY.pack(
                self.cookie,
                self.producer_id,
                self.lane,
                self.key_id,
                self.epoch,
                self.durable,
                self.oldest_held,
                self.previous_session,
                self.datagram_bytes,
            ),
        )


@dataclass(slots=True)
class Accept:
    nonce: int
    session: int
    next: int
    durable: int
    lost_first: int = 0
    lost_last: int = 0
    credit: int = 0
    record_bytes_max: int = 900 * 1024
    datagram_bytes: int = SAFE_DATAGRAM_BYTES
    ack_delay_us: int = 5000
    session_timeout_ms: int = 30000
    remember_s: int = 7 * 86400
    partition: int = 0
    status: int = 0
    incarnation: int = 0

    _BODY = struct.Struct("<QQQQQIIHxxIIIIBxxxQ")

    def encode(self) -> bytes:
        body = self._BODY.pack(
            self.session,
            self.next,
            self.durable,
            self.lost_first,
            self.lost_last,
            self.credit,
            self.record_bytes_max,
            self.datagram_bytes,
            self.ack_delay_us,
            self.session_timeout_ms,
            self.remember_s,
            self.partition,
            self.status,
            self.incarnation,
        )
        return _message(Type.ACCEPT, 0, 0, self.nonce, body)


_STREAM = struct.Struct("<BBHIQQQQ")  # the 40 bytes that DATA, FRAGMENT and PING begin with


@dataclass(slots=True)
class Data:
    session: int
    number: int
    sequence: int
    confirmed: int
    records: list[bytes]

    def encode(self) -> bytes:
        prefixed = [encode_uvarint(len(record)) + record for record in self.records]
        return encode_data(self.session, self.number, self.sequence, self.confirmed, prefixed)


def encode_data(session: int, number: int, sequence: int, confirmed: int, prefixed: Sequence[bytes]) -> bytes:
    """DATA of records that have their length before them already: a lane keeps them so."""
    head = _STREAM.pack(VERSION, Type.DATA, 0, len(prefixed), session, number, sequence, confirmed)
    return _seal(head + b"".join(prefixed))


@dataclass(slots=True)
class Fragment:
    session: int
    number: int
    sequence: int
    confirmed: int
    record_bytes: int
    offset: int
    piece: bytes

    def encode(self) -> bytes:
        head = _STREAM.pack(
            VERSION, Type.FRAGMENT, 0, self.record_bytes, self.session, self.number, self.sequence, self.confirmed
        )
        return _seal(head + struct.pack("<II", self.offset, 0) + self.piece)


@dataclass(slots=True)
class Ping:
    session: int
    number: int
    sequence: int
    confirmed: int
    datagram_bytes: int = DATA_OVERHEAD_BYTES  # padded up to these

    def encode(self) -> bytes:
        head = _STREAM.pack(VERSION, Type.PING, 0, 0, self.session, self.number, self.sequence, self.confirmed)
        return _seal(head + bytes(self.datagram_bytes - DATA_OVERHEAD_BYTES))


@dataclass(slots=True)
class Ack:
    session: int
    number: int
    received: int
    durable: int
    fates_first: int
    credit: int
    ack_delay_us: int = 0
    status: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)  # (first, last), newest first
    fates: list[tuple[int, int]] = field(default_factory=list)  # (fate, count)

    _BODY = struct.Struct("<QQQQIIQ")

    @property
    def largest(self) -> int:
        return self.ranges[0][1] if self.ranges else 0

    def encode(self) -> bytes:
        body = self._BODY.pack(
            self.number, self.received, self.durable, self.fates_first, self.credit, self.ack_delay_us, self.largest
        )
        argument = len(self.ranges) | self.status << 8
        tail = _encode_ranges(self.ranges) + b"".join(
            bytes((fate,)) + encode_uvarint(count) for fate, count in self.fates
        )
        return _message(Type.ACK, 0, argument, self.session, body + tail)


def _encode_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    out = []
    previous_first = None
    for first, last in ranges:
        if previous_first is not None:
            out.append(encode_uvarint(previous_first - last - 2))
        out.append(encode_uvarint(last - first))
        previous_first = first
    return b"".join(out)


@dataclass(slots=True)
class Close:
    session: int
    reason: int
    number: int
    sequence: int
    confirmed: int = 0

    _BODY = struct.Struct("<QQQ")

    def encode(self) -> bytes:
        body = self._BODY.pack(self.number, self.sequence, self.confirmed)
        return _message(Type.CLOSE, 0, self.reason, self.session, body)


@dataclass(slots=True)
class Reject:
    token: int
    code: int
    detail: int = 0
    retry_after_ms: int = 0
    source_port: int = 0
    target_port: int = 0
    partition: int = 0

    _BODY = struct.Struct("<QIHHI")

    def encode(self) -> bytes:
        body = self._BODY.pack(self.detail, self.retry_after_ms, self.source_port, self.target_port, self.partition)
        return _message(Type.REJECT, 0, self.code, self.token, body)


@dataclass(slots=True)
class VersionList:
    token: int
    versions: tuple[int, ...]

    def encode(self) -> bytes:
        versions = bytes(self.versions).ljust(4, b"\0")
        return _seal(_HEAD.pack(0, 0, 0, len(self.versions), self.token) + versions)


Message = Hello | Challenge | Open | Accept | Data | Fragment | Ping | Ack | Close | Reject | VersionList


def _body(cls: type, data: bytes) -> tuple:
    """The fixed fields from offset 16; whatever follows them is ignored."""
    if len(data) < 16 + cls._BODY.size + TRAILER_BYTES:
        raise Malformed(f"{cls.__name__} is too short")
    return cls._BODY.unpack_from(data, 16)


def _decode_hello(data: bytes, _flags: int, _argument: int, token: int) -> Hello:
    return Hello(token, *_body(Hello, data))


def _decode_challenge(data: bytes, _flags: int, _argument: int, token: int) -> Challenge:
    return Challenge(token, *_body(Challenge, data))


def _decode_open(data: bytes, flags: int, _argument: int, token: int) -> Open:
    cookie, producer_id, lane, key_id, epoch, durable, held, previous, size = _body(Open, data)
    begin = bool(flags & BEGIN)
    return Open(token, cookie, producer_id, lane, epoch, durable, held, previous, size, begin, key_id)


def _decode_accept(data: bytes, _flags: int, _argument: int, token: int) -> Accept:
    accept = Accept(token, *_body(Accept, data))
    if accept.session == 0:
        raise Malformed("ACCEPT with session 0")
    return accept


def _decode_data(data: bytes, _flags: int, count: int, session: int) -> Data:
    if len(data) < DATA_OVERHEAD_BYTES + 1 or not 1 <= count <= RECORDS_PER_DATAGRAM_MAX:
        raise Malformed("DATA is too short, or its count is out of bounds")
    number, sequence, confirmed = struct.unpack_from("<QQQ", data, 16)
    at, end = 40, len(data) - TRAILER_BYTES
    records = []
    for _ in range(count):
        length, at = decode_uvarint(data, at, end)
        if length > end - at:
            raise Malformed("a record reaches past the datagram")
        records.append(data[at : at + length])
        at += length
    if at != end:
        raise Malformed("the records do not fill the datagram")
    return Data(session, number, sequence, confirmed, records)


def _decode_fragment(data: bytes, _flags: int, record_bytes: int, session: int) -> Fragment:
    if len(data) < FRAGMENT_OVERHEAD_BYTES + 1:
        raise Malformed("FRAGMENT is too short")
    number, sequence, confirmed, offset = struct.unpack_from("<QQQI", data, 16)
    piece = data[48 : len(data) - TRAILER_BYTES]
    end = offset + len(piece)
    if offset % CHUNK_BYTES or end > record_bytes or (end % CHUNK_BYTES and end != record_bytes):
        raise Malformed("a fragment that is no row of chunks of its record")
    return Fragment(session, number, sequence, confirmed, record_bytes, offset, piece)


def _decode_ping(data: bytes, _flags: int, _argument: int, session: int) -> Ping:
    if len(data) < DATA_OVERHEAD_BYTES:
        raise Malformed("PING is too short")
    return Ping(session, *struct.unpack_from("<QQQ", data, 16), len(data))


def _decode_ranges(data: bytes, count: int, largest: int, at: int, end: int) -> tuple[list[tuple[int, int]], int]:
    ranges = []
    last = largest
    for i in range(count):
        if i > 0:
            gap, at = decode_uvarint(data, at, end)
            last = ranges[-1][0] - gap - 2
        length, at = decode_uvarint(data, at, end)
        if length > last:
            raise Malformed("a range of packet numbers begins below 0")
        ranges.append((last - length, last))
    return ranges, at


def _decode_fates(data: bytes, expected: int, at: int, end: int) -> list[tuple[int, int]]:
    fates = []
    while at < end:
        fate = data[at]
        count, at = decode_uvarint(data, at + 1, end)
        if not 0 < count <= expected:
            raise Malformed("fates do not reach durable exactly")
        expected -= count
        fates.append((fate, count))
    if expected:
        raise Malformed("fates do not reach durable exactly")
    return fates


def _decode_ack(data: bytes, _flags: int, argument: int, session: int) -> Ack:
    number, received, durable, fates_first, credit, delay, largest = _body(Ack, data)
    count, status = argument & 0xFF, argument >> 8 & 0xFF
    if count > RANGES_MAX or len(data) > SAFE_DATAGRAM_BYTES:
        raise Malformed("an ACK over its bounds")
    end = len(data) - TRAILER_BYTES
    ranges, at = _decode_ranges(data, count, largest, 64, end)
    fates = _decode_fates(data, max(durable - fates_first + 1, 0), at, end)
    return Ack(session, number, received, durable, fates_first, credit, delay, status, ranges, fates)


def _decode_close(data: bytes, _flags: int, reason: int, session: int) -> Close:
    return Close(session, reason, *_body(Close, data))


def _decode_reject(data: bytes, _flags: int, code: int, token: int) -> Reject:
    return Reject(token, code, *_body(Reject, data))


_DECODERS = {
    Type.HELLO: _decode_hello,
    Type.CHALLENGE: _decode_challenge,
    Type.OPEN: _decode_open,
    Type.ACCEPT: _decode_accept,
    Type.DATA: _decode_data,
    Type.FRAGMENT: _decode_fragment,
    Type.PING: _decode_ping,
    Type.ACK: _decode_ack,
    Type.CLOSE: _decode_close,
    Type.REJECT: _decode_reject,
}


def _decode_version_list(data: bytes, kind: int, count: int, token: int) -> VersionList:
    if kind != 0 or count > 4 or len(data) < 24:
        raise Malformed("a version list that is none")
    return VersionList(token, tuple(data[16 : 16 + count]))


def decode(data: bytes) -> Message:
    """One datagram. Raises Malformed; ForeignVersion where a version list would be the answer."""
    if len(data) < 20:
        raise Malformed("shorter than a datagram can be")
    version, kind, flags, argument, token = _HEAD.unpack_from(data)
    end = len(data) - TRAILER_BYTES
    if crc32c(memoryview(data)[:end]) != int.from_bytes(data[end:], "little"):
        raise Malformed("trailer")
    if version == 0:
        return _decode_version_list(data, kind, argument, token)
    if version != VERSION:
        raise ForeignVersion(version, token)
    if flags & SEALED or kind not in _DECODERS:
        raise Malformed("a sealed datagram, or a type that is not known")
    return _DECODERS[kind](data, flags, argument, token)
