#!/usr/bin/env python3
"""Every message of the native ingest protocol in hexadecimal, with its fields.

A second implementation of the messages, written from docs/protocol.md and not from wire/:
tests/wire/native_vectors_test.cc decodes each message and compares the fields, encodes the fields
and compares the bytes. The file has three kinds of entries:

    NAME HEX               decodes; the indented lines below are its fields, and encoding these
                           gives HEX
    NAME HEX +             decodes to the fields below, but nobody would send it like this
                           (reserved bits, a longer message)
    NAME HEX RESULT        does not decode; RESULT is the name in enum native_result, or RECORDS: a
                           DATA whose payload is not `count` records, or one of them is malformed

Numbers are decimal, byte strings hexadecimal ('.': empty, '-': null).

usage: native_vectors.py FILE            writes the vectors
       native_vectors.py --check FILE    fails when FILE is not what would be written
       native_vectors.py --corpus FOLDER writes messages as files (seeds of the fuzz target)
"""
import os
import struct
import sys

NONCE, SESSION, UNKNOWN = 0x1112131415161718, 0x2122232425262728, 2**64 - 1
SEQUENCE_MAX = 2**63 - 1
COOKIE, PRODUCER = bytes(range(0xc0, 0xd8)), bytes(range(0xa0, 0xb0))
TYPES = ['VERSIONS', 'HELLO', 'CHALLENGE', 'OPEN', 'ACCEPT', 'DATA', 'FRAGMENT', 'PING', 'ACK',
         'CLOSE', 'REJECT']
LENGTHS = {'VERSIONS': 24, 'HELLO': 64, 'CHALLENGE': 44, 'OPEN': 128, 'ACCEPT': 100, 'DATA': 45,
           'FRAGMENT': 53, 'PING': 44, 'ACK': 68, 'CLOSE': 44, 'REJECT': 40}  # the least of each


def crc_table():
    out = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        out.append(byte)
    return out


TABLE = crc_table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


assert crc32c(b'123456789') == 0xe3069283


def u8(v): return struct.pack('<B', v)
def u16(v): return struct.pack('<H', v)
def u32(v): return struct.pack('<I', v)
def u64(v): return struct.pack('<Q', v)
def i64(v): return struct.pack('<q', v)


def uvarint(value):
    out = b''
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def nullable(data):
    return uvarint(0) if data is None else uvarint(len(data) + 1) + data


def seal(body):
    return body + u32(crc32c(body))


def frame(name, argument, token, body, flags=0, version=1):
    kind = name if isinstance(name, int) else TYPES.index(name)
    return seal(u8(version) + u8(kind) + u16(flags) + u32(argument) + u64(token) + body)


# Messages take their fields as a dictionary: the same that is written below the message.

def versions(f):
    return frame('VERSIONS', f['count'], f['token'], bytes(f['versions']).ljust(4, b'\0'),
                 version=0)


def hello(f, padding=bytes(40)):
    return frame('HELLO', 0, f['token'], u32(f['key_id']) + padding)


def challenge(f):
    return frame('CHALLENGE', 0, f['token'], f['cookie'])


def open_(f, flags=0):
    return frame('OPEN', 0, f['token'],
                 f['cookie'] + f['producer'] + u32(f['lane']) + u32(f['key_id']) + u64(f['epoch']) +
                 u64(f['durable']) + u64(f['oldest_held']) + u64(f['previous_session']) +
                 u16(f['datagram_bytes']) + bytes(26), flags=flags | f['begin'])


def accept(f):
    return frame('ACCEPT', 0, f['token'],
                 u64(f['session']) + u64(f['next']) + u64(f['durable']) + u64(f['lost_first']) +
                 u64(f['lost_last']) + u32(f['credit_bytes']) + u32(f['max_record_bytes']) +
                 u16(f['datagram_bytes']) + bytes(2) + u32(f['ack_delay_us']) +
                 u32(f['session_timeout_ms']) + u32(f['remember_s']) + u32(f['partition']) +
                 u8(f['status']) + bytes(3) + u64(f['incarnation']))


def numbers(f):
    return u64(f['packet_number']) + u64(f['first_sequence']) + u64(f['confirmed'])


