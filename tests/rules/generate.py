"""Rule sets out of chance: what a rules file says, as dicts and lists, and the patterns in it."""
from patterns import Grammar

TOPICS = ['events', 'payments', 'audit', 'security', 'web', 'slow']
LISTENER_TOPICS = {'lines:5140': 'web'}  # of records.LISTENERS; the others have none
TEXT_FIELDS = ['value', 'key', 'header:site', 'header:env', 'header:retries', 'syslog.hostname', 'syslog.app', 'syslog.msgid',
               'syslog.sd', 'syslog.severity', 'syslog.procid', 'listener', 'json:.level', 'json:.msg', 'json:.http.path',
               'json:.user', 'json:.http', 'json:.items', 'json:.items[0].id', 'json:."odd name".x']
NUMBER_FIELDS = ['syslog.severity', 'syslog.facility', 'syslog.procid', 'header:retries', 'key', 'value', 'json:.http.status',
                 'json:.items[1].n', 'json:."odd name".x', 'json:.level']
EQUALS = {
    'value': ['', 'a', 'disk full', 'ERROR timeout', '-'], 'key': ['', 'user-17', 'dbg-7', 'Zürich', '0'],
    'header:site': ['north', '', 'süd'], 'header:env': ['prod', 'test'], 'header:retries': ['0', '7', '10'],
    'syslog.hostname': ['edge-17', 'db', 'rack7-a'], 'syslog.app': ['sshd', 'payd', 'cron'], 'syslog.msgid': ['ID47', 'auth'],
    'syslog.severity': ['0', '3', '7'], 'syslog.facility': ['10', '23'], 'listener': ['syslog:514', 'lines:5140', 'native:4650'],
    'json:.level': ['debug', 'error', 'second', '3'], 'json:.http.status': ['200', '503', 'null'], 'json:.user': ['zoë', 'bob "the" b', ''],
    'json:.items[0].id': ['x1', '7'], 'json:."odd name".x': ['true', 'null', '12'], 'json:.items': ['[]'],
}
NETWORKS = ['192.0.2.0/24', '192.0.2.128/25', '10.0.0.0/8', '127.0.0.1/32', '0.0.0.0/0', '2001:db8::/32', '2001:db8:0:1::/64',
            'fe80::/10', '::1/128', '198.51.100.0/31', '128.0.0.0/1']
NUMBERS = [0, 3, 4, 7, 8, 10, 100, 200, 300, 404, 500, 503, -1, 2.5, 1000, 99999]
SIZES = ['0B', '1B', '2B', '40B', '64B', '100B', '1KiB', '1kB', '8KiB', '9000B']


