#!/usr/bin/env python3
"""Generated rule sets, each judged by `penstock rules test` and by reference.py: every record must come out the same.

  differential.py PENSTOCK [--sets N] [--records N] [--seed S] [--first K] [--jobs J]

  --sets N     so many rule sets (default 200), of so many --records each (default 20000)
  --seed S     of all chance (default 1); set K of a seed is the same whatever --sets says
  --first K    begin at set K: repeats one that differed
  --jobs J     side by side (default: one a core)

A difference prints the smallest rules file and record that still show it. Last line: "N sets, M records each, D differences".
Exit 0 only without any.
"""
import argparse
import base64
import json
import multiprocessing
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from generate import LISTENER_TOPICS, TOPICS, RuleSets, as_yaml
from records import LISTENERS, Records, is_text
from reference import Judge

RUN_SECONDS = 300
SHRINK_SECONDS = 60
NODE = f'''\
node: rules
workers: {{ cores: [0] }}
ports: [ {{ device: net_null0, address: 192.0.2.10/24 }} ]
listeners:
{chr(10).join(f"  - {{ protocol: {name.split(':')[0]}, port: {name.split(':')[1]}"
              + (f", topic: {LISTENER_TOPICS[name]}" if name in LISTENER_TOPICS else '') + ' }' for name in LISTENERS)}
topics: [ {', '.join(f'{{ name: {topic} }}' for topic in TOPICS)} ]
rules: rules.yaml
storage: {{ paths: [/var/lib/penstock] }}
serve: {{ advertise: "127.0.0.1:9092" }}
'''


class Refused(Exception):
    """The appliance did not take the rules, or did not judge: what it said."""


def as_input(record):
    """A line of --format ndjson."""
    out = {'listener': record['listener'], 'timestamp': record['time_ms'],
           'headers': [{'name': name, 'value': content.decode()} for name, content in record['headers'].items()]}
    if is_text(record['value']):
        out['value'] = record['value'].decode()
    else:
        out['value_base64'] = base64.b64encode(record['value']).decode()
    if record['key'] is not None:
        out['key'] = record['key'].decode()
    for name in ('source', 'topic'):
        if record[name] is not None:
            out[name] = record[name]
    return json.dumps(out).encode() + b'\n'


def content(judged, name):
    """Bytes or None, of a member or its _base64."""
    if name + '_base64' in judged:
        return base64.b64decode(judged[name + '_base64'])
    text = judged.get(name)
    return None if text is None else text.encode()


def judged_by_us(line):
    """What `rules test --json` says of a record, as the reference says it."""
    judged = json.loads(line)
    out = {'verdict': judged['verdict'], 'why': judged.get('why'), 'rules': judged['rules'], 'topics': judged['topics']}
    if judged['verdict'] == 'store':
        out.update(value=content(judged, 'value'), key=content(judged, 'key'),
                   headers=[(content(header, 'name').decode(), content(header, 'value')) for header in judged['headers']])
    return out


def expected_of(judge, record):
    out = judge.judge(record)
    del out['received']
    if out['verdict'] == 'drop':
        for name in ('value', 'key', 'headers'):
            del out[name]
    return out


def differences(expected, judged):
    return [f'{name}: the reference says {expected.get(name)!r}, penstock {judged.get(name)!r}'
            for name in expected if expected[name] != judged.get(name)]


def run_ours(penstock, said, records):
    """A line a record; raises Refused."""
    with tempfile.TemporaryDirectory(prefix='penstock-rules-') as folder:
        path = pathlib.Path(folder)
        (path / 'penstock.yaml').write_text(NODE)
        (path / 'rules.yaml').write_text(as_yaml(said))
        (path / 'records').write_bytes(b''.join(map(as_input, records)))
        with open(path / 'records', 'rb') as records_file:
            run = subprocess.run([penstock, 'rules', 'test', '-c', path / 'penstock.yaml', path / 'rules.yaml', '--format', 'ndjson',
                                  '--json'], stdin=records_file, capture_output=True, timeout=RUN_SECONDS)
    lines = run.stdout.splitlines()
    if run.returncode != 0 or len(lines) != len(records):
        raise Refused(f'exit {run.returncode}, {len(lines)} lines for {len(records)} records\n{run.stderr.decode()}')
    return lines


def first_difference(penstock, said, patterns, records):
    """(index, texts) or None."""
    judge = Judge(said, patterns, LISTENER_TOPICS)
    for index, (record, line) in enumerate(zip(records, run_ours(penstock, said, records))):
        found = differences(expected_of(judge, record), judged_by_us(line))
        if found:
            return index, found
    return None