def body_of(record):
    out = nullable(record['key']) + uvarint(len(record['headers']))
    for name, value in record['headers']:
        out += uvarint(len(name)) + name + nullable(value)
    return out + nullable(record['value'])


def record_of(record):
    topic, timestamp = record['topic'], record['timestamp_ms']
    out = u8((topic is not None) | (timestamp is not None) << 1)
    out += b'' if topic is None else u32(topic)
    out += b'' if timestamp is None else i64(timestamp)
    return out + body_of(record)


def prefixed(record):
    return uvarint(len(record)) + record


def data(f, payload=None):
    if payload is None:
        payload = b''.join(prefixed(record_of(record)) for record in f['records'])
    return frame('DATA', f['count'], f['token'], numbers(f) + payload)


def fragment(f):
    return frame('FRAGMENT', f['record_bytes'], f['token'],
                 numbers(f) + u32(f['fragment_offset']) + bytes(4) + f['payload'])


def ping(f):
    return frame('PING', 0, f['token'], numbers(f) + bytes(f['len_bytes'] - 44))


def ranges_of(ranges):
    out, previous_first = b'', None
    for first, last in ranges:
        if previous_first is not None:
            out += uvarint(previous_first - last - 2)
        out += uvarint(last - first)
        previous_first = first
    return out


def fates_of(fates):
    return b''.join(u8(fate) + uvarint(count) for fate, count in fates)


def ack(f, tail=None, range_count=None, largest=None):
    if tail is None:
        tail = ranges_of(f['ranges']) + fates_of(f['fates'])
    if range_count is None:
        range_count = len(f['ranges'])
    if largest is None:
        largest = f['ranges'][0][1] if f['ranges'] else 0
    return frame('ACK', range_count | f['status'] << 8, f['token'],
                 u64(f['ack_number']) + u64(f['received']) + u64(f['durable']) +
                 u64(f['fates_first']) + u32(f['credit_bytes']) + u32(f['ack_delay_us']) +
                 u64(largest) + tail)


def close(f):
    return frame('CLOSE', f['reason'], f['token'],
                 u64(f['number']) + u64(f['sequence']) + u64(f['confirmed']))


def reject(f):
    return frame('REJECT', f['code'], f['token'],
                 u64(f['detail']) + u32(f['retry_after_ms']) + u16(f['source_port']) +
                 u16(f['target_port']) + u32(f['partition']))


ENCODERS = {'VERSIONS': versions, 'HELLO': hello, 'CHALLENGE': challenge, 'OPEN': open_,
            'ACCEPT': accept, 'DATA': data, 'FRAGMENT': fragment, 'PING': ping, 'ACK': ack,
            'CLOSE': close, 'REJECT': reject}


# ------------------------------------------------------------------------------------ messages

def record(topic=None, timestamp_ms=None, key=None, headers=(), value=b''):
    return {'topic': topic, 'timestamp_ms': timestamp_ms, 'key': key, 'headers': list(headers),
            'value': value}


def data_fields(*records, **other):
    out = {'token': SESSION, 'packet_number': 0x3132333435363738,
           'first_sequence': 0x4142434445464748, 'confirmed': 0x3f3e3d3c3b3a3938,
           'count': len(records), 'records': list(records)}
    out.update(other)
    return out


def fragment_fields(offset, payload, record_bytes, **other):
    out = {'token': SESSION, 'packet_number': 0x3132333435363738,
           'first_sequence': 0x4142434445464748, 'confirmed': 0x3f3e3d3c3b3a3938,
           'record_bytes': record_bytes, 'fragment_offset': offset, 'payload': payload}
    out.update(other)
    return out


def ack_fields(ranges, fates, fates_first=0x4142434445464749, **other):
    out = {'token': SESSION, 'status': 1, 'ack_number': 0x5152535455565758,
           'received': 0x4142434445464900, 'durable': fates_first + sum(n for _, n in fates) - 1,
           'fates_first': fates_first, 'credit_bytes': 0x61626364, 'ack_delay_us': 0x71727374,
           'ranges': list(ranges), 'fates': list(fates)}
    out.update(other)
    return out


