#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The long sweeps of writing: 50,000 crash states, every failure of a script, a filesystem of 1 GiB filled,
and long random work against models, alone and by turns with the kernel.

usage: long.py BUILD LOG [--states N] [--jobs N]

LOG gets a line of JSON a part, as meson's test log; parts that it holds already are not run again.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import time

PART = 1000
CONFIGS = ('dup', 'n4k', 'bgt', 'tight')


def work():
    """Our engine and the kernel by turns, in every configuration."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, f'{here}/lib')
    import write_image  # pylint: disable=import-outside-toplevel
    for config in write_image.CONFIGS:
        cmd = [f'{here}/interop/work.py', '--config', config, '--mib', '4096', '--options',
               'cache=134217728' if config == 'n64k' else '']
        yield f'work-{config}', cmd + ['--ops', '200000', '--rounds', '1', '--seed', '7']
        yield f'ping-pong-{config}', cmd + ['--ops', '100000', '--rounds', '20', '--seed', '8']


def parts(build, states):
    """Name and command of each part."""
    image = {c: f'{build}/tests/crash/write-{c}.img' for c in CONFIGS}
    crash, fault = f'{build}/tests/crash/crash', f'{build}/tests/fault/fault-change'
    for seed in range(1, states // PART + 1):
        config = CONFIGS[seed % len(CONFIGS)]
        yield f'crash-{config}-{seed}', [crash, '--states', str(PART), '--check', '20', '--seed',
                                         str(1000 + seed), image[config]]
        if seed % 5 == 0:
            yield f'crash-threads-{seed}', [crash, '--states', str(PART), '--check', '20', '--threads',
                                            '--seed', str(2000 + seed), image['bgt']]
            yield f'crash-torn-{seed}', [crash, '--states', str(PART), '--torn', '--seed',
                                         str(3000 + seed), image['dup']]
    for config in ('dup', 'n4k', 'bgt'):
        yield f'fault-change-{config}', [fault, image[config]]
    yield 'damage-change', [f'{build}/tests/damage/damage', '--change', '--long',
                            f'{build}/tests/damage/small.img']
    prop = f'{build}/tests/prop/prop'
    for seed in range(1, 40):
        config = CONFIGS[seed % 3] # the last has no room for everything
        yield f'prop-{config}-{seed}', [prop, '-v', 'volume', '-n', '50', '-o', '2000', '-s',
                                        str(100 * seed), image[config]]
    on_image = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                            'storm/on_image.py')
    for config in ('dup', 'n4k', 'bgt', 'mixed'):
        yield f'storm-1g-{config}', [on_image, config, '1024', f'{build}/tests/storm/storm']
    yield from work()


def run_one(name, cmd):
    started = time.monotonic()
    try:
        run = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                             stdin=subprocess.DEVNULL, timeout=7200)
        output, result = run.stdout.decode('utf-8', 'replace'), 'FAIL' if run.returncode else 'OK'
    except subprocess.TimeoutExpired as e:
        output, result = (e.stdout or b'').decode('utf-8', 'replace'), 'TIMEOUT'
    return {'name': name, 'result': result, 'duration': round(time.monotonic() - started, 1),
            'stdout': output[-8000:]}


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('build')
    p.add_argument('log')
    p.add_argument('--states', type=int, default=50000)
    p.add_argument('--jobs', type=int, default=os.cpu_count())
    args = p.parse_args()
    os.environ['UBTRFS_BUILD'] = os.path.abspath(args.build)
    done = set()
    if os.path.exists(args.log):
        with open(args.log, encoding='utf-8') as f:
            done = {json.loads(line)['name'] for line in f}
    todo = [(name, cmd) for name, cmd in parts(args.build, args.states) if name not in done]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool, \
            open(args.log, 'a', encoding='utf-8') as log:
        for future in concurrent.futures.as_completed([pool.submit(run_one, *t) for t in todo]):
            r = future.result()
            print(json.dumps(r), file=log, flush=True)
            bad += r['result'] != 'OK'
            last = r['stdout'].strip().splitlines()[-1:]
            print(f"{r['name']}: {r['result']} in {r['duration']} s: {' '.join(last)}", flush=True)
    sys.exit(bad != 0)


main()
