#!/usr/bin/env python3
"""Requests of every API and version that penstock-serve speaks, with the answers it owes.

A second implementation of the messages, written from Kafka's message definitions and not from
serve/: tests/serve/kafka_vectors_test.cc feeds each request to the server's code and compares the
answer byte by byte. The node that it describes is the fixture in that test.

usage: kafka_vectors.py FILE            writes the vectors
       kafka_vectors.py --check FILE    fails when FILE is not what would be written; where
                                        kafka-python is installed, its codec must also agree
       kafka_vectors.py --corpus FOLDER writes each request as a file (seeds of the fuzz target)
"""
import base64
import os
import struct
import sys

CLUSTER = bytes([0x10, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16])
CLUSTER_TEXT = base64.urlsafe_b64encode(CLUSTER).decode().rstrip('=')
HOST, PORT, NODE, EPOCH = 'edge-17', 9092, 1, 3
TOPIC, TOPIC_ID, NO_ID, OTHER_ID = 'events', bytes([1] * 4 + [0] * 12), bytes(16), bytes([9] * 16)
NO_OPERATIONS = -2**31
TOPIC_OPERATIONS, CLUSTER_OPERATIONS = 1 << 3 | 1 << 8, 1 << 8
T0 = 1700000000000
# Offsets 7 and 8, timestamps T0 and T0 + 5.
BATCH = bytes.fromhex('00000000000000070000004e0000000002a7246e45000000000001'
                      '0000018bcfe568000000018bcfe56805ffffffffffffffffffffffffffff00000002'
                      '16000000010a68656c6c6f00' '2000' '0a02026b0a776f726c640202680231')
REFUSED = 'records enter this node over UDP (lines or syslog), not by the Kafka protocol'
# key: (name, first, last, first flexible)
APIS = {0: ('Produce', 0, 11, 9), 1: ('Fetch', 4, 17, 12), 2: ('ListOffsets', 1, 9, 6),
        3: ('Metadata', 0, 12, 9), 18: ('ApiVersions', 0, 4, 3), 60: ('DescribeCluster', 0, 1, 0)}


class Writer:
    def __init__(self, flexible):
        self.flexible, self.data = flexible, b''

    def raw(self, data):
        self.data += data
        return self

    def number(self, code, value):
        return self.raw(struct.pack('>' + code, value))

    def i8(self, v): return self.number('b', v)
    def i16(self, v): return self.number('h', v)
    def i32(self, v): return self.number('i', v)
    def i64(self, v): return self.number('q', v)

    def uvarint(self, value):
        while value >= 0x80:
            self.raw(bytes([value & 0x7f | 0x80]))
            value >>= 7
        return self.raw(bytes([value]))

    def text(self, value):
        if value is None:
            return self.uvarint(0) if self.flexible else self.i16(-1)
        data = value.encode()
        (self.uvarint(len(data) + 1) if self.flexible else self.i16(len(data)))
        return self.raw(data)

    def blob(self, data):
        (self.uvarint(len(data) + 1) if self.flexible else self.i32(len(data)))
        return self.raw(data)

    def array(self, items, each):
        if items is None:
            return self.uvarint(0) if self.flexible else self.i32(-1)
        (self.uvarint(len(items) + 1) if self.flexible else self.i32(len(items)))
        for item in items:
            each(item)
        return self

    def tags(self, data=b'\0'):
        return self.raw(data) if self.flexible else self


def request(key, version, body, client='test', unknown_tag=False):
    flexible = version >= APIS[key][3]
    w = Writer(False).i16(key).i16(version).i32(77).text(client)
    if flexible:
        w.raw(b'\1\x50\2hi' if unknown_tag else b'\0')
    b = Writer(flexible)
    body(b, version)
    return w.raw(b.data).data


def response(key, version, body):
    flexible = version >= APIS[key][3]
    w = Writer(flexible).i32(77)
    if key != 18:
        w.tags()
    body(w, version)
    return struct.pack('>i', len(w.data)) + w.data


# ------------------------------------------------------------------------------- ApiVersions

def api_versions_request(w, v):
    if v >= 3:
        w.text('tester').text('1.0').tags()


def api_versions_response(w, v):
    w.i16(0).array(sorted(APIS), lambda k: w.i16(k).i16(APIS[k][1]).i16(APIS[k][2]).tags())
    if v >= 1:
        w.i32(0)
    w.tags()


