"""Records out of chance: log text as it is sent, and what nobody sends.

A record is a dict of what a condition can see: value (bytes), key (bytes or None), headers {name: bytes},
source (text or None), listener (text), topic (that its producer named, or None), time_ms (never goes back).
"""
import json

LISTENERS = ['syslog:514', 'lines:5140', 'native:4650']
SOURCES = ['192.0.2.7', '192.0.2.200', '198.51.100.1', '10.0.0.1', '10.255.255.255', '11.0.0.0', '127.0.0.1', '0.0.0.1',
           '255.255.255.255', '2001:db8::1', '2001:db8:0:1::9', '2001:db9::1', 'fe80::1', '::1', '::ffff:10.1.2.3']
KEYS = [b'', b'user-17', b'user-18', b'dbg-7', b'edge-17', b'payments', b'0', b'503', b'a', b'k' * 300, 'Zürich'.encode(), b'dbg-']
HEADERS = {
    'site': [b'north', b'south', b'', b'NORTH', b'north ', 'süd'.encode()],
    'env': [b'prod', b'test', b'dev', b'prod\n'],
    'retries': [b'0', b'1', b'7', b'10', b'-3', b'2.5', b'x', b'', b'1e3', b' 4', b'007', b'99999999999999999999', b'+5', b'5.', b'.5'],
}
HOSTS = ['edge-17', 'rack7-a', 'RACK7-b', 'core1.example.net', 'fw-2', '192.0.2.9', 'db']
APPS = ['sshd', 'kernel', 'payd', 'nginx', 'cron', 'systemd', 'postfix/smtpd', 'haproxy', 'su']
MESSAGES = [
    'Failed password for invalid user admin from 203.0.113.9 port 51234 ssh2', 'Accepted publickey for deploy from 10.0.0.5',
    'GET /healthz HTTP/1.1 200', 'level=debug svc=payments took=12ms card=4111-1111-1111-1111', 'eth0: link down',
    'error: timeout after 30s', 'ERROR timeout', '%LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down',
    '%ASA-4-106023: Deny tcp src outside:203.0.113.4/443 dst inside:10.1.1.1/80', 'session opened for user root by (uid=0)',
    'disk full', 'connect from unknown[198.51.100.77]', 'svc=payments level=info user=alice@example.com amount=12.50',
    'out of memory: kill process 8123 (java)', 'user=bob pin=0000 ab ba aba abba', 'a' * 40]
PATHS = ['/', '/healthz', '/api/v1/orders/8841', '/login?user=admin', '/static/app.js', '/..%2f..%2fetc/passwd', '/search?q=a+b']
AGENTS = ['curl/7.88.1', 'Mozilla/5.0 (X11; Linux x86_64)', 'kube-probe/1.27', '-']
LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'INFO']

MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split()


