#!/usr/bin/env python3
"""Rules files that are too much: pathological_test.py PENSTOCK [unittest arguments]

Each is refused with a message that names file, line and what to do, or it is taken and costs little. Whatever happens takes
seconds, and memory that a node has to spare.
"""
import contextlib
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import unittest

from differential import NODE

PENSTOCK = sys.argv.pop(1) if len(sys.argv) > 1 else 'penstock'
SECONDS = 20  # of one file, on a busy machine; most take a few milliseconds
MEMORY_KIB = 1 << 20
REFUSED = 78  # EX_CONFIG
RULES_MAX = 16384
NOBODY = 65534
DEFAULT = "default: { route: events }\n"


def rule(when, do='drop', name='r', more=''):
    return f"  - {{ name: {name}, when: {when}, do: {do}{more} }}\n"


def one_rule(when, **more):
    return 'rules:\n' + rule(when, **more) + DEFAULT


def quoted(pattern):
    return "'" + pattern.replace("'", "''") + "'"


class Files(unittest.TestCase):
    """The rules stand in rules.yaml beside a penstock.yaml; `penstock check` reads both."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.rules = self.folder / 'rules.yaml'
        (self.folder / 'penstock.yaml').write_text(NODE)

    def run_check(self, **more):
        began = time.monotonic()
        with open(self.folder / 'out', 'w+b') as out:
            process = subprocess.Popen([PENSTOCK, 'check', self.folder / 'penstock.yaml'], stdout=out, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, **more)
            end = began + 3 * SECONDS
            while True:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid != 0:
                    break
                if time.monotonic() > end:
                    process.kill()
                    os.wait4(process.pid, 0)
                    process.returncode = -9
                    self.fail(f'no end after {3 * SECONDS} s')
                time.sleep(0.005)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            text = out.read().decode(errors='replace')
        self.assertLess(time.monotonic() - began, SECONDS)
        self.assertLess(used.ru_maxrss, MEMORY_KIB, 'memory in KiB')
        return process.returncode, text

    def write(self, text):
        (self.rules.write_bytes if isinstance(text, bytes) else self.rules.write_text)(text)

    def assert_refused(self, text, *words, line=2, **more):
        """Exit 78, and a message at rules.yaml:LINE with all the words. line None: of the whole file."""
        if text is not None:
            self.write(text)
        code, out = self.run_check(**more)
        self.assertEqual(code, REFUSED, out[:2000])
        where = 'rules.yaml' if line is None else f'rules.yaml:{line}:'
        errors = [said for said in out.splitlines() if where in said]
        self.assertTrue(any(all(word in said for word in words) for said in errors), f'{where} {words} is not in\n{out[:2000]}')
        self.assertLess(len(out), 1 << 20, 'nobody reads that much')

    def assert_taken(self, text):
        self.write(text)
        code, out = self.run_check()
        self.assertEqual(code, 0, out[:2000])


class Patterns(Files):
    def test_nested_repeats_cost_nothing_here(self):
        patterns = [r'((a+)+)+$', r'(a*)*b', r'(a|aa)+$', r'(.*)*x', r'([a-z]+)*\d', r'^(([a-z])+.)+[A-Z]([a-z])+$', r'(x+x+)+y']
        self.assert_taken('rules:\n' + ''.join(rule(quoted(p), name=f'r{i}') for i, p in enumerate(patterns)) + DEFAULT)

    def test_many_patterns_of_everything_in_between(self):
        rules = ''.join(rule(quoted(f'.*alpha{i}.*beta{i}.*gamma'), name=f'r{i}') for i in range(200))

        self.assert_taken('rules:\n' + rules + DEFAULT)

    def test_a_repeat_beyond_the_largest(self):
        self.assert_refused(one_rule(quoted('a{32768}')), 'bad pattern', 'too large')

    def test_repeats_of_repeats_that_multiply(self):
        for pattern in ('(a{1000}){1000}', '(.{1,3000}x){1,3000}', '((a{100}){100}){100}'):
            with self.subTest(pattern):
                self.assert_refused(one_rule(quoted(pattern)), 'too large')

    def test_a_repeat_of_repeats_that_only_the_compiler_finds_too_large(self):
        self.assert_refused(one_rule(quoted('((ab){200}c){200}')), 'limit', line=2)

    def test_thousands_of_alternatives(self):
        self.assert_taken(one_rule(quoted('|'.join(f'w{i}' for i in range(2000)))))

    def test_a_pattern_of_a_mebibyte(self):
        self.assert_refused(one_rule(quoted('a' * (1 << 20))), 'bad pattern', 'limit')

    def test_thousands_of_open_groups(self):
        self.assert_taken(one_rule(quoted('(' * 5000 + 'a' + ')' * 5000)))

    def test_half_a_pattern(self):
        for pattern in ('(', '[', 'a{2,1}', '*', '\\', '(?', '[[:nothing:]]', '\\x{110000}'):
            with self.subTest(pattern):
                self.assert_refused(one_rule(quoted(pattern)), 'bad pattern')

    def test_what_cannot_be_searched_in_one_pass(self):
        for pattern in (r'(a)\1', '(?=a)b', '(?<!a)b', '(?>a)', 'a*+', '(?R)', '(?(1)a)', '(?m)^a', '(?x) a', '(*UTF8)a'):
            with self.subTest(pattern):
                self.assert_refused(one_rule(quoted(pattern)), 'bad pattern')

    def test_all_errors_come_at_once(self):
        self.write('rules:\n' + rule("'('", name='a') + rule("'['", name='b') + rule("'ok'", name='c', do='{ route: evnts }') + DEFAULT)

        _, out = self.run_check()

        for line in (2, 3, 4):
            self.assertIn(f'rules.yaml:{line}:', out)
        self.assertIn("did you mean 'events'", out)


class Redactions(Files):
    def redaction(self, pattern):
        return one_rule("'a'", do=f'{{ redact: {{ match: {quoted(pattern)} }} }}')

    def test_a_redaction_of_nothing(self):
        for pattern in ('x*', '^', '$', '', '(a|)', 'a{0,4}'):
            with self.subTest(pattern):
                self.assert_refused(self.redaction(pattern))

    def test_a_redaction_whose_beginnings_are_not_known(self):
        self.assert_refused(self.redaction('(foo|bar).{1000,30000}x|y.*z{3000}'), 'redact')

    def test_a_redaction_of_what_the_decoder_wrote(self):
        for field in ('syslog.severity', 'header:syslog.facility', 'syslog.version', 'listener', 'source', 'json:.a'):
            with self.subTest(field):
                self.assert_refused(one_rule("'a'", do=f"{{ redact: {{ field: '{field}', match: a }} }}"), 'redact')

    def test_a_mask_of_two_bytes(self):
        self.assert_refused(one_rule("'a'", do="{ redact: { match: a, with: 'ä' } }"), 'with', 'one')


class Trees(Files):
    @staticmethod
    def nested(levels, kind='all'):
        if kind == 'not':
            return '{ not: ' * levels + "'a'" + ' }' * levels
        return f'{{ {kind}: [ ' * levels + "'a'" + ' ] }' * levels

    def test_32_levels_are_taken(self):
        for kind in ('all', 'any', 'not'):
            with self.subTest(kind):
                self.assert_taken(one_rule(self.nested(32, kind)))

    def test_33_are_not(self):
        for kind in ('all', 'any', 'not'):
            with self.subTest(kind):
                self.assert_refused(one_rule(self.nested(33, kind)), 'deeper', '32')

    def test_500_and_a_hundred_thousand_are_not(self):
        for levels in (500, 100_000):
            with self.subTest(levels):
                self.assert_refused(one_rule(self.nested(levels)), 'deep')

    def test_a_wide_tree_is_taken(self):
        self.assert_taken(one_rule('{ any: [ ' + ', '.join(quoted(f'w{i}x') for i in range(5000)) + ' ] }'))

    def test_more_tests_than_there_may_be(self):
        self.assert_refused(one_rule('{ field: key, equals: [ ' + ', '.join(f'k{i}' for i in range(100_001)) + ' ] }'), '100000')

    def test_empty_trees(self):
        for when in ('{ all: [] }', '{ any: [] }', '{ not: }', '{}', '[]', "{ field: key, equals: [] }", '{ field: key }', "''"):
            with self.subTest(when):
                self.assert_refused(one_rule(when))


class Values(Files):
    def test_numbers_that_are_none(self):
        for number in ('abc', 'nan', 'inf', '1e999999', '0x10', '1_000', "''", '[1]', '1' * 400):
            with self.subTest(number):
                self.assert_refused(one_rule(f'{{ field: key, below: {number} }}'))

    def test_networks_that_are_none(self):
        for network in ('10.0.0.0/33', '10.1.2.3/8', '10.0.0.0', "'::/129'", '300.0.0.0/8', "''", '10.0.0.0/08', "'::1/64'"):
            with self.subTest(network):
                self.assert_refused(one_rule(f'{{ field: source, in: {network} }}'))

    def test_shares_that_are_none(self):
        for share in ('1/0', '2/3', '1/-1', '1/4294967296', '0.01', '1', '1/', '/1', '1/1.5'):
            with self.subTest(share):
                self.assert_refused(one_rule("'a'", do=f"{{ keep: {share} }}"), '1/')

    def test_limits_that_are_none(self):
        for limit in ('records: 0/s', 'records: -1/s', 'records: 1000', 'records: 10/m', 'bytes: 1XiB/s', 'records: 1/s, bytes: 1B/s',
                      'burst: 5', 'records: 1/s, burst: 0', 'records: 1/s, by: key, buckets: 0', 'records: 1/s, buckets: 8',
                      'records: 1/s, by: key, buckets: 1000000000', 'records: 99999999999999999999/s'):
            with self.subTest(limit):
                self.assert_refused(one_rule("'a'", do=f'{{ limit: {{ {limit} }} }}'))

    def test_buckets_of_all_rules_are_bounded(self):
        rules = ''.join(rule("'a'", do='{ limit: { records: 1/s, by: key, buckets: 1048576 } }', name=f'r{i}') for i in range(3))

        self.assert_refused('rules:\n' + rules + DEFAULT, 'buckets', line=3)

    def test_json_paths_that_are_none(self):
        for path in ('', 'level', '.', '..a', '.a[', '.a[x]', '.a[-1]', '."a', '.a b', '.a.' + 'b' * 300, '.a' * 17,
                     '[99999999999999999999]'):
            with self.subTest(path):
                self.assert_refused(one_rule(f"{{ field: {quoted('json:' + path)}, match: a }}"))

    def test_more_json_paths_than_there_may_be(self):
        rules = ''.join(rule(f"{{ field: 'json:.m{i}', present: true }}", name=f'r{i}') for i in range(65))

        self.assert_refused('rules:\n' + rules + DEFAULT, '64', line=66)

    def test_a_route_that_could_grow_beyond_eight(self):
        topics = [f't{i}' for i in range(9)]
        (self.folder / 'penstock.yaml').write_text(NODE.replace('topics: [', 'topics: [ ' + ', '.join(f'{{ name: {t} }}' for t in topics) + ','))
        rules = ''.join(rule("'a'", do=f'{{ route: {topic} }}', name=topic, more=', continue: true') for topic in topics)

        self.assert_refused('rules:\n' + rules + DEFAULT, '8', line=10)

    def test_continue_behind_drop(self):
        self.assert_refused(one_rule("'a'", more=', continue: true'), 'continue')

    def test_two_rules_of_one_name(self):
        self.assert_refused('rules:\n' + rule("'a'") + rule("'b'") + DEFAULT, "'r'", 'line 2', line=3)

    def test_a_name_nobody_can_read(self):
        self.assert_refused(one_rule("'a'", name='n' * 100_000))


class Yaml(Files):
    def test_the_billion_laughs(self):
        lines = ['a0: &a0 [lol, lol]'] + [f'a{i}: &a{i} [' + ', '.join([f'*a{i - 1}'] * 10) + ']' for i in range(1, 30)]
        self.assert_refused('\n'.join(lines) + '\n', 'anchor', line=1)

    def test_an_alias_of_itself(self):
        self.assert_refused('rules: &r\n  - *r\n' + DEFAULT, 'anchor', line=1)

    def test_a_rule_too_many(self):
        rules = ''.join(rule("'a'", name=f'r{i}') for i in range(RULES_MAX + 1))

        self.assert_refused('rules:\n' + rules + DEFAULT, str(RULES_MAX + 1), str(RULES_MAX))

    def test_a_list_of_a_million_nothings(self):
        self.assert_refused('rules: [' + 'a,' * 1_000_000 + 'a]\n' + DEFAULT, str(RULES_MAX), line=1)

    def test_a_hundred_thousand_levels_of_lists(self):
        self.assert_refused('rules: ' + '[' * 100_000 + '\n', 'nest', line=1)

    def test_a_hundred_thousand_keys(self):
        keys = ', '.join(f'k{i}: 1' for i in range(100_000))

        self.assert_refused('rules:\n' + f"  - {{ name: r, when: 'a', do: drop, {keys} }}\n" + DEFAULT, 'no such key')

    def test_one_key_a_hundred_thousand_times(self):
        self.assert_refused('rules: []\n' * 100_000, 'rules')

    def test_a_scalar_of_ten_megabytes(self):
        self.assert_refused(one_rule(quoted('a' * 10_000_000)), 'bad pattern')

    def test_bytes_that_are_no_text(self):
        self.assert_refused(b"rules:\n  - { name: r, when: '\xff\xfe', do: drop }\n", line=None)
        self.assert_refused(b"rules:\n  - { name: r, when: 'a\0b', do: drop }\n", line=None)
        self.assert_refused(b'\0' * 1000, line=None)
        self.assert_refused(os.urandom(4096), line=None)

    def test_an_escaped_nul(self):
        self.assert_refused(one_rule('"a\\0b"'), 'NUL')

    def test_half_a_file(self):
        whole = one_rule('{ all: [ \'a\', { field: key, match: "b" } ] }', do='{ route: [events, web] }')
        for end in range(1, whole.index('default'), 7):
            with self.subTest(whole[:end]):
                self.write(whole[:end])
                code, out = self.run_check()
                self.assertEqual(code, REFUSED)
                self.assertIn('rules.yaml:', out)

    def test_nothing_at_all(self):
        for text in ('', '# only a comment\n', 'rules:\n', '42\n', '[]\n'):
            with self.subTest(text):
                self.assert_refused(text, line=None)


class NoFiles(Files):
    def test_a_hundred_megabytes(self):
        with open(self.rules, 'wb') as file:
            file.truncate(100_000_000)
        self.assert_refused(None, 'too large', line=None)

    def test_a_pipe_that_nobody_writes_to(self):
        os.mkfifo(self.rules)
        self.assert_refused(None, 'regular file', line=None)

    def test_a_folder(self):
        self.rules.mkdir()
        self.assert_refused(None, line=None)

    def test_a_file_that_is_not_there(self):
        self.assert_refused(None, 'o such file', line=None)

    def test_a_link_to_itself(self):
        self.rules.symlink_to(self.rules)
        self.assert_refused(None, line=None)

    def test_a_device_without_end(self):
        self.rules.symlink_to('/dev/zero')
        self.assert_refused(None, 'regular file', line=None)

    @unittest.skipUnless(os.geteuid() == 0, 'only root can become nobody')
    def test_a_file_that_may_not_be_read(self):
        self.write(one_rule("'a'"))
        self.rules.chmod(0o600)
        self.folder.chmod(0o755)
        self.assert_refused(None, 'Permission denied', line=None, user=NOBODY, group=NOBODY, extra_groups=[])


class Costs(Files):
    def test_a_database_over_its_limit(self):
        rules = ''.join(rule(quoted(f'word{i}[a-z]+x{i}'), name=f'r{i}') for i in range(300))

        self.assert_refused('limits: { database: 64KiB }\nrules:\n' + rules + DEFAULT, 'database', '64KiB', line=None)

    def test_a_compilation_over_its_limit(self):
        rules = ''.join(rule(quoted(f'(a{i}|b{i}).{{1,200}}(c{i}|d{i}).{{1,200}}e{i}'), name=f'r{i}') for i in range(1000))

        self.assert_refused('limits: { compile: 1s }\nrules:\n' + rules + DEFAULT, 'compil', line=None)

    def test_limits_that_are_none(self):
        for limits in ('matches: 0', 'matches: x', 'database: 0B', 'compile: 0s', 'compile: 5', 'speed: 1'):
            with self.subTest(limits):
                self.assert_refused(f'limits: {{ {limits} }}\nrules: []\n{DEFAULT}', line=1)

    def test_examples_that_are_none(self):
        for examples in ('keep: 0', 'keep: 17', 'bytes: 15', 'bytes: 1025', 'keep: x', 'more: 1'):
            with self.subTest(examples):
                self.assert_refused(f'examples: {{ {examples} }}\nrules: []\n{DEFAULT}', line=1)


class Records(Files):
    """Judged by `penstock rules test`, a record a line; the slowest of a generic set takes microseconds."""

    RULES = 'rules:\n' + ''.join(rule(quoted(p), name=f'r{i}', do='{ route: web }', more=', continue: true') for i, p in enumerate(
        [r'((a+)+)+$', r'(a*)*b', '.*.*.*=.*', r'(\w+\s?)+!', r'^(.+)+$', '[^x]*x[^y]*y', 'a{5,4000}b'])) + (
        "  - { name: mask, when: 'a', do: { redact: { match: 'a' } }, continue: true }\n") + DEFAULT

    def judge(self, rules, records):
        self.write(rules)
        began = time.monotonic()
        run = subprocess.run([PENSTOCK, 'rules', 'test', '-c', self.folder / 'penstock.yaml', self.rules, '--json'],
                             input=b'\n'.join(records) + b'\n', capture_output=True, timeout=3 * SECONDS)
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        lines = run.stdout.splitlines()
        self.assertEqual(len(lines), len(records))
        self.assertLess(time.monotonic() - began, SECONDS)
        return lines

    def test_nine_kilobytes_of_one_byte(self):
        self.judge(self.RULES, [bytes([byte]) * 9000 for byte in b'ab=x! \0\xff"{[' for _ in range(20)])

    def test_bytes_that_are_no_text(self):
        self.judge(self.RULES, [b'', b'\0', b'\xff\xfe', b'\xc3', b'\xed\xa0\x80', bytes(set(range(256)) - {10}), b'\r'])

    def test_ten_thousand_matches_in_one_record(self):
        rules = ''.join(rule(quoted('a' * (i + 1)), name=f'r{i}', do='{ route: web }', more=', continue: true') for i in range(2001))

        whole, storm = self.judge('rules:\n' + rules + DEFAULT, [b'a' * 2000, b'a' * 9000])

        self.assertIn(b'"r1999"', whole)
        self.assertNotIn(b'"r0"', storm)


if __name__ == '__main__':
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(KeyboardInterrupt):
        unittest.main()