# ---------------------------------------------------------------------------------- Metadata

def metadata_request(topics, operations):
    def body(w, v):
        def each(topic):
            if v >= 10:
                w.raw(topic[1])
            w.text(topic[0]).tags()
        w.array([] if v == 0 and topics is None else topics, each)
        if v >= 4:
            w.i8(1)
        if 8 <= v <= 10:
            w.i8(operations)
        if v >= 8:
            w.i8(operations)
        w.tags()
    return body


def metadata_response(topics, operations):
    """topics: (error, name, id, partitions)"""
    def body(w, v):
        def broker(_):
            w.i32(NODE).text(HOST).i32(PORT)
            if v >= 1:
                w.text(None)
            w.tags()

        def partition(i):
            w.i16(0).i32(i).i32(NODE)
            if v >= 7:
                w.i32(EPOCH)
            w.array([NODE], w.i32).array([NODE], w.i32)
            if v >= 5:
                w.array([], w.i32)
            w.tags()

        def topic(t):
            error, name, topic_id, partitions = t
            w.i16(error).text(name)
            if v >= 10:
                w.raw(topic_id)
            if v >= 1:
                w.i8(0)
            w.array(range(partitions), partition)
            if v >= 8:
                w.i32(TOPIC_OPERATIONS if operations and error == 0 else NO_OPERATIONS)
            w.tags()

        if v >= 3:
            w.i32(0)
        w.array([0], broker)
        if v >= 2:
            w.text(CLUSTER_TEXT)
        if v >= 1:
            w.i32(NODE)
        w.array(topics, topic)
        if 8 <= v <= 10:
            w.i32(CLUSTER_OPERATIONS if operations else NO_OPERATIONS)
        w.tags()
    return body


# ------------------------------------------------------------------------------- ListOffsets

def list_offsets_request(wanted):
    """wanted: (partition, timestamp, epoch)"""
    def body(w, v):
        def partition(p):
            w.i32(p[0])
            if v >= 4:
                w.i32(p[2])
            w.i64(p[1]).tags()
        w.i32(-1)
        if v >= 2:
            w.i8(1)
        w.array([TOPIC], lambda t: w.text(t).array(wanted, partition).tags()).tags()
    return body


def list_offsets_response(answers):
    """answers: (partition, error, timestamp, offset, epoch)"""
    def body(w, v):
        def partition(a):
            w.i32(a[0]).i16(a[1]).i64(a[2]).i64(a[3])
            if v >= 4:
                w.i32(a[4])
            w.tags()
        if v >= 2:
            w.i32(0)
        w.array([TOPIC], lambda t: w.text(t).array(answers, partition).tags()).tags()
    return body


# ------------------------------------------------------------------------------------- Fetch

def fetch_request(wanted, session_epoch=-1, isolation=1, topic_id=TOPIC_ID):
    """wanted: (partition, offset, epoch)"""
    def body(w, v):
        def partition(p):
            w.i32(p[0])
            if v >= 9:
                w.i32(p[2])
            w.i64(p[1])
            if v >= 12:
                w.i32(-1)
            if v >= 5:
                w.i64(-1)
            w.i32(1 << 20)
            # tag 0 since version 17: the replica's directory
            w.tags(b'\1\0\x10' + bytes(16) if v >= 17 else b'\0')

        def topic(_):
            (w.raw(topic_id) if v >= 13 else w.text(TOPIC))
            w.array(wanted, partition).tags()

        def forgotten(_):
            (w.raw(OTHER_ID) if v >= 13 else w.text('gone'))
            w.array([0, 1], w.i32).tags()

        if v <= 14:
            w.i32(-1)
        w.i32(0).i32(1).i32(50 << 20).i8(isolation)
        if v >= 7:
            w.i32(0).i32(session_epoch)
        w.array([0] if wanted else [], topic)
        if v >= 7:
            w.array([0], forgotten)
        if v >= 11:
            w.text('rack-1')
        w.tags()
    return body


def fetch_response(answers, error=0, isolation=1, topic_id=TOPIC_ID):
    """answers: (partition, error, high watermark, log start, records)"""
    def body(w, v):
        def partition(a):
            w.i32(a[0]).i16(a[1]).i64(a[2]).i64(a[2])
            if v >= 5:
                w.i64(a[3])
            w.array([] if isolation else None, None)
            if v >= 11:
                w.i32(-1)
            w.blob(a[4]).tags()

        def topic(_):
            (w.raw(topic_id) if v >= 13 else w.text(TOPIC))
            w.array(answers, partition).tags()

        w.i32(0)
        if v >= 7:
            w.i16(error).i32(0)
        w.array([0] if answers else [], topic).tags()
    return body