class Records:
    """`patterns`: what the rule set looks for, so that records can nearly hold it."""

    def __init__(self, chance, patterns, topics=()):
        self.chance, self.patterns, self.topics, self.time_ms = chance, patterns, topics, 1_790_000_000_000

    def address(self):
        return '.'.join(str(self.chance.randint(0, 255)) for _ in range(4))

    def clock(self):
        return '%02d:%02d:%02d' % (self.chance.randint(0, 23), self.chance.randint(0, 59), self.chance.randint(0, 59))

    def access(self):
        chance = self.chance
        return ('%s - %s [22/Nov/2026:%s +0000] "%s %s HTTP/1.%d" %d %d "-" "%s"' % (
            self.address(), chance.choice(['-', 'alice', 'admin']), self.clock(), chance.choice(['GET', 'GET', 'POST', 'HEAD']),
            chance.choice(PATHS), chance.randint(0, 1), chance.choice([200, 200, 204, 301, 404, 499, 500, 503]),
            chance.randint(0, 99999), chance.choice(AGENTS))).encode()

    def syslog(self):
        """The datagram and its fields, as a listener with `value: raw` (or parsed) hands them on."""
        chance = self.chance
        priority, host, app, text = chance.randint(0, 191), chance.choice(HOSTS), chance.choice(APPS), chance.choice(MESSAGES)
        fields = {'facility': str(priority // 8), 'severity': str(priority % 8), 'hostname': host, 'app': app}
        kind = chance.random()
        if kind < 0.4:
            stamp = '%s %2d %s' % (chance.choice(MONTHS), chance.randint(1, 28), self.clock())
            process = str(chance.randint(1, 99999))
            fields.update(timestamp=stamp, procid=process)
            value = f'<{priority}>{stamp} {host} {app}[{process}]: {text}'
        elif kind < 0.8:
            stamp = f'2026-11-22T{self.clock()}.123Z'
            data = chance.choice(['-', '[origin ip="192.0.2.1"][x@1 a="b"]', '[meta sequenceId="29"]'])
            fields.update(timestamp=stamp, version='1', msgid=chance.choice(['ID47', 'TCPIN', 'auth']))
            if data != '-':
                fields['sd'] = data
            value = f'<{priority}>1 {stamp} {host} {app} 77 {fields["msgid"]} {data} {text}'
        else:
            del fields['app']
            stamp = '*Mar  1 18:46:11.123'
            fields['timestamp'] = stamp[1:]
            value = f'<{priority}>{chance.randint(1, 999)}: {host}: {stamp}: {text}'
        headers = {'syslog.' + name: content.encode() for name, content in fields.items()}
        return (value if chance.random() < 0.6 else text).encode(), headers

    def document(self):
        """What services log in JSON; members are those that rules ask for."""
        chance = self.chance
        out = {'ts': f'2026-11-22T{self.clock()}Z', 'level': chance.choice(LEVELS), 'msg': chance.choice(MESSAGES)}
        if chance.random() < 0.6:
            out['http'] = {'status': chance.choice([200, 204, 404, 500, 503, '200', None, 200.5, -1]), 'path': chance.choice(PATHS)}
        if chance.random() < 0.5:
            out['items'] = [{'id': chance.choice(['x1', 'x2', 7]), 'n': chance.randint(0, 9)} for _ in range(chance.randint(0, 3))]
        if chance.random() < 0.4:
            out['user'] = chance.choice(['alice', 'bob "the" b', 'zoë', 'tab\there', '\U0001f600', '', 'back\\slash/', 'line\nbreak'])
        if chance.random() < 0.3:
            out['odd name'] = {'x': chance.choice([True, False, None, 12, [1, [2, {}]], {'deep': {'er': []}}])}
        if chance.random() < 0.2:
            out = dict(chance.sample(list(out.items()), len(out)))
        return out

    def json(self):
        chance = self.chance
        separators = chance.choice([(',', ':'), (', ', ': '), (' , ', ' : ')])
        text = json.dumps(self.document(), ensure_ascii=chance.random() < 0.5, separators=separators)
        kind = chance.random()
        if kind < 0.08:
            text = text[:chance.randint(0, len(text))]
        elif kind < 0.12:
            text = '[' + text + ']'
        elif kind < 0.16:
            text = ' \t\r\n' + text + '\n'
        elif kind < 0.2:
            text = text[:-1] + ',"level":"second","level":3}'
        elif kind < 0.24:
            text = text.replace('"level"', '"l\\u0065vel"')
        return text.encode()

    def adversarial(self):
        chance = self.chance
        long_bytes = [b'a', b'\0', b'\n', b' ', b'0', b'\xff', b'"', b'{', b'[']
        return chance.choice([
            lambda: b'', lambda: bytes([chance.randint(0, 255)]), lambda: chance.choice([b'a', b'\n', b'\0', b'x', b' ']),
            lambda: chance.choice(long_bytes) * chance.choice([2, 3, 64, 1000]),
            lambda: b'\xc3\x28\xff\xfe\x80 invalid \xed\xa0\x80 utf-8 \xf5', lambda: b'error\0GET /\0\0level\0' + bytes(range(256)),
            lambda: self.text() + b'\n', lambda: b'\n' + self.text(), lambda: self.text() + b'\r\n', lambda: self.text() + b'\n\n',
            lambda: chance.randbytes(chance.randint(1, 200)), lambda: b'error ' * chance.randint(1, 150),
            lambda: b'{"level":' * chance.randint(1, 80), lambda: self.json() + chance.choice([b'x', b'{}', b'\0']),
        ])()

    def huge(self):
        """From a pool of a few: the reference remembers what it made of each."""
        return self.chance.choice([b'a', b'\0', b'\n', b'0', b'[', b'x', b'ab', b'4']) * 9000

    def near(self):
        """A record that a pattern of the set finds, and the same with one thing changed."""
        chance = self.chance
        if not self.patterns:
            return self.text()
        found = chance.choice(self.patterns).sample(chance)
        kind = chance.random()
        if kind < 0.25 and found:
            at = chance.randrange(len(found))
            found = found[:at] + bytes([chance.choice(b'aZ0 \n_')]) + found[at + 1:]
        elif kind < 0.4 and found:
            at = chance.randrange(len(found))
            found = found[:at] + found[at + 1:]
        elif kind < 0.5:
            found = found.swapcase()
        around = chance.random()
        if around < 0.3:
            return found
        if around < 0.4:
            return found + b'\n'
        if around < 0.5:
            return b'\n' + found
        return chance.choice([b'', b'x', self.text(), b' ']) + found + chance.choice([b'', b'_', self.text(), found])

    def text(self):
        chance = self.chance
        kind = chance.random()
        if kind < 0.4:
            return self.access()
        return chance.choice(MESSAGES).encode() if kind < 0.6 else self.json()

    def key(self):
        chance = self.chance
        if chance.random() < 0.5:
            return None
        if chance.random() < 0.1 and self.patterns:
            sample = chance.choice(self.patterns).sample(chance)
            return sample if is_text(sample) else None
        return chance.choice(KEYS)

    def record(self):
        chance = self.chance
        headers = {}
        kind = chance.random()
        if kind < 0.2:
            value = self.access()
        elif kind < 0.45:
            value, headers = self.syslog()
        elif kind < 0.65:
            value = self.json()
        elif kind < 0.82:
            value = self.near()
        elif kind < 0.995:
            value = self.adversarial() if chance.random() < 0.6 else chance.choice(MESSAGES).encode()
        else:
            value = self.huge()
        for name, contents in HEADERS.items():
            if chance.random() < 0.3:
                headers[name] = chance.choice(contents)
        if chance.random() < 0.004:
            headers.update(('h%d' % i, b'') for i in range(24 - len(headers)))
        self.time_ms += chance.choice([0, 0, 0, 1, 1, 2, 5, 30])
        return {'value': value, 'key': self.key(), 'headers': headers, 'time_ms': self.time_ms,
                'source': chance.choice(SOURCES) if chance.random() < 0.9 else None, 'listener': chance.choice(LISTENERS),
                'topic': chance.choice(self.topics) if self.topics and chance.random() < 0.05 else None}


def is_text(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