OPEN = {'token': NONCE, 'begin': 1, 'cookie': COOKIE, 'producer': PRODUCER, 'lane': 0x01020304,
        'key_id': 0x05060708, 'epoch': 0x1828384858687888, 'durable': 0x0102030405060708,
        'oldest_held': 0x0203040506070809, 'previous_session': SESSION, 'datagram_bytes': 1472}
ACCEPT = {'token': NONCE, 'session': SESSION, 'next': 0x0102030405060708,
          'durable': 0x0002030405060708, 'lost_first': 0x0003040506070809,
          'lost_last': 0x0004050607080900, 'credit_bytes': 0x61626364,
          'max_record_bytes': 921600, 'datagram_bytes': 1473, 'ack_delay_us': 5000,
          'session_timeout_ms': 30000, 'remember_s': 604800, 'partition': 0x0a0b0c0d, 'status': 4,
          'incarnation': 0x8182838485868788}
CLOSE = {'token': SESSION, 'reason': 2, 'number': 0x3132333435363738,
         'sequence': 0x4142434445464748, 'confirmed': 0x3f3e3d3c3b3a3938}
PING = {'token': SESSION, 'packet_number': 0x3132333435363738, 'first_sequence': 9,
        'confirmed': 8, 'len_bytes': 44}
FULL = record(crc32c(b'events'), -1700000000123, b'key', [(b'h', b'v'), ('größe'.encode(), None)],
              b'value')
RANGES = [(0x10000, 0x10007), (0xf000, 0xff00), (5, 5)]
FATES = [(0, 300), (1, 1), (17, 2), (0, 70000)]
BASIC = {}  # one message of each type, which the negative ones are cut from


def changed(fields, **other):
    return {**fields, **other}


