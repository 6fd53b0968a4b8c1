#!/usr/bin/env python3
"""The reference itself is right: each part of it against a second, other way to the same answer.

Patterns: Python's `re` against the machine that redaction walks. JSON members: against the json module. The hash: against
published values of FNV-1a. Whole judgements: by hand.
"""
import json
import random
import unittest

from generate import RuleSets, as_yaml
from patterns import Grammar, Leaf, Pattern, Repeat, Sequence
from records import Records
from reference import Asked, Json, Judge, Limit, Network, json_steps, keep_hash


class Patterns(unittest.TestCase):
    def test_a_pattern_is_found_by_re_where_its_machine_finds_it(self):
        for seed in range(60):
            chance = random.Random(seed)
            pattern = Grammar(chance).pattern()
            records = Records(chance, [pattern])
            for value in [records.record()['value'][:300] for _ in range(10)] + [records.near()[:300] for _ in range(10)]:
                found = next(pattern.machine.spans(value), None)
                self.assertEqual(pattern.holds(value), found is not None, (seed, pattern.text, value))

    def test_a_sample_of_a_pattern_without_places_is_found(self):
        for seed in range(200):
            pattern = Grammar(random.Random(seed)).redaction()
            if not any(place in pattern.text for place in ('^', '$')):
                self.assertTrue(pattern.holds(pattern.sample(random.Random(seed))), pattern.text)

    def test_redaction_overwrites_the_union_of_all_matches(self):
        a, b = Leaf(b'a', 'a'), Leaf(b'b', 'b')

        redacted = Pattern(Sequence([a, Repeat(b, 0, 1), a])).redact(b'xabaax', b'*')

        self.assertEqual(redacted, b'x****x')


class JsonMembers(unittest.TestCase):
    DOCUMENT = {'level': 'a"b', 'http': {'status': 503, 'ok': True}, 'items': [{'id': 'x'}, {'id': 7}], 'odd name': {'x': 'Ü\U0001f600\n'}}

    def member(self, path, text):
        return Json(text).member(json_steps(path))

    def test_strings_come_unescaped_and_the_rest_as_it_stands(self):
        for form in ({}, {'ensure_ascii': False}, {'indent': 2}):
            text = json.dumps(self.DOCUMENT, **form).encode()
            self.assertEqual(self.member('.level', text), b'a"b')
            self.assertEqual(self.member('."odd name".x', text), 'Ü\U0001f600\n'.encode())
            self.assertEqual(self.member('.http.status', text), b'503')
            self.assertEqual(self.member('.items[1].id', text), b'7')
            self.assertEqual(json.loads(self.member('.items', text)), self.DOCUMENT['items'])
            self.assertIsNone(self.member('.nothing', text))

    def test_what_stands_before_a_break_is_found(self):
        self.assertEqual(self.member('.a', b'{"a":1,!'), b'1')
        self.assertIsNone(self.member('.b', b'{"a":1,!"b":2}'))
        self.assertIsNone(self.member('.a', b'{"a":1'))
        self.assertEqual(self.member('.a', b'{"a":"1"'), b'1')

    def test_the_first_of_two_members_counts(self):
        self.assertEqual(self.member('.a', b'{"a":1,"a":2}'), b'1')
        self.assertIsNone(self.member('.a.b', b'{"a":1,"a":{"b":2}}'))

    def test_half_a_pair_of_surrogates_stays_as_written(self):
        self.assertEqual(self.member('.a', rb'{"a":"x\ud83dy\u00fc"}'), rb'x\ud83dy' + 'ü'.encode())

    def test_deeper_than_64_levels_is_not_looked_at(self):
        self.assertEqual(self.member('.a' * 1 + '[0]' * 3, b'{"a":[[[1]]]}'), b'1')
        self.assertIsNone(self.member('.b', b'{"a":' + b'[' * 64 + b']' * 64 + b',"b":1}'))
        self.assertEqual(self.member('.b', b'{"a":' + b'[' * 63 + b']' * 63 + b',"b":1}'), b'1')


class Judgement(unittest.TestCase):
    def test_fnv_1a_is_that_of_its_authors(self):
        self.assertEqual(keep_hash(b''), 0xcbf29ce484222325 ^ 0xcbf29ce4)
        self.assertEqual(keep_hash(b'foobar'), 0x85944171f73967e8 ^ 0x85944171)

    def test_networks_know_both_families(self):
        self.assertTrue(Network('10.0.0.0/8').has('10.255.255.255'))
        self.assertTrue(Network('10.0.0.0/8').has('::ffff:10.1.2.3'))
        self.assertFalse(Network('10.0.0.0/8').has('11.0.0.0'))
        self.assertFalse(Network('2001:db8::/32').has(None))

    def test_later_rules_are_asked_only_behind_continue_and_shadow(self):
        a, b, c, d = (Pattern(Leaf(letter, letter.decode())) for letter in (b'a', b'b', b'c', b'd'))
        said = {'rules': [{'name': 'one', 'when': 'a', 'do': {'route': 'x'}, 'continue': True},
                          {'name': 'two', 'when': 'b', 'do': 'drop', 'mode': 'shadow'},
                          {'name': 'three', 'when': {'not': 'c'}, 'do': {'route': ['y', 'x']}},
                          {'name': 'four', 'when': 'd', 'do': 'drop'}], 'default': 'drop'}
        judge = Judge(said, {pattern.text: pattern for pattern in (a, b, c, d)}, {})

        def judged(value):
            out = judge.judge({'value': value, 'key': None, 'headers': {}, 'source': None, 'topic': None, 'time_ms': 0,
                               'listener': 'lines:1'})
            return out['verdict'], out['topics'], out['rules']

        self.assertEqual(judged(b'abd'), ('store', ['x', 'y'], ['one', 'two', 'three']))
        self.assertEqual(judged(b'abcd'), ('drop', [], ['one', 'two', 'four']))
        self.assertEqual(judged(b'ac'), ('store', ['x'], ['one']))
        self.assertEqual(judged(b'c'), ('drop', [], []))

    def test_a_limit_lets_its_burst_through_and_then_its_rate(self):
        limit = Limit({'records': '100/s', 'burst': 2})
        times = [0, 0, 0, 9, 10, 10, 1000, 1000, 1000]

        room = [limit.has_room(Asked({'value': b'', 'key': None, 'time_ms': time, 'first_ms': 0})) for time in times]

        self.assertEqual(room, [True, True, False, False, True, False, True, True, False])

    def test_every_generated_set_can_be_written_and_judged(self):
        for seed in range(20):
            sets = RuleSets(random.Random(seed))
            said = sets.rule_set()
            self.assertIn('default: ', as_yaml(said))
            judge = Judge(said, sets.patterns, {})
            records = Records(random.Random(seed), list(sets.patterns.values()))
            for _ in range(50):
                self.assertIn(judge.judge(records.record())['verdict'], ('store', 'drop'))


if __name__ == '__main__':
    unittest.main()
