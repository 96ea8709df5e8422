#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The full product of configurations, in an order that makes any beginning of it a fair sample.

usage: long.py LOG [--ops N] [--jobs N] [--limit N]

LOG gets a line of JSON a configuration, as meson's test log; what it holds already is not run again,
so that a run may be broken off and taken up. At the end: how many passed, and of those that failed,
which values they share.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import pairwise  # noqa: E402


def parse():
    p = argparse.ArgumentParser()
    p.add_argument('log')
    p.add_argument('--ops', type=int, default=1000)
    p.add_argument('--jobs', type=int, default=os.cpu_count())
    p.add_argument('--limit', type=int, default=10**9, help='at most so many configurations')
    return p.parse_args()


def done_before(log):
    try:
        with open(log, encoding='utf-8') as f:
            return [json.loads(line) for line in f]
    except FileNotFoundError:
        return []


def run_one(number, ops):
    started = time.monotonic()
    cmd = [f'{HERE}/interop.py', '--full', str(number), '--ops', str(ops)]
    try:
        run = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                             stdin=subprocess.DEVNULL, timeout=600)
        output = run.stdout.decode('utf-8', 'replace')
        result = {0: 'OK', 77: 'SKIP'}.get(run.returncode, 'FAIL')
    except subprocess.TimeoutExpired as e:
        output, result = (e.stdout or b'').decode('utf-8', 'replace'), 'TIMEOUT'
    return {'name': f'full-{number}', 'number': number, 'result': result,
            'duration': round(time.monotonic() - started, 1),
            'stdout': '' if result == 'OK' else output[-8000:]}


def shared(rows, results):
    """For each value: how many of the configurations that have it failed."""
    tally = collections.defaultdict(lambda: [0, 0])
    for r in results:
        for fact in pairwise.facts(rows[r['number']]):
            tally[fact][r['result'] != 'OK'] += 1
    return [f'{name}={value}: {bad} of {good + bad} failed'
            for (name, value), (good, bad) in sorted(tally.items(), key=str) if bad]


def main():
    args = parse()
    rows = pairwise.product()
    results = done_before(args.log)
    done = {r['number'] for r in results}
    order = [i for i in range(len(rows)) if i not in done]
    random.Random(len(rows)).shuffle(order)
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool, \
            open(args.log, 'a', encoding='utf-8') as log:
        futures = [pool.submit(run_one, i, args.ops) for i in order[:args.limit]]
        for n, future in enumerate(concurrent.futures.as_completed(futures), 1):
            r = future.result()
            results.append(r)
            log.write(json.dumps(r) + '\n')
            log.flush()
            if r['result'] != 'OK' or n % 20 == 0:
                print(f"{n}/{len(futures)} {r['result']} {r['duration']} s "
                      f"{pairwise.describe(rows[r['number']])}", flush=True)
    failed = sum(r['result'] != 'OK' for r in results)
    print(f'{len(results)} of {len(rows)} configurations, {len(results) - failed} passed, '
          f'{failed} failed, {time.monotonic() - started:.0f} s')
    print('\n'.join(shared(rows, results)))
    return failed != 0


sys.exit(main())