def messages():
    out = []

    def add(name, kind, fields):
        out.append((name, kind, fields, ENCODERS[kind](fields)))
        BASIC.setdefault(kind, (fields, ENCODERS[kind](fields)))

    add('versions-one', 'VERSIONS', {'token': NONCE, 'count': 1, 'versions': [1]})
    add('hello', 'HELLO', {'token': NONCE, 'key_id': 0})
    add('hello-with-key', 'HELLO', {'token': UNKNOWN, 'key_id': 0x05060708})
    add('challenge', 'CHALLENGE', {'token': NONCE, 'cookie': COOKIE})
    add('open', 'OPEN', OPEN)
    add('open-known-lane', 'OPEN', changed(OPEN, begin=0, key_id=0))
    add('open-without-state', 'OPEN', changed(OPEN, durable=UNKNOWN, oldest_held=UNKNOWN,
                                              previous_session=0))
    add('open-for-the-handshake-to-refuse', 'OPEN',
        changed(OPEN, producer=bytes(16), epoch=0, durable=2**63, datagram_bytes=1199))
    add('accept', 'ACCEPT', ACCEPT)
    add('accept-nothing-lost', 'ACCEPT', changed(ACCEPT, lost_first=0, lost_last=0, status=0))
    add('accept-later-status', 'ACCEPT', changed(ACCEPT, status=255))

    add('data-full-record', 'DATA', data_fields(FULL))
    add('data-plain-value', 'DATA', data_fields(record(value=b'hello')))
    add('data-topic', 'DATA', data_fields(record(topic=1, value=b'v')))
    add('data-timestamp', 'DATA', data_fields(record(timestamp_ms=1700000000123, value=b'v')))
    add('data-key', 'DATA', data_fields(record(key=b'k', value=b'v')))
    add('data-empty-key-is-not-null', 'DATA', data_fields(record(key=b'', value=b'v')))
    add('data-null-value', 'DATA', data_fields(record(key=b'gone', value=None)))
    add('data-empty-value', 'DATA', data_fields(record(value=b'')))
    add('data-header-values', 'DATA', data_fields(
        record(headers=[(b'null', None), (b'empty', b''), (b'', b'nameless'), (b'b', bytes(2))])))
    add('data-most-headers', 'DATA', data_fields(
        record(headers=[(b'n%d' % i, b'%d' % (i * i)) for i in range(24)], value=b'v')))
    add('data-three-records', 'DATA', data_fields(
        FULL, record(value=None), record(topic=0xfffffffe, value=b'x' * 300), first_sequence=1,
        packet_number=0, confirmed=0))
    add('data-varint-edges', 'DATA', data_fields(
        *[record(value=b'e' * n) for n in (122, 123, 124, 126, 127, 128)]))
    add('data-last-sequences', 'DATA', data_fields(
        record(), record(), first_sequence=SEQUENCE_MAX - 1, packet_number=UNKNOWN))

    add('fragment-last', 'FRAGMENT', fragment_fields(2048, b'the end', 2055))
    add('fragment-first', 'FRAGMENT', fragment_fields(0, b'f' * 1024, 921600))
    add('fragment-middle', 'FRAGMENT', fragment_fields(3072, b'm' * 2048, 6000, first_sequence=1))
    add('fragment-ends-on-a-chunk', 'FRAGMENT',
        fragment_fields(1024, b'c' * 1024, 2048, first_sequence=SEQUENCE_MAX))
    add('fragment-only', 'FRAGMENT', fragment_fields(0, b'o', 1))

    add('ping', 'PING', PING)
    add('ping-padded', 'PING', changed(PING, len_bytes=1472))
    add('ping-next-after-the-last-sequence', 'PING', changed(PING, first_sequence=2**63))

    add('ack', 'ACK', ack_fields(RANGES, FATES))
    add('ack-nothing-yet', 'ACK', ack_fields([], [], fates_first=1, received=0, ack_number=0))
    add('ack-one-range', 'ACK', ack_fields([(0, 0)], []))
    add('ack-range-of-everything', 'ACK', ack_fields([(0, UNKNOWN)], []))
    add('ack-ranges-at-the-edges', 'ACK',
        ack_fields([(2**64 - 2, UNKNOWN), (2, 2**64 - 4), (0, 0)], []))
    add('ack-most-ranges', 'ACK',
        ack_fields([(1000 - 3 * i, 1001 - 3 * i) for i in range(32)], [(0, 5)]))
    for count in range(1, 4):
        add('ack-%d-fates' % count, 'ACK', ack_fields(RANGES[:1], FATES[:count]))
    add('ack-every-fate', 'ACK', ack_fields(
        [], [(fate, 128 + fate) for fate in (0, 1, 2, 16, 17, 18, 19, 20, 15, 255)]))
    add('ack-fates-of-all-sequences', 'ACK', ack_fields([], [(0, SEQUENCE_MAX)], fates_first=1))
    add('ack-durable-far-below-the-first-fate', 'ACK', ack_fields(RANGES, [], durable=3))
    for status in (0, 2, 3, 4, 5):
        add('ack-status-%d' % status, 'ACK', ack_fields([(7, 9)], [], status=status))

    for reason, name in enumerate(['done', 'draining', 'failed']):
        add('close-' + name, 'CLOSE', changed(CLOSE, reason=reason))
    for code in range(1, 13):  # 12: a later version's
        add('reject-%d' % code, 'REJECT', {
            'token': NONCE + code, 'code': code, 'detail': 0x9192939495969798,
            'retry_after_ms': 1500, 'source_port': 40001, 'target_port': 4651, 'partition': 7})
    return out


def tolerated():
    """What a sender does not write, and a receiver takes."""
    out = []

    def add(name, kind, message, fields=None):
        out.append((name, kind, fields if fields is not None else BASIC[kind][0], message))

    for kind in TYPES:
        if kind not in ('DATA', 'FRAGMENT', 'PING', 'ACK'):
            fields, message = BASIC[kind]
            add('longer-' + kind.lower(), kind, seal(message[:-4] + b'\xffmore'))
            flags = 0x7ffe if kind != 'VERSIONS' else 0xffff
            flagged = message[:2] + u16(flags | message[2] & 1) + message[4:-4]
            add('reserved-flags-' + kind.lower(), kind, seal(flagged))
    for kind in ('DATA', 'FRAGMENT', 'PING', 'ACK'):
        message = BASIC[kind][1]
        add('reserved-flags-' + kind.lower(), kind, seal(message[:2] + u16(0x7fff) + message[4:-4]))
    add('hello-padding-is-free', 'HELLO', hello(BASIC['HELLO'][0], padding=b'\xff' * 40))
    message = BASIC['ACCEPT'][1]
    add('reserved-fields-accept', 'ACCEPT',
        seal(message[:66] + b'\xff\xff' + message[68:85] + b'\xff' * 3 + message[88:-4]))
    message = BASIC['FRAGMENT'][1]
    add('reserved-field-fragment', 'FRAGMENT', seal(message[:44] + b'\xff' * 4 + message[48:-4]))
    message = BASIC['ACK'][1]
    add('reserved-field-ack', 'ACK', seal(message[:6] + b'\xff\xff' + message[8:-4]))
    message = BASIC['PING'][1]
    padded = changed(PING, len_bytes=64)
    add('ping-padding-is-free', 'PING', seal(message[:-4] + b'\xff' * 20), padded)
    add('ping-argument-is-free', 'PING', frame('PING', 7, SESSION, numbers(PING)))
    two = {'token': NONCE, 'count': 4, 'versions': [2, 3, 9, 255]}
    add('versions-four', 'VERSIONS', versions(two), two)
    unused = ack_fields([], [])
    add('ack-largest-without-ranges', 'ACK', ack(unused, largest=77), unused)
    return out


