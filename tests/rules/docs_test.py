#!/usr/bin/env python3
"""Every example of docs/rules.md does what stands below it: docs_test.py PENSTOCK [--write]

A section's blocks are played in order in a folder of its own:

  ```yaml      a whole file: the node's (`node:` in front) is penstock.yaml of all sections behind it too, any other rules.yaml,
               which `penstock rules check` must take
  ```console   `$ cat FILE` writes the lines below it to FILE; any other `$ COMMAND` is run, and must print the lines below it,
               where `…` stands for anything
  ```sh        needs a running node, so it is not run: the verbs and options in it must be those of `penstock rules VERB --help`

--write puts what the commands print into the document, for whoever reads the difference afterwards.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'rules.md'
PENSTOCK = pathlib.Path(sys.argv[1]).resolve()
BLOCK = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)
LEAST_COMMANDS = 10  # fewer were found: this test lost its way


def command_line(text, folder):
    """What it prints, its complaints included, and how it ended."""
    environment = dict(os.environ, PATH=f'{PENSTOCK.parent}:{os.environ["PATH"]}', COLUMNS='120')
    run = subprocess.run(['sh', '-c', text], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=60)
    return run.stdout.decode(), run.returncode


def same(expected, printed):
    pattern = '.*'.join(re.escape(part) for part in expected.split('…'))
    return re.fullmatch(pattern, printed, re.S) is not None


class Section:
    def __init__(self, title, node):
        self.title, self.node = title, node
        self.complaints, self.commands = [], 0
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)
        if node is not None:
            (self.folder / 'penstock.yaml').write_text(node)

    def complain(self, text):
        self.complaints.append(f'{self.title}: {text}')

    def yaml(self, text):
        if text.startswith('node:'):
            self.node = text
            (self.folder / 'penstock.yaml').write_text(text)
            return
        (self.folder / 'rules.yaml').write_text(text)
        said, code = command_line('penstock rules check -c penstock.yaml rules.yaml', self.folder)
        if code != 0:
            self.complain(f'refused:\n{text}{said}')

    def console(self, text):
        """Answers the block as it should be."""
        out = []
        for step in re.split(r'^(?=\$ )', text, flags=re.M):
            line, _, below = step.partition('\n')
            command = line.removeprefix('$ ')
            file = re.fullmatch(r'cat (\S+)', command)
            if file is not None:
                (self.folder / file[1]).write_text(below)
            elif command:
                below = self.run(command, below)
            out.append(f'{line}\n{below}' if line else '')
        return ''.join(out)

    def run(self, command, expected):
        self.commands += 1
        printed, _ = command_line(command, self.folder)
        if same(expected, printed):
            return expected
        self.complain(f'$ {command}\nis said to print\n{expected}but prints\n{printed}')
        return printed

    def sh(self, text):
        for line in text.splitlines():
            words = line.split('#')[0].replace(';', ' ').split()
            if words[:2] != ['penstock', 'rules']:
                continue
            self.commands += 1
            said, code = command_line(f'penstock rules {words[2]} --help', self.folder)
            known = set(re.findall(r'(?<![\w-])--?[a-zA-Z][a-z-]*', said))
            unknown = [word for word in words[3:] if re.fullmatch('--?[a-zA-Z][a-z-]*', word) and word not in known]
            if code != 0 or unknown:
                self.complain(f'{line}: {"no such verb" if code != 0 else f"no such options: {unknown}"}\n{said}')


def play(text):
    """(the document as it should be, complaints, number of commands)"""
    out, complaints, commands, node = [], [], 0, None
    for part in re.split(r'^(?=#+ (?!rules\.yaml))', text, flags=re.M):
        section = Section(part.partition('\n')[0].lstrip('# '), node)

        def replaced(match, section=section):
            kind, content = match.groups()
            if kind == 'yaml':
                section.yaml(content)
            elif kind == 'console':
                content = section.console(content)
            elif kind == 'sh':
                section.sh(content)
            return f'```{kind}\n{content}```'

        out.append(BLOCK.sub(replaced, part))
        node = section.node
        complaints += section.complaints
        commands += section.commands
        section.scratch.cleanup()
    return ''.join(out), complaints, commands


def main():
    text = DOCUMENT.read_text()
    right, complaints, commands = play(text)
    if '--write' in sys.argv[2:]:
        DOCUMENT.write_text(right)
    if commands < LEAST_COMMANDS:
        complaints.append(f'only {commands} commands were found in {DOCUMENT}')
    print('\n'.join(complaints) if complaints else f'{commands} commands print what {DOCUMENT.name} says')
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