class RuleSets:
    def __init__(self, chance):
        self.chance, self.grammar, self.patterns = chance, Grammar(chance), {}

    def pattern(self, redaction=False):
        """Its text; now and then one that the set has already, as rules of people do."""
        chance = self.chance
        if not redaction and self.patterns and chance.random() < 0.15:
            return chance.choice(list(self.patterns))
        pattern = self.grammar.redaction() if redaction else self.grammar.pattern()
        return self.patterns.setdefault(pattern.text, pattern).text

    def one_or_more(self, choices, most=3):
        if self.chance.random() < 0.5:
            return self.chance.choice(choices)
        return self.chance.sample(choices, self.chance.randint(1, min(most, len(choices))))

    def bounds(self, low_name, high_name, choices):
        """One bound, or two: a range."""
        chance = self.chance
        if chance.random() < 0.6:
            return {chance.choice([low_name, high_name]): chance.choice(choices)}
        return {low_name: chance.choice(choices), high_name: chance.choice(choices)}

    def test(self):
        chance, kind = self.chance, self.chance.random()
        if kind < 0.3:
            return self.pattern()
        if kind < 0.5:
            return {'field': chance.choice(TEXT_FIELDS), 'match': self.pattern()}
        if kind < 0.64:
            field = chance.choice(list(EQUALS))
            return {'field': field, 'equals': self.one_or_more(EQUALS[field])}
        if kind < 0.7:
            return {'field': chance.choice(TEXT_FIELDS), 'present': chance.random() < 0.6}
        if kind < 0.82:
            low, high = chance.choice(['above', 'at_least']), chance.choice(['below', 'at_most'])
            return {'field': chance.choice(NUMBER_FIELDS), **self.bounds(low, high, NUMBERS)}
        if kind < 0.9:
            return {'field': chance.choice(TEXT_FIELDS), **self.bounds('size_above', 'size_below', SIZES)}
        if kind < 0.96:
            return {'field': 'source', 'in': self.one_or_more(NETWORKS)}
        field = chance.choice(['value', 'key', 'json:.msg', 'syslog.app'])
        return {'field': field, 'match': self.pattern(), 'size_above': chance.choice(SIZES)}

    def condition(self, depth):
        chance = self.chance
        kind = chance.random()
        if depth == 0 or kind < 0.5:
            return self.test()
        if kind < 0.7:
            return {'all': [self.condition(depth - 1) for _ in range(chance.randint(1, 3))]}
        if kind < 0.88:
            return {'any': [self.condition(depth - 1) for _ in range(chance.randint(1, 4))]}
        return {'not': self.condition(depth - 1)}

    def action(self):
        chance, out = self.chance, {}
        kind = chance.random()
        if kind < 0.14:
            return 'drop'
        if chance.random() < 0.2:
            out['keep'] = '1/%d' % chance.choice([1, 2, 3, 10, 100])
            if chance.random() < 0.5:
                out['by'] = chance.choice(['key', 'record'])
        if chance.random() < 0.1:
            out['limit'] = self.limit()
        if chance.random() < 0.25:
            out['redact'] = self.redaction()
        if chance.random() < 0.12:
            out['set_key'] = chance.choice(['header:site', 'syslog.hostname', 'json:.user', 'json:.http.status', 'value', 'listener'])
        if chance.random() < 0.12:
            out['add'] = {name: chance.choice(['north-1', 'ä', 'x y']) for name in chance.sample(['seen', 'rack', 'owner'], chance.randint(1, 3))}
        if not out or chance.random() < 0.6:
            out['route'] = self.one_or_more(TOPICS)
        return out

    def limit(self):
        """Rates whose tokens come every whole millisecond, as the records' times do."""
        chance, out = self.chance, {}
        unit = chance.choice(['records', 'bytes'])
        out[unit] = f'{chance.choice([1, 10, 50, 200, 1000])}{"B" if unit == "bytes" and chance.random() < 0.5 else ""}/s'
        if chance.random() < 0.6:
            out['burst'] = chance.choice([1, 5, 100, 2000, 20000])
        if chance.random() < 0.5:
            out['by'] = chance.choice(['key', 'syslog.hostname', 'listener', 'json:.level', 'header:site'])
            if chance.random() < 0.5:
                out['buckets'] = chance.choice([4096, 65536])
        return out

    def redaction(self):
        chance, out = self.chance, {'match': self.pattern(redaction=True)}
        if chance.random() < 0.3:
            out['field'] = chance.choice(['value', 'key', 'header:site', 'syslog.hostname'])
        if chance.random() < 0.3:
            out['with'] = chance.choice('#x0. ')
        return out

    def rule(self, number):
        chance = self.chance
        out = {'name': f'rule-{number}', 'when': self.condition(chance.choice([0, 1, 2, 3])), 'do': self.action()}
        if out['do'] != 'drop' and chance.random() < 0.6:
            out['continue'] = True
        if chance.random() < 0.12:
            out['mode'] = chance.choice(['shadow', 'shadow', 'enforce'])
        return out

    def rule_set(self):
        chance = self.chance
        count = chance.choice([0, 1, 2, 5, 10, 20, 40, 80])
        default = 'drop' if chance.random() < 0.3 else {'route': self.one_or_more(TOPICS)}
        return {'rules': [self.rule(number) for number in range(count)], 'default': default}


# ------------------------------------------------------------------------------------------ YAML

def scalar(value):
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return str(value) if isinstance(value, (int, float)) else "'%s'" % value.replace("'", "''")


def flow(value):
    if isinstance(value, dict):
        return '{ ' + ', '.join(f'{scalar(name) if not name.isidentifier() else name}: {flow(inside)}' for name, inside in value.items()) + ' }'
    if isinstance(value, list):
        return '[ ' + ', '.join(map(flow, value)) + ' ]'
    return scalar(value)


def as_yaml(said):
    """A rules file; every rule a few lines, to be read in a difference."""
    lines = ['rules:' if said['rules'] else 'rules: []']
    for rule in said['rules']:
        for i, (name, value) in enumerate(rule.items()):
            lines.append(f"{'  - ' if i == 0 else '    '}{name}: {flow(value)}")
    return '\n'.join([*lines, f"default: {flow(said['default'])}", ''])