# ---------------------------------------------------------------------------------- refusals

def forbidden():
    out = []
    full = record_of(FULL)

    def add(name, message, result='MALFORMED'):
        out.append((name, message, result))

    def payload(name, *raw, count=1, result='RECORDS'):
        add('record-' + name, data(data_fields(count=count), payload=b''.join(raw)), result)

    for kind in TYPES:
        message = BASIC[kind][1]
        bad = message[:-4] + u32(struct.unpack('<I', message[-4:])[0] ^ 0x00010000)
        add('bad-crc-' + kind.lower(), bad, 'BAD_CHECKSUM')
        if kind != 'VERSIONS':
            sealed = seal(message[:3] + u8(message[3] | 0x80) + message[4:-4])
            add('sealed-' + kind.lower(), sealed, 'SEALED')
            add('sealed-with-a-tag-' + kind.lower(), sealed[:-4] + bytes(range(16)), 'SEALED')
    add('crc-of-zeros', bytes(20), 'BAD_CHECKSUM')
    for kind in (0, 11, 12, 127, 255):
        add('type-%d' % kind, frame(kind, 1, NONCE, bytes(112)), 'UNKNOWN_TYPE')
    for version in (2, 3, 255):
        add('version-%d' % version, frame('HELLO', 0, NONCE, bytes(44), version=version),
            'OTHER_VERSION')
        add('version-%d-sealed' % version,
            frame('HELLO', 0, NONCE, bytes(44), flags=0x8000, version=version), 'OTHER_VERSION')
        add('version-%d-shortest' % version, frame(99, 0, NONCE, b'', version=version),
            'OTHER_VERSION')
    add('version-0-type-1', frame('HELLO', 1, NONCE, bytes(44), version=0), 'UNKNOWN_TYPE')

    for count in (0, 5, 2**32 - 1):
        add('versions-count-%d' % count,
            versions({'token': NONCE, 'count': count, 'versions': [1]}))
    add('hello-nonce-0', hello({'token': 0, 'key_id': 0}))
    add('accept-session-0', accept(changed(ACCEPT, session=0)))
    for kind in ('DATA', 'FRAGMENT', 'PING', 'ACK', 'CLOSE'):
        add(kind.lower() + '-session-0', ENCODERS[kind](changed(BASIC[kind][0], token=0)))

    for count in (0, 2049, 2**32 - 1):
        add('data-count-%d' % count, data(data_fields(FULL, count=count)))
    for first in (0, 2**63, UNKNOWN):
        add('data-sequence-%d' % first, data(data_fields(FULL, first_sequence=first)))
        add('fragment-sequence-%d' % first,
            fragment(fragment_fields(0, b'o', 1, first_sequence=first)))
    add('data-sequences-run-over',
        data(data_fields(record(), record(), first_sequence=SEQUENCE_MAX)))

    for name, offset, length, whole in (
            ('empty-record', 0, 1, 0), ('offset-off-chunk', 1, 7, 8), ('offset-at-end', 1024, 1, 1024),
            ('offset-behind-end', 4096, 1024, 1024), ('offset-wraps', 2**32 - 1024, 2048, 2**32 - 1),
            ('past-end', 0, 1025, 1024), ('one-past-end', 2048, 8, 2055),
            ('length-off-chunk', 0, 1023, 1025), ('odd-in-the-middle', 1024, 1025, 5000)):
        add('fragment-' + name, fragment(fragment_fields(offset, b'b' * length, whole)))

    one = ack_fields([(5, 9)], [])
    add('ack-33-ranges', ack(ack_fields([(1000 - 3 * i, 1001 - 3 * i) for i in range(33)], [])))
    add('ack-255-ranges', ack(one, range_count=255))
    add('ack-range-below-0', ack(one, tail=uvarint(10)))
    add('ack-range-not-shortest', ack(one, tail=b'\x84\x00'))
    add('ack-range-over-64-bits', ack(one, tail=b'\xff' * 9 + b'\x02', largest=UNKNOWN))
    add('ack-range-of-11-bytes', ack(one, tail=b'\x80' * 10 + b'\x01', largest=UNKNOWN))
    add('ack-range-missing', ack(one, tail=b''))
    add('ack-gap-missing', ack(one, tail=b'\x04', range_count=2))
    add('ack-length-missing', ack(one, tail=b'\x04\x00', range_count=2))
    add('ack-gap-below-0', ack(one, tail=b'\x04\x04\x00', range_count=2))
    add('ack-second-length-below-0', ack(one, tail=b'\x04\x03\x01', range_count=2))
    add('ack-gap-not-shortest', ack(one, tail=b'\x04\x80\x00\x00', range_count=2))
    for first in (0, 1):
        add('ack-no-room-below-%d' % first, ack(one, tail=uvarint(9 - first) + b'\x00\x00',
                                                range_count=2))
    none = ack_fields([], [], fates_first=100, durable=104)
    add('ack-fates-missing', ack(none))
    add('ack-fates-too-few', ack(none, tail=fates_of([(0, 4)])))
    add('ack-fates-too-many', ack(none, tail=fates_of([(0, 6)])))
    add('ack-fates-one-run-too-many', ack(none, tail=fates_of([(0, 5), (1, 1)])))
    add('ack-fates-of-64-bits', ack(none, tail=fates_of([(0, 3), (0, UNKNOWN), (0, 3)])))
    add('ack-fates-count-0', ack(none, tail=fates_of([(0, 5), (1, 0)])))
    add('ack-fates-count-missing', ack(none, tail=fates_of([(0, 5)]) + b'\x01'))
    add('ack-fates-count-not-shortest', ack(none, tail=b'\x00\x85\x00'))
    add('ack-fates-count-endless', ack(none, tail=b'\x00\x85'))
    add('ack-fates-below-the-first', ack(changed(none, durable=99), tail=fates_of([(0, 1)])))
    add('ack-fates-first-0', ack(changed(none, fates_first=0, durable=0), tail=fates_of([(0, 1)])))
    add('ack-fates-of-2-to-the-64', ack(changed(none, fates_first=0, durable=UNKNOWN)))

    payload('length-not-shortest', b'\x84\x00', record_of(record()))
    payload('length-past-end', u8(len(full) + 1), full)
    payload('length-endless', b'\xff' * 5)
    payload('missing', prefixed(full), count=2)
    payload('one-too-many', prefixed(full), prefixed(full))
    payload('byte-behind', prefixed(full), b'\x00')
    payload('empty', b'\x00')
    for bit in range(2, 8):
        payload('attribute-%d' % bit, prefixed(u8(1 << bit) + body_of(record(value=b'v'))))
    payload('topic-cut', prefixed(b'\x01\x02\x03\x04'))
    payload('timestamp-cut', prefixed(b'\x02' + bytes(7)))
    payload('topic-and-timestamp-cut', prefixed(b'\x03' + bytes(11)))
    payload('25-headers', prefixed(record_of(record(headers=[(b'h', b'v')] * 25))))
    payload('key-length-not-shortest', prefixed(b'\x00\x80\x00\x00\x01'))
    payload('key-past-end', prefixed(b'\x00\x05\x00\x01'))
    payload('key-of-64-bits', prefixed(b'\x00' + uvarint(UNKNOWN) + b'\x00\x01'))
    payload('header-count-not-shortest', prefixed(b'\x00\x00\x80\x00\x01'))
    payload('header-name-past-end', prefixed(b'\x00\x00\x01\x05\x00\x01'))
    payload('header-name-length-not-shortest', prefixed(b'\x00\x00\x01\x80\x00\x00\x01'))
    payload('header-value-past-end', prefixed(b'\x00\x00\x01\x01n\x05\x01'))
    payload('header-value-length-not-shortest', prefixed(b'\x00\x00\x01\x01n\x81\x00\x01'))
    payload('value-length-not-shortest', prefixed(b'\x00\x00\x00\x81\x00'))
    payload('value-past-end', prefixed(b'\x00\x00\x00\x03v'))
    payload('value-behind-null', prefixed(b'\x00\x00\x00\x00v'))
    payload('value-ends-early', prefixed(b'\x00\x00\x00\x02vv'))
    for name in (b'\x80', b'\xc0\x80', b'\xc1\xbf', b'\xe0\x9f\xbf', b'\xed\xa0\x80', b'\xf0\x8f\xbf\xbf',
                 b'\xf4\x90\x80\x80', b'\xf5\x80\x80\x80', b'\xff', b'a\xc3', b'\xe2\x82', b'\xc3a'):
        payload('header-name-%s-is-no-text' % name.hex(),
                prefixed(record_of(record(headers=[(name, None)]))))
    for at in range(1, len(full)):
        payload('cut-at-%d' % at, prefixed(full[:at]))
    return out