# ----------------------------------------------------------------------------------- Produce

def produce_request(w, v):
    if v >= 3:
        w.text(None)
    w.i16(-1).i32(1000)
    w.array([TOPIC], lambda t: w.text(t).array([0, 1], lambda p: w.i32(p).blob(BATCH).tags()).tags())
    w.tags()


def produce_response(w, v):
    def partition(p):
        w.i32(p).i16(29).i64(-1)
        if v >= 2:
            w.i64(-1)
        if v >= 5:
            w.i64(-1)
        if v >= 8:
            w.array([], None).text(REFUSED)
        w.tags()
    w.array([TOPIC], lambda t: w.text(t).array([0, 1], partition).tags())
    if v >= 1:
        w.i32(0)
    w.tags()


# --------------------------------------------------------------------------- DescribeCluster

def describe_cluster_request(endpoint):
    def body(w, v):
        w.i8(1)
        if v >= 1:
            w.i8(endpoint)
        w.tags()
    return body


def describe_cluster_response(endpoint):
    def body(w, v):
        fine = endpoint == 1
        w.i32(0).i16(0 if fine else 114).text(None)
        if v >= 1:
            w.i8(1)
        w.text(CLUSTER_TEXT if fine else '').i32(NODE if fine else -1)
        w.array([0] if fine else [], lambda _: w.i32(NODE).text(HOST).i32(PORT).text(None).tags())
        w.i32(CLUSTER_OPERATIONS).tags()
    return body


# ----------------------------------------------------------------------------------- vectors

def case(out, key, version, what, ask, answer, **options):
    name = '%s-%d-%s' % (APIS[key][0], version, what)
    out.append((name, request(key, version, ask, **options), response(key, version, answer)))


def list_offsets_cases(out, v):
    wanted = [(0, -2, -1), (0, -1, -1), (0, T0 + 3, EPOCH), (0, T0 + 6, -1), (1, -1, -1), (9, -1, -1)]
    answers = [(0, 0, -1, 7, EPOCH), (0, 0, -1, 9, EPOCH), (0, 0, T0 + 5, 8, EPOCH),
               (0, 0, -1, -1, -1), (1, 0, -1, 0, EPOCH), (9, 3, -1, -1, -1)]
    if v >= 4:
        wanted += [(0, -1, EPOCH - 1), (0, -1, EPOCH + 1)]
        answers += [(0, 74, -1, -1, -1), (0, 75, -1, -1, -1)]
    special = {-3: (7, (0, 0, T0 + 5, 8, EPOCH)), -4: (8, (0, 0, -1, 7, EPOCH)),
               -5: (9, (0, 0, -1, -1, -1)), -6: (99, None)}
    for timestamp, (since, answer) in special.items():
        wanted.append((0, timestamp, -1))
        answers.append(answer if v >= since else (0, 35, -1, -1, -1))
    case(out, 2, v, 'all-timestamps', list_offsets_request(wanted), list_offsets_response(answers))


def fetch_cases(out, v):
    error = (-1, -1, b'')
    wanted = [(0, 7, -1), (1, 0, EPOCH), (0, 8, -1), (0, 9, -1), (0, 6, -1), (0, 10, -1), (5, 0, -1)]
    answers = [(0, 0, 9, 7, BATCH), (1, 0, 0, 0, b''), (0, 0, 9, 7, BATCH), (0, 0, 9, 7, b''),
               (0, 1) + error, (0, 1) + error, (5, 3) + error]
    if v >= 9:
        wanted += [(0, 7, EPOCH - 1), (0, 7, EPOCH + 1)]
        answers += [(0, 74) + error, (0, 75) + error]
    case(out, 1, v, 'data-and-errors', fetch_request(wanted), fetch_response(answers))
    case(out, 1, v, 'read-uncommitted', fetch_request(wanted[:1], isolation=0),
         fetch_response(answers[:1], isolation=0), unknown_tag=v >= 12)
    case(out, 1, v, 'nothing-wanted', fetch_request([]), fetch_response([]))
    if v >= 7:
        case(out, 1, v, 'new-session', fetch_request(wanted[:1], session_epoch=0),
             fetch_response(answers[:1]))
        case(out, 1, v, 'unknown-session', fetch_request(wanted[:1], session_epoch=5),
             fetch_response([], error=70))
    if v >= 13:
        case(out, 1, v, 'unknown-topic-id', fetch_request(wanted[:1], topic_id=OTHER_ID),
             fetch_response([(0, 100) + error], topic_id=OTHER_ID))