# ------------------------------------------------------------------------------------- smaller

def smaller_values(value):
    """Halves first, then pieces, then single bytes."""
    step = len(value) // 2
    while step > 0:
        for at in range(0, len(value), step):
            yield value[:at] + value[at + step:]
        step //= 2


def smaller_conditions(said):
    if isinstance(said, dict):
        for kind in ('all', 'any'):
            if kind in said:
                yield from said[kind]
                for i, child in enumerate(said[kind]):
                    rest = said[kind][:i] + said[kind][i + 1:]
                    if rest:
                        yield {kind: rest}
                    yield from ({kind: said[kind][:i] + [less] + said[kind][i + 1:]} for less in smaller_conditions(child))
        if 'not' in said:
            yield said['not']
            yield from ({'not': less} for less in smaller_conditions(said['not']))


def smaller_rules(said):
    rules = said['rules']
    for step in (len(rules) // 2, len(rules) // 4, 1):
        for at in range(0, len(rules), step) if step > 0 else ():
            yield {**said, 'rules': rules[:at] + rules[at + step:]}
    for i, rule in enumerate(rules):
        lesser = [{**rule, 'when': when} for when in smaller_conditions(rule['when'])]
        if isinstance(rule['do'], dict) and len(rule['do']) > 1:
            lesser += [{**rule, 'do': {key: action for key, action in rule['do'].items() if key != name}} for name in rule['do']
                       if name != 'keep' or 'by' not in rule['do']]
        yield from ({**said, 'rules': rules[:i] + [less] + rules[i + 1:]} for less in lesser)


def smaller_records(record):
    yield from ({**record, 'headers': {other: content for other, content in record['headers'].items() if other != name}}
                for name in record['headers'])
    if record['key'] is not None:
        yield {**record, 'key': None}
    for name in ('source', 'topic'):
        if record[name] is not None:
            yield {**record, name: None}
    yield from ({**record, 'value': value} for value in smaller_values(record['value']))


def shrink(penstock, said, patterns, record):
    """The smallest that still differs, as far as the time goes."""
    end = time.monotonic() + SHRINK_SECONDS

    def differs(rules, one):
        try:
            return first_difference(penstock, rules, patterns, [one]) is not None
        except Refused:
            return False

    progress = differs(said, record)  # not by itself: it needs the records around it
    while progress and time.monotonic() < end:
        progress = False
        for less in smaller_rules(said):
            if time.monotonic() < end and differs(less, record):
                said, progress = less, True
                break
        for less in smaller_records(record):
            if time.monotonic() < end and differs(said, less):
                record, progress = less, True
                break
    return said, record


# ------------------------------------------------------------------------------------------ sets

def generated(seed, index):
    """The rule set and its patterns: set `index` of this seed."""
    chance = random.Random(f'{seed}/{index}')
    sets = RuleSets(chance)
    return sets.rule_set(), sets.patterns, chance


def report(index, said, record, found):
    return '\n'.join([f'set {index} differs:', as_yaml(said), as_input(record).decode(), *found])


def try_set(task):
    """(index, what differs or None)"""
    penstock, seed, index, count = task
    said, patterns, chance = generated(seed, index)
    records_of = Records(chance, list(patterns.values()), TOPICS)
    records = [records_of.record() for _ in range(count)]
    try:
        difference = first_difference(penstock, said, patterns, records)
    except Refused as refused:
        return index, f'set {index} was not judged: {refused}\n{as_yaml(said)}'
    if difference is None:
        return index, None
    record = records[difference[0]]
    said, record = shrink(penstock, said, patterns, record)
    lesser = first_difference(penstock, said, patterns, [record])
    return index, report(index, said, record, lesser[1] if lesser else difference[1])


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('penstock')
    parser.add_argument('--sets', type=int, default=200)
    parser.add_argument('--records', type=int, default=20000)
    parser.add_argument('--seed', default='1')
    parser.add_argument('--first', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()

    tasks = [(options.penstock, options.seed, options.first + index, options.records) for index in range(options.sets)]
    differing = 0
    with multiprocessing.Pool(options.jobs) as pool:
        for done, (_, difference) in enumerate(pool.imap_unordered(try_set, tasks), 1):
            if difference is not None:
                differing += 1
                print(difference, flush=True)
            elif done % 20 == 0 and done < len(tasks):
                print(f'{done} sets done', flush=True)
    print(f'{len(tasks)} sets, {options.records} records each, {differing} differences')
    return 1 if differing > 0 or not tasks else 0


if __name__ == '__main__':
    sys.exit(main())
