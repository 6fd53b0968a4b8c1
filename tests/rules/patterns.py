"""Patterns out of a grammar: each can say itself as the rules file writes it, as Python's `re` does, and as a machine of
its own that finds every span for redaction.

Only what means the same to PCRE and to `re` is generated; where the two spell it differently (`$`, `[[:digit:]]`, `\\Q..\\E`)
each gets its own spelling. Case is settled when a pattern is made: a leaf under (?i) holds both cases of its letters.
"""
import functools
import re
import string

LETTERS = string.ascii_letters.encode()
ALL = frozenset(range(256))
REDACT_RUNS = 4096  # of redacted bytes in one field: behind so many, all the rest is
CLASSES = {
    r'\d': frozenset(b'0123456789'),
    r'\w': frozenset(LETTERS + b'0123456789_'),
    r'\s': frozenset(b' \t\n\r\f\v'),
}
CLASSES.update({name.upper(): ALL - members for name, members in list(CLASSES.items())})
POSIX = {
    '[:digit:]': ('0-9', frozenset(b'0123456789')),
    '[:alpha:]': ('a-zA-Z', frozenset(LETTERS)),
    '[:xdigit:]': ('0-9a-fA-F', frozenset(b'0123456789abcdefABCDEF')),
}
SPECIAL = set('\\^$.|?*+()[]{}')
WORDS = ['error', 'GET', 'POST', 'level', 'svc=', 'payments', 'health', 'sshd', 'Failed', 'user', 'HTTP/1', ' 404 ', 'timeout',
         'debug', '%LINK-3', 'deny', 'eth0', 'admin', '"msg"', '::', 'a', 'aa', 'ab', 'x', '0', '-', '/', 'Ü', '=']


def folded(members):
    """Both cases of every ASCII letter in it."""
    text = bytes(members)
    return frozenset(text + text.lower() + text.upper())


class Leaf:
    """One byte out of a set."""

    def __init__(self, members, text, python=None):
        self.members, self.text, self.python = frozenset(members), text, python or text

    def sample(self, chance):
        usual = [byte for byte in self.members if 32 <= byte < 127]
        return bytes([chance.choice(usual or sorted(self.members))])

    def build(self, machine, behind):
        return machine.add(('byte', self.members, behind))


class Anchor:
    """A place, no byte: ^ $ \\A \\z \\b \\B."""
    PYTHON = {'$': r'\Z', r'\z': r'\Z'}

    def __init__(self, text):
        self.text, self.python = text, self.PYTHON.get(text, text)

    def sample(self, _):
        return b''

    def build(self, machine, behind):
        return machine.add(('place', self.text, behind))


class Sequence:
    def __init__(self, parts):
        self.parts = parts
        self.text = ''.join(part.text for part in parts)
        self.python = ''.join(part.python for part in parts)

    def sample(self, chance):
        return b''.join(part.sample(chance) for part in self.parts)

    def build(self, machine, behind):
        for part in reversed(self.parts):
            behind = part.build(machine, behind)
        return behind


class Spelled:
    """The same thing, written in another way: groups, comments, quotes."""

    def __init__(self, part, text, python):
        self.part, self.text, self.python = part, text, python

    def sample(self, chance):
        return self.part.sample(chance)

    def build(self, machine, behind):
        return self.part.build(machine, behind)


class Choice:
    def __init__(self, parts, group=True):
        self.parts = parts
        form = '(?:%s)' if group else '%s'
        self.text = form % '|'.join(part.text for part in parts)
        self.python = form % '|'.join(part.python for part in parts)

    def sample(self, chance):
        return chance.choice(self.parts).sample(chance)

    def build(self, machine, behind):
        return machine.add(('split', [part.build(machine, behind) for part in self.parts]))