def metadata_cases(out, v):
    known = (0, TOPIC, TOPIC_ID, 2)
    asked = [(TOPIC, NO_ID), ('nope', NO_ID), ('bad name', NO_ID)]
    answers = [known, (3, 'nope', NO_ID, 0), (17, 'bad name', NO_ID, 0)]
    case(out, 3, v, 'all', metadata_request(None, 0), metadata_response([known], 0))
    case(out, 3, v, 'some', metadata_request(asked, 1), metadata_response(answers, 1), client=None)
    if v >= 1:
        case(out, 3, v, 'none', metadata_request([], 0), metadata_response([], 0))
    if v >= 12:
        case(out, 3, v, 'by-id', metadata_request([(None, TOPIC_ID), (None, OTHER_ID)], 0),
             metadata_response([known, (100, None, OTHER_ID, 0)], 0))


def vectors():
    out = []
    for v in range(0, 5):
        case(out, 18, v, 'table', api_versions_request, api_versions_response)
    out.append(('ApiVersions-99-fallback', Writer(False).i16(18).i16(99).i32(1).raw(b'\xff\xff??').data,
                bytes.fromhex('0000001000000001002300000001001200000004')))
    for v in range(0, 13):
        metadata_cases(out, v)
    for v in range(1, 10):
        list_offsets_cases(out, v)
    for v in range(4, 18):
        fetch_cases(out, v)
    for v in range(0, 12):
        case(out, 0, v, 'refused', produce_request, produce_response)
    for v in range(0, 2):
        case(out, 60, v, 'brokers', describe_cluster_request(1), describe_cluster_response(1))
    case(out, 60, 1, 'controllers', describe_cluster_request(2), describe_cluster_response(2))
    return out


def text_of(cases):
    head = '# name, request (behind its length), answer; made by kafka_vectors.py\n'
    return head + ''.join('%s %s %s\n' % (n, q.hex(), a.hex()) for n, q, a in cases)


def cross_check(cases):
    """kafka-python decodes and encodes again what it knows: both must give our bytes."""
    try:
        from kafka.protocol import admin, fetch, metadata, offset, produce
    except ImportError:
        return 0
    checked = 0
    for name, ask, answer in cases:
        api, version = name.split('-')[:2]
        module = {'Produce': (produce, 'Produce'), 'Fetch': (fetch, 'Fetch'),
                  'ListOffsets': (offset, 'Offset'), 'Metadata': (metadata, 'Metadata'),
                  'ApiVersions': (admin, 'ApiVersion')}.get(api)
        requests = getattr(module[0], module[1] + 'Request') if module else []
        if int(version) >= len(requests) or requests[int(version)] is None:
            continue
        if api == 'ListOffsets' and int(version) >= 4:
            continue  # it has a leader epoch of 64 bits there; Kafka's has 32
        if api == 'Produce' and int(version) >= 8:
            continue  # it has the error message behind all partitions, not in each
        kind = requests[int(version)]
        body = ask[10 + (0 if ask[8:10] == b'\xff\xff' else struct.unpack('>h', ask[8:10])[0]):]
        if api != 'Fetch' or int(version) < 7:  # its forgotten topics do not decode
            asked = kind.decode(body)  # kept: it encodes through a weak reference to itself
            assert asked.encode() == body, name
        answered = kind.RESPONSE_TYPE.decode(answer[8:])
        assert answered.encode() == answer[8:], name
        checked += 1
    return checked


def main():
    cases = vectors()
    if sys.argv[1] == '--corpus':
        for name, ask, _ in cases:
            with open(os.path.join(sys.argv[2], name), 'wb') as file:
                file.write(ask)
    elif sys.argv[1] == '--check':
        with open(sys.argv[2]) as file:
            assert file.read() == text_of(cases), 'run kafka_vectors.py ' + sys.argv[2]
        print('%d vectors, %d agreed with kafka-python' % (len(cases), cross_check(cases)))
    else:
        with open(sys.argv[1], 'w') as file:
            file.write(text_of(cases))


main()
