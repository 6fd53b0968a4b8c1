"""What docs/rules.md says, as plainly as it can be written: judges one record at a time by a rule set.

Conditions, sampling and limits see the record as it came; redact, set_key and add work on what the rules before left of it.

A rule set is what the YAML of a rules file says (dicts, lists, text, numbers); `patterns` has an object with `holds` and
`redact` for each pattern in it. Nothing here is shared with the appliance.
"""
import ipaddress
import json
import re

HEADERS_MAX = 24
CLOCK_MS = 1_000_000  # what the clock of `penstock rules test` shows at the first record; rules are loaded at 0
JSON_BYTES, JSON_LEVELS = 1 << 20, 64
NUMBER = re.compile(rb'[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z')
NUMBER_BYTES = 64
SIZES = {'B': 1, 'KiB': 1024, 'MiB': 1024 ** 2, 'kB': 1000, 'MB': 1000 ** 2}
COMPARISONS = {
    'below': lambda left, right: left < right, 'above': lambda left, right: left > right,
    'at_least': lambda left, right: left >= right, 'at_most': lambda left, right: left <= right,
}


def keep_hash(content):
    """FNV-1a of 64 bits, folded."""
    x = 0xcbf29ce484222325
    for byte in content:
        x = (x ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return x ^ x >> 32


def size(text):
    number, unit = re.fullmatch(r'(\d+)([A-Za-z]*)', str(text)).groups()
    return int(number) * (SIZES[unit] if unit else 1)


def as_list(value):
    return value if isinstance(value, list) else [value]


# ------------------------------------------------------------------------------------------ JSON

class NotJson(Exception):
    pass


def json_steps(path):
    """.http.items[0]."odd name" -> ['http', 'items', 0, 'odd name']"""
    steps = []
    for name, quoted, index in re.findall(r'\.([^."\[\]]+)|\.("(?:[^"\\]|\\.)*")|\[(\d+)\]', path):
        steps.append(name or (json.loads(quoted) if quoted else int(index)))
    return steps


class Json:
    """Reads one document from the front, only as far as the member asked for; `found` is its content."""
    SCALAR = re.compile(rb'-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null')
    STRING = re.compile(rb'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
    ENDS = frozenset([b' ', b'\t', b'\r', b'\n', b',', b'}', b']'])
    SPACE = re.compile(rb'[ \t\r\n]*')
    ESCAPE = re.compile(rb'\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)', re.DOTALL)
    SHORT = {b'b': b'\b', b'f': b'\f', b'n': b'\n', b'r': b'\r', b't': b'\t'}

    def __init__(self, text):
        self.text, self.at = text[:JSON_BYTES], 0

    def member(self, steps):
        class Found(Exception):
            pass

        def value(wanted, level):
            """Walks one value; `wanted` are the steps still to go, None where nothing inside is asked for."""
            begin = self.skip_space()
            here = wanted == []
            inside = None if here else wanted
            opening = self.text[begin:begin + 1]
            if opening in (b'{', b'['):
                if level >= JSON_LEVELS:
                    raise NotJson
                self.items(opening, inside, level, value)
                content = self.text[begin:self.at]
            else:
                content = self.scalar()
            if here:
                raise Found(content)

        try:
            value(steps, 0)
        except Found as found:
            return found.args[0]
        except NotJson:
            pass
        return None

    def items(self, opening, wanted, level, value):
        closing = b'}' if opening == b'{' else b']'
        self.at += 1
        self.skip_space()
        if self.take(closing):
            return
        index, seen = 0, False
        while True:
            name = index
            if opening == b'{':
                self.skip_space()
                name = self.string().decode('utf-8', 'surrogateescape')
                self.skip_space()
                self.need(b':')
            hit = wanted is not None and not seen and name == wanted[0] and isinstance(name, type(wanted[0]))
            seen = seen or hit
            value(wanted[1:] if hit else None, level + 1)
            self.skip_space()
            if self.take(closing):
                return
            self.need(b',')
            index += 1

    def skip_space(self):
        self.at = self.SPACE.match(self.text, self.at).end()
        return self.at

    def take(self, byte):
        if self.text[self.at:self.at + 1] != byte:
            return False
        self.at += 1
        return True

    def need(self, byte):
        if not self.take(byte):
            raise NotJson

    def scalar(self):
        if self.text[self.at:self.at + 1] == b'"':
            return self.string()
        match = self.SCALAR.match(self.text, self.at)
        if match is None:
            raise NotJson
        self.at = match.end()
        if self.text[self.at:self.at + 1] not in self.ENDS:
            raise NotJson
        return match[0]

    def string(self):
        match = self.STRING.match(self.text, self.at)
        if match is None:
            raise NotJson
        self.at = match.end()
        return self.unescaped(match[1]) if b'\\' in match[1] else match[1]

    def unescaped(self, content):
        """\\u pairs make one character."""
        return self.ESCAPE.sub(self.one, content)

    @classmethod
    def one(cls, match):
        high, low, unit, short = match.groups()
        if high is not None:
            return chr(0x10000 + ((int(high, 16) - 0xd800) << 10) + int(low, 16) - 0xdc00).encode()
        if unit is None:
            return cls.SHORT.get(short, short)
        number = int(unit, 16)
        return match[0] if 0xd800 <= number < 0xe000 else chr(number).encode()  # half a pair stays as it is


# ------------------------------------------------------------------------------------ conditions

class Asked:
    """One record's fields, each looked up once."""

    def __init__(self, record):
        self.record, self.members = record, {}

    def field(self, name):
        record = self.record
        if name == 'value':
            return record['value']
        if name == 'key':
            return record['key']
        if name == 'listener':
            return record['listener'].encode()
        if name.startswith('header:'):
            return record['headers'].get(name[len('header:'):])
        if name.startswith('syslog.'):
            return record['headers'].get(name)
        assert name.startswith('json:'), name
        if name not in self.members:
            self.members[name] = Json(record['value']).member(json_steps(name[len('json:'):]))
        return self.members[name]


def as_bits(address):
    """IPv4 as ::ffff:a.b.c.d, and the bits in front of it."""
    return (int(address), 0) if address.version == 6 else (0xffff << 32 | int(address), 96)


class Network:
    def __init__(self, text):
        network = ipaddress.ip_network(text)
        self.bits, front = as_bits(network.network_address)
        self.shift = 128 - front - network.prefixlen

    def has(self, source):
        return source is not None and as_bits(ipaddress.ip_address(source))[0] >> self.shift == self.bits >> self.shift


class Condition:
    """Made once of what the file says; `holds` is asked with an Asked."""

    def __init__(self, said, patterns):
        if isinstance(said, str):
            said = {'match': said}
        self.holds = self.tree(said, patterns) if set(said) & {'all', 'any', 'not'} else self.tests(said, patterns)

    @staticmethod
    def tree(said, patterns):
        (kind, inside), = said.items()
        children = [Condition(child, patterns).holds for child in as_list(inside)]
        if kind == 'not':
            return lambda asked: not children[0](asked)
        if kind == 'all':
            return lambda asked: all(child(asked) for child in children)
        return lambda asked: any(child(asked) for child in children)

    @classmethod
    def tests(cls, said, patterns):
        field = said.get('field', 'value')
        tests = [cls.test(name, wanted, patterns) for name, wanted in said.items() if name not in ('field', 'in', 'present')]
        if 'in' in said:
            networks = [Network(text) for text in as_list(said['in'])]
            return lambda asked: any(network.has(asked.record['source']) for network in networks)

        def holds(asked):
            content = asked.field(field)
            if said.get('present') is not None and (content is not None) != said['present']:
                return False
            if content is None:
                return not tests
            return all(test(content) for test in tests)
        return holds

    @staticmethod
    def test(name, wanted, patterns):
        if name == 'match':
            return patterns[wanted].holds
        if name == 'equals':
            texts = [text.encode() for text in as_list(wanted)]
            return lambda content: content in texts
        if name in ('size_above', 'size_below'):
            compare, bound = COMPARISONS[name[len('size_'):]], size(wanted)
            return lambda content: compare(len(content), bound)
        compare = COMPARISONS[name]
        return lambda content: len(content) <= NUMBER_BYTES and NUMBER.match(content) is not None and compare(float(content), wanted)


# --------------------------------------------------------------------------------------- actions

class Rule:
    def __init__(self, said, patterns):
        self.said, self.name = said, said['name']
        self.condition = Condition(said['when'], patterns)
        self.shadow = said.get('mode') == 'shadow'
        self.goes_on = said.get('continue', False)
        self.action = {} if said['do'] == 'drop' else said['do']
        self.drops = said['do'] == 'drop'
        self.limit = Limit(self.action['limit']) if 'limit' in self.action else None
        self.patterns = patterns


def kept(action, record):
    one_in = int(action['keep'].split('/')[1])
    by_key = action.get('by') == 'key' and record['key'] is not None
    return keep_hash(record['key'] if by_key else record['value']) % one_in == 0


class Bucket:
    """RFC 2697 without the excess bucket: full at first; tokens come one by one, each after the same time. After a time in
    which it was full anyhow, the wait for the next token begins anew."""

    def __init__(self, period_ms, burst, time_ms):
        self.period_ms, self.burst, self.tokens, self.time_ms = period_ms, burst, burst, time_ms

    def take(self, amount, time_ms):
        self.time_ms = max(self.time_ms, time_ms - (self.burst + 2) * self.period_ms)
        periods = (time_ms - self.time_ms) // self.period_ms
        self.time_ms += periods * self.period_ms
        self.tokens = min(self.burst, self.tokens + periods)
        if amount > self.tokens:
            return False
        self.tokens -= amount
        return True


class Limit:
    """Of a rule, on a node of one worker. Rates here divide 1000: a token comes every so many whole milliseconds."""

    def __init__(self, said):
        self.by, self.of_records = said.get('by'), 'records' in said
        rate = size(said['records' if self.of_records else 'bytes'].removesuffix('/s'))
        self.period_ms, rest = divmod(1000, rate)
        assert rest == 0
        self.burst = size(said.get('burst', rate))
        self.buckets = {}

    def has_room(self, asked):
        record = asked.record
        key = (asked.field(self.by) or b'') if self.by else b''
        begin_ms = record['time_ms'] if self.by else record['first_ms'] - CLOCK_MS
        bucket = self.buckets.setdefault(key, Bucket(self.period_ms, self.burst, begin_ms))
        amount = 1 if self.of_records else len(record['value']) + len(record['key'] or b'')
        return bucket.take(amount, record['time_ms'])


class Judge:
    """The whole file, and the topics of the listeners that have one."""

    def __init__(self, said, patterns, listener_topics):
        self.rules = [Rule(rule, patterns) for rule in said.get('rules', [])]
        self.default = said.get('default')
        self.listener_topics = listener_topics
        self.patterns, self.first_ms = patterns, None

    def fallback(self, record):
        topic = record.get('topic') or self.listener_topics.get(record['listener'])
        if topic is not None:
            return [topic]
        return [] if self.default == 'drop' else as_list(self.default['route'])

    def judge(self, record):
        """{'verdict', 'why', 'rules', 'topics', 'value', 'key', 'headers'}; `rules`: whose conditions held, as asked."""
        self.first_ms = record['time_ms'] if self.first_ms is None else self.first_ms
        asked = Asked({**record, 'first_ms': self.first_ms})
        out = {'verdict': 'store', 'why': None, 'rules': [], 'topics': [], 'value': record['value'], 'key': record['key'],
               'headers': list(record['headers'].items()), 'received': len(record['headers'])}
        for rule in self.rules:
            if not rule.condition.holds(asked):
                continue
            out['rules'].append(rule.name)
            if rule.shadow:
                continue
            why = self.act(rule, asked, out)
            if why is not None:
                return {**out, 'verdict': 'drop', 'why': why, 'topics': []}
            if not rule.goes_on:
                break
        if not out['topics']:
            out['topics'] = self.fallback(record)
            if not out['topics']:
                return {**out, 'verdict': 'drop', 'why': 'drop'}
        return out

    def act(self, rule, asked, out):
        """Why the record ends here, or None."""
        action = rule.action
        if 'keep' in action and not kept(action, asked.record):
            return 'sampled_out'
        if rule.limit is not None and not rule.limit.has_room(asked):
            return 'limited'
        if 'redact' in action:
            self.redact(action['redact'], out)
        if 'set_key' in action:
            content = Asked({**asked.record, 'value': out['value'], 'headers': dict(out['headers'][:out['received']])}).field(
                action['set_key'])
            out['key'] = out['key'] if content is None else content
        added = list(action.get('add', {}).items())
        if len(out['headers']) + len(added) <= HEADERS_MAX:
            out['headers'] += [(name, text.encode()) for name, text in added]
        if rule.drops:
            return 'drop'
        out['topics'] += [topic for topic in as_list(action.get('route', [])) if topic not in out['topics']]
        return None

    def redact(self, said, out):
        pattern, mask = self.patterns[said['match']], said.get('with', '*').encode()
        field = said.get('field', 'value')
        if field in ('value', 'key'):
            if out[field] is not None:
                out[field] = pattern.redact(out[field], mask)
            return
        name = field[len('header:'):] if field.startswith('header:') else field
        for i, (header, content) in enumerate(out['headers'][:out['received']]):
            if header == name:
                out['headers'][i] = (header, pattern.redact(content, mask))
                break