class Repeat:
    """`part` is a leaf or a group, so that a mark behind it means all of it. high None: without end."""

    def __init__(self, part, low, high, lazy=False):
        self.part, self.low, self.high = part, low, high
        mark = {(0, None): '*', (1, None): '+', (0, 1): '?'}.get((low, high))
        if mark is None:
            mark = '{%d}' % low if low == high else '{%d,%s}' % (low, '' if high is None else high)
        mark += '?' if lazy else ''
        self.text, self.python = part.text + mark, part.python + mark

    def sample(self, chance):
        most = self.low + 4 if self.high is None else min(self.high, self.low + 4)
        return b''.join(self.part.sample(chance) for _ in range(chance.randint(self.low, most)))

    def build(self, machine, behind):
        if self.high is None:
            again = machine.add(('split', []))
            machine.states[again][1].extend([self.part.build(machine, again), behind])
            behind = again
        else:
            for _ in range(self.high - self.low):
                behind = machine.add(('split', [self.part.build(machine, behind), behind]))
        for _ in range(self.low):
            behind = self.part.build(machine, behind)
        return behind


def is_word(value, at):
    return 0 <= at < len(value) and value[at] in CLASSES[r'\w']


PLACES = {
    '^': lambda value, at: at == 0,
    r'\A': lambda value, at: at == 0,
    '$': lambda value, at: at == len(value),
    r'\z': lambda value, at: at == len(value),
    r'\b': lambda value, at: is_word(value, at - 1) != is_word(value, at),
    r'\B': lambda value, at: is_word(value, at - 1) == is_word(value, at),
}


class Machine:
    """A pattern as states, all walked at once: for each end of a match its leftmost start. Plain, and slow."""

    def __init__(self, node):
        self.states = []
        self.end = self.add(('end',))
        self.begin = node.build(self, self.end)

    def add(self, state):
        self.states.append(state)
        return len(self.states) - 1

    def closure(self, kernel, value, at):
        """Everything reached without a byte: `kernel` is [(state, start)], older starts first, and the oldest wins."""
        reached = {}
        for state, start in kernel:
            waiting = [state]
            while waiting:
                state = waiting.pop()
                if state in reached:
                    continue
                reached[state] = start
                kind = self.states[state]
                if kind[0] == 'split':
                    waiting.extend(kind[1])
                elif kind[0] == 'place' and PLACES[kind[1]](value, at):
                    waiting.append(kind[2])
        return reached

    def spans(self, value):
        kernel = []
        for at in range(len(value) + 1):
            reached = self.closure([*kernel, (self.begin, at)], value, at)
            if self.end in reached:
                yield reached[self.end], at
            if at == len(value):
                return
            kernel = sorted(((self.states[state][2], start) for state, start in reached.items()
                             if self.states[state][0] == 'byte' and value[at] in self.states[state][1]), key=lambda pair: pair[1])


class Pattern:
    def __init__(self, node, text=None, python=None):
        self.node = node
        self.text = text or node.text
        self.compiled = re.compile((python or node.python).encode(), re.DOTALL)
        self.search = functools.lru_cache(maxsize=512)(self._search)
        self.redacted = functools.lru_cache(maxsize=64)(self._redacted)

    def _search(self, value):
        return self.compiled.search(value) is not None

    def holds(self, value):
        """Long records come from a small pool, and `re` is slow on them."""
        return self.search(value) if len(value) > 512 else self.compiled.search(value) is not None

    @functools.cached_property
    def machine(self):
        return Machine(self.node)

    def redact(self, value, mask):
        """Every byte of every match becomes `mask`."""
        if not self.holds(value):
            return value
        return self.redacted(value, mask)

    def _redacted(self, value, mask):
        runs = []  # [begin, end], in order; ends come in order
        for start, end in self.machine.spans(value):
            while runs and start <= runs[-1][1]:
                start = min(start, runs.pop()[0])
            runs.append((start, end))
        if len(runs) > REDACT_RUNS:
            runs[REDACT_RUNS:] = [(runs[REDACT_RUNS][0], len(value))]
        out = bytearray(value)
        for begin, end in runs:
            out[begin:end] = mask * (end - begin)
        return bytes(out)

    def sample(self, chance):
        return self.node.sample(chance)


def escaped(character):
    return '\\' + character if character in SPECIAL else character