def truncated():
    out = []
    for kind in TYPES:
        message = BASIC[kind][1]
        for length in range(len(message)):
            cut = message[:length] if length < 20 else seal(message[:length - 4])
            result = 'TRUNCATED'
            if length >= LENGTHS[kind]:  # inside of what is checked as a whole
                result = 'RECORDS' if kind == 'DATA' else 'MALFORMED'
            out.append(('%s-of-%d-bytes' % (kind.lower(), length), cut, result))
    return out


# --------------------------------------------------------------------------------------- text

def text_of_bytes(value):
    return '-' if value is None else value.hex() if value else '.'


def lines_of_record(each):
    yield '  record'
    for name in ('topic', 'timestamp_ms'):
        if each[name] is not None:
            yield '    %s %d' % (name, each[name])
    yield '    key ' + text_of_bytes(each['key'])
    for name, value in each['headers']:
        yield '    header %s %s' % (text_of_bytes(name), text_of_bytes(value))
    yield '    value ' + text_of_bytes(each['value'])


def lines_of(kind, fields):
    yield '  type ' + kind
    for name, value in fields.items():
        if name == 'records':
            for each in value:
                yield from lines_of_record(each)
        elif name == 'ranges':
            yield from ('  range %d %d' % each for each in value)
        elif name == 'fates':
            yield from ('  fate %d %d' % each for each in value)
        elif name == 'versions':
            yield from ('  version %d' % each for each in value)
        elif isinstance(value, bytes):
            yield '  %s %s' % (name, text_of_bytes(value))
        else:
            yield '  %s %d' % (name, value)


def text():
    out = ['# Made by native_vectors.py, which says how to read this.']
    for name, kind, fields, message in messages():
        out += ['', '%s %s' % (name, message.hex()), *lines_of(kind, fields)]
    for name, kind, fields, message in tolerated():
        out += ['', '%s %s +' % (name, message.hex()), *lines_of(kind, fields)]
    out += ['', '# Refused.', '']
    for name, message, result in forbidden() + truncated():
        out += ['%s %s %s' % (name, message.hex() or '.', result)]
    return '\n'.join(out) + '\n'


def main():
    if sys.argv[1] == '--corpus':
        seeds = [(name, message) for name, _, _, message in messages() + tolerated()]
        seeds += [(name, message) for name, message, _ in forbidden() if 'cut-at' not in name]
        for name, message in seeds:
            with open(os.path.join(sys.argv[2], name), 'wb') as file:
                file.write(message)
    elif sys.argv[1] == '--check':
        with open(sys.argv[2]) as file:
            assert file.read() == text(), 'run native_vectors.py ' + sys.argv[2]
    else:
        with open(sys.argv[1], 'w') as file:
            file.write(text())


main()
