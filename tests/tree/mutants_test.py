#!/usr/bin/env python3
"""tools/mutants tells a bug that is caught from one that is missed, and from a patch that is no bug.

It runs on a tree of its own: one C file, one test program, a few patches.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / 'tools' / 'mutants'

TREE = {
    '.gitignore': '/build/\n',
    'meson.build': '''\
project('small', 'c', default_options: ['werror=true', 'warning_level=2'])
test('answer', executable('answer', 'answer.c', 'answer_test.c'))
''',
    'answer.c': '''\
int answer(void);

/* What it all comes to. */
int answer(void)
{
    return 42;
}
''',
    'answer_test.c': '''\
#include <stdio.h>
#include <string.h>

int answer(void);

int main(int count, char **words) /* speaks as GoogleTest does */
{
    if (count > 1 && strcmp(words[1], "--gtest_filter=Answer.*") != 0) {
        puts("[  PASSED  ] 0 tests.");
        return 0;
    }
    puts("[ RUN      ] Answer.Is42");
    fflush(stdout);
    if (answer() != 42) { puts("[  FAILED  ] Answer.Is42 (0 ms)"); }
    return answer() != 42;
}
''',
}

HEADER = 'Bug: another answer\n    on two lines\nBreaks: C1\nTest: answer: Answer.*\n\n'


class Mutants(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.root = pathlib.Path(self.directory.name)
        for name, text in TREE.items():
            (self.root / name).write_text(text)
        (self.root / 'tools').mkdir()
        shutil.copy(TOOL, self.root / 'tools' / 'mutants')
        self.git('init', '--quiet')
        self.git('add', '.')
        self.commit()

    def git(self, *arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith('GIT_')}
        return subprocess.run(['git', *arguments], cwd=self.root, env=environment, check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def commit(self):
        self.git('-c', 'user.name=test', '-c', 'user.email=test@localhost', 'commit', '--quiet', '-am', 'a tree')

    def tool(self, *arguments):
        done = subprocess.run([self.root / 'tools' / 'mutants', *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
        return done.returncode, done.stdout

    def plant(self, name, old, new, header=HEADER):
        """A patch that replaces `old` in answer.c; made by the tool itself."""
        source = self.root / 'answer.c'
        source.write_text(TREE['answer.c'].replace(old, new))
        code, said = self.tool('--new', name)
        source.write_text(TREE['answer.c'])
        self.assertEqual(code, 0, said)
        patch, = (self.root / 'tests' / 'mutants').glob(f'[0-9][0-9]-{name}.patch')
        diff = patch.read_text()[patch.read_text().index('diff --git'):]
        patch.write_text(header + diff)
        return patch

    def test_each_patch_gets_its_verdict(self):
        self.plant('wrong', '42', '41')
        self.plant('comment-only', 'What it all', 'What everything')
        self.plant('crash', 'return 42', '__builtin_trap()')
        self.plant('hardly-c', 'return 42', 'return forty-two')
        stale = self.plant('stale', '42', '43')
        stale.write_text(stale.read_text().replace('-    return 42', '-    return 7'))

        code, said = self.tool('--jobs', '1')

        self.assertEqual(code, 1, said)
        self.assertIn('caught  01-wrong  by answer: Answer.Is42, exit 1', said)
        self.assertIn('MISSED  02-comment-only', said)
        self.assertRegex(said, r'caught  03-crash  by answer: Answer.Is42, killed by SIG(ILL|TRAP)')
        self.assertIn('broken  04-hardly-c  does not build', said)
        self.assertIn('stale   05-stale', said)
        self.assertEqual(said.splitlines()[-1], '2 caught, 1 missed, 1 broken, 1 stale')
        self.assertEqual(list((self.root / 'build').glob('mutants/*')), [], 'the copy is gone')
        self.assertEqual(self.git('status', '--porcelain', '--untracked-files=no'), '')

    def test_all_caught_is_success(self):
        self.plant('wrong', '42', '41')

        code, said = self.tool('wrong', '--keep')
        self.assertEqual((code, said.splitlines()[-1]), (0, '1 caught, 0 missed'), said)

    def test_a_copy_that_was_kept_follows_head(self):
        self.plant('wrong', '42', '41')
        self.tool('--keep')
        (self.root / 'meson.build').write_text(TREE['meson.build'].replace("test('answer'", "test('reply'"))
        self.commit()
        patch, = (self.root / 'tests' / 'mutants').glob('*.patch')
        patch.write_text(patch.read_text().replace('Test: answer', 'Test: reply'))

        code, said = self.tool('--keep')

        self.assertEqual((code, said.splitlines()[-1]), (0, '1 caught, 0 missed'), said)

    def test_tests_that_fail_or_do_nothing_without_a_bug_are_refused(self):
        self.plant('wrong', '42', '41', HEADER.replace('Answer.*', 'Nothing.*'))

        code, said = self.tool()
        self.assertEqual(code, 1, said)
        self.assertIn('its filter names no test', said)

        (self.root / 'answer.c').write_text(TREE['answer.c'].replace('42', '40'))
        self.commit()
        self.plant('other', '42', '41')
        code, said = self.tool('other')
        self.assertEqual(code, 1, said)
        self.assertIn('fails without a bug', said)

    def test_a_header_says_everything_or_is_refused(self):
        patch = self.plant('wrong', '42', '41', 'Bug:\nBreaks: C1\nTest: answer\n\n')
        self.assert_refused(f'{patch.name}: Bug is empty')
        self.plant_again(patch, 'Bug: b\nBreaks: C1\n\n')
        self.assert_refused('names no Test and no Command')
        self.plant_again(patch, 'Bug: b\nTest: answer\n\n')
        self.assert_refused('does not say Breaks')
        self.plant_again(patch, 'Bug: b\nBreaks: C1\nCommand: false\n\n')
        self.assert_refused('a Command needs a Build')
        self.plant_again(patch, 'Bug: b\nBreaks: C1\nTest: question\n\n')
        code, said = self.tool()
        self.assertEqual((code, 'there is no test question' in said), (1, True), said)

    def plant_again(self, patch, header):
        patch.write_text(header + patch.read_text()[patch.read_text().index('diff --git'):])

    def assert_refused(self, why):
        code, said = self.tool('--list')
        self.assertEqual(code, 1, said)
        self.assertIn(why, said)


if __name__ == '__main__':
    if shutil.which('meson') is None or shutil.which('git') is None:
        print('meson and git are needed')
        sys.exit(77)
    unittest.main()