class Grammar:
    """Makes patterns. `wide`: how many repeats without end one may have, which is what makes `re` slow."""

    def __init__(self, chance):
        self.chance = chance
        self.fold = False
        self.wide = 0
        self.in_repeat = False

    def members(self, members):
        return folded(members) if self.fold else frozenset(members)

    def byte(self, value):
        text = chr(value)
        if self.chance.random() < 0.1 or not 32 <= value < 127:
            text = '\\x%02x' % value
        elif text == '#' or text.isspace():
            pass
        return Leaf(self.members([value]), text if text.startswith('\\x') else escaped(text))

    def word(self, word):
        if self.chance.random() < 0.08 and '\\E' not in word:
            parts = [Leaf(self.members([byte]), '?') for byte in word.encode()]
            return Spelled(Sequence(parts), '\\Q%s\\E' % word, ''.join(escaped(character) for character in word))
        return Sequence([self.byte(byte) if byte < 128 else self.raw(byte) for byte in word.encode()])

    def raw(self, byte):
        return Leaf([byte], '\\x%02x' % byte)

    def bracket(self):
        """[a-f0-9_], [^"], [[:digit:].]"""
        chance = self.chance
        members, text, python = set(), '', ''
        for _ in range(chance.randint(1, 3)):
            kind = chance.random()
            if kind < 0.35:
                low, high = chance.choice([('a', 'f'), ('a', 'z'), ('A', 'Z'), ('0', '9'), ('0', '4'), ('x', 'z'), ('!', '/')])
                members.update(range(ord(low), ord(high) + 1))
                spelling = f'{low}-{high}'
                text, python = text + spelling, python + spelling
            elif kind < 0.6:
                character = chance.choice('abcxyz059_."= ,;')
                members.add(ord(character))
                text, python = text + character, python + character
            elif kind < 0.75:
                name = chance.choice([r'\d', r'\w', r'\s'])
                members.update(CLASSES[name])
                text, python = text + name, python + name
            elif kind < 0.9:
                name = chance.choice(list(POSIX))
                spelling, more = POSIX[name]
                members.update(more)
                text, python = text + name, python + spelling
            else:
                byte = chance.choice([0, 10, 13, 127, 128, 195, 255])
                members.add(byte)
                text, python = text + '\\x%02x' % byte, python + '\\x%02x' % byte
        members = self.members(members)
        negated = chance.random() < 0.3 and len(members) < 200
        mark = '^' if negated else ''
        return Leaf(ALL - members if negated else members, f'[{mark}{text}]', f'[{mark}{python}]')

    def leaf(self):
        kind = self.chance.random()
        if kind < 0.35:
            name = self.chance.choice(list(CLASSES))
            return Leaf(CLASSES[name], name)
        if kind < 0.6:
            return self.bracket()
        if kind < 0.7:
            return Leaf(ALL, '.')
        if kind < 0.73:
            return Leaf(ALL - {10}, '(?-s:.)')
        return self.byte(self.chance.choice(b'abcxyzAZ0159 =":/-_.[({$^|*+?\\'))

    def repeated(self, depth):
        """A group is repeated few times, and has no repeats inside: `re` would try all their combinations."""
        chance = self.chance
        if depth > 0 and chance.random() < 0.3:
            self.in_repeat = True
            part = self.group(depth - 1, small=True)
            self.in_repeat = False
            ranges = [(0, 1), (1, 2), (2, 2), (0, 3), (1, 3), (3, 3)]
        else:
            part = self.leaf()
            ranges = [(0, 1), (1, 3), (2, 2), (3, 3), (0, 4), (2, 5), (1, 1), (0, 12), (4, 16)]
            if self.wide > 0:
                self.wide -= 1
                ranges = [(0, None), (1, None), (1, None), (2, None)]
        low, high = chance.choice(ranges)
        return Repeat(part, low, high, lazy=chance.random() < 0.1)

    def group(self, depth, small=False):
        chance = self.chance
        parts = [self.sequence(depth, 1 if small else 2) for _ in range(chance.randint(1, 3))]
        choice = Choice(parts)
        if chance.random() < 0.3:
            inner, python = choice.text[3:-1], choice.python[3:-1]
            return Spelled(choice, f'({inner})', f'({python})')
        return choice

    def sequence(self, depth, length):
        chance, parts = self.chance, []
        for _ in range(chance.randint(1, length)):
            kind = chance.random()
            if kind < 0.5:
                parts.append(self.word(chance.choice(WORDS)))
            elif kind < 0.65 or depth == 0 or (self.in_repeat and kind < 0.85):
                parts.append(self.leaf())
            elif kind < 0.85:
                parts.append(self.repeated(depth))
            else:
                parts.append(self.group(depth - 1))
        if chance.random() < 0.04:
            comment = Spelled(Sequence([]), '(?#one [ of $ them)', '')
            parts.insert(chance.randint(0, len(parts)), comment)
        return Sequence(parts)

    def bounded_word(self):
        """\\bword\\b: on words that begin and end in word bytes, where both engines agree that it can hold."""
        ends = [self.chance.choice([r'\b', r'\b', r'\B', '']), self.chance.choice([r'\b', r'\b', r'\B', ''])]
        word = self.word(self.chance.choice(['error', 'user', 'a', 'GET', 'level', '404', 'payments', '7']))
        return Sequence([*([Anchor(ends[0])] if ends[0] else []), word, *([Anchor(ends[1])] if ends[1] else [])])

    def branch(self):
        chance = self.chance
        if chance.random() < 0.12:
            return self.bounded_word()  # with ^ or $ beside \B it could never match, which is refused
        parts = [self.sequence(2, 3)]
        if chance.random() < 0.2:
            parts.insert(0, Anchor(chance.choice(['^', '^', r'\A'])))
        if chance.random() < 0.2:
            parts.append(Anchor(chance.choice(['$', '$', r'\z'])))
        return Sequence(parts)

    def special(self):
        """Ends, empty matches, everything."""
        star, space, any_byte = Leaf(b'x', 'x'), Leaf(CLASSES[r'\s'], r'\s'), Leaf(ALL, '.')
        return self.chance.choice([
            Sequence([Anchor('^'), Anchor('$')]),
            Sequence([Anchor('^'), Repeat(space, 0, None), Anchor('$')]),
            Sequence([Repeat(any_byte, 0, None)]),
            Sequence([Repeat(star, 0, None)]),
            Sequence([Repeat(any_byte, 1, None)]),
            Sequence([Anchor('^'), any_byte, Anchor('$')]),
            Sequence([Leaf(b'\n', r'\n'), Anchor('$')]),
            Sequence([Anchor('^'), Leaf(b'{', r'\{'), Repeat(any_byte, 0, None), Leaf(b'}', r'\}'), Anchor('$')]),
        ])

    def pattern(self):
        """Of any kind: for conditions."""
        chance = self.chance
        if chance.random() < 0.06:
            return Pattern(self.special())
        self.fold = chance.random() < 0.2
        self.wide = chance.choice([0, 0, 1])
        branches = [self.branch() for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        node = Choice(branches, group=False) if len(branches) > 1 else branches[0]
        return self.finished(node)

    def finished(self, node):
        if not self.fold:
            return Pattern(node)
        self.fold = False
        if self.chance.random() < 0.3:
            return Pattern(node, f'(?i:{node.text})', f'(?i:{node.python})')
        return Pattern(node, f'(?i){node.text}', f'(?i){node.python}')

    def redaction(self):
        """Never empty, and of few bytes mostly: what it finds is overwritten."""
        chance = self.chance
        digit, word = Leaf(CLASSES[r'\d'], r'\d'), Leaf(CLASSES[r'\w'], r'\w')
        self.fold = chance.random() < 0.15
        known = [
            lambda: Repeat(digit, 4, 4),
            lambda: Sequence([self.word('user'), Leaf(CLASSES[r'\W'], r'\W'), Repeat(word, 1, None)]),
            lambda: Sequence([Repeat(digit, 1, 3), Leaf(b'.', r'\.'), Repeat(digit, 1, 3)]),
            lambda: Sequence([self.byte(97), Repeat(self.byte(98), 0, 3), self.byte(97)]),
            lambda: Sequence([Anchor('^'), Repeat(Leaf(ALL, '.'), 1, 8)]),
            lambda: Sequence([Repeat(Leaf(CLASSES[r'\S'], r'\S'), 2, 6), Anchor('$')]),
            lambda: Choice([self.word('error'), self.word('rror:'), self.word('GET /')], group=False),
            lambda: Sequence([self.word(chance.choice(WORDS)), Repeat(self.leaf(), 1, 5)]),
            lambda: Sequence([self.leaf(), self.word(chance.choice(WORDS)), self.leaf()]),
        ]
        return self.finished(chance.choice(known)())
