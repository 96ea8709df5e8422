#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs a libFuzzer target for a while over a corpus that a seed script makes, in a scratch folder.

usage: run_target.py [--plant NAME] SECONDS TARGET [SEED_SCRIPT]
Without --plant the target must find nothing. With it, the fault of that name is switched on and the
target must find it within SECONDS. An input that fails is kept in $UBTRFS_FUZZ_KEEP, if that is set.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time


def main():
    args = argparse.ArgumentParser()
    args.add_argument('--plant')
    args.add_argument('seconds', type=int)
    args.add_argument('target')
    args.add_argument('seeds', nargs='?')
    args = args.parse_args()

    env = dict(os.environ)
    env.pop('UBTRFS_PLANT', None)
    if args.plant:
        env['UBTRFS_PLANT'] = args.plant
    with tempfile.TemporaryDirectory(prefix='ubtrfs-fuzz-') as tmp:
        corpus, found = os.path.join(tmp, 'corpus'), os.path.join(tmp, 'found')
        os.mkdir(corpus)
        os.mkdir(found)
        if args.seeds:
            subprocess.run([sys.executable, args.seeds, corpus], check=True)
        start = time.monotonic()
        run = subprocess.run(
            [args.target, f'-max_total_time={args.seconds}', '-timeout=10', '-rss_limit_mb=1024',
             f'-artifact_prefix={found}/', '-print_final_stats=1', corpus],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors='replace')
        took = time.monotonic() - start
        keep = os.environ.get('UBTRFS_FUZZ_KEEP')
        if keep and not args.plant:
            shutil.copytree(found, keep, dirs_exist_ok=True)
    tail = run.stdout[-6000:]
    executed = [l for l in run.stdout.splitlines() if 'number_of_executed_units' in l]
    print(f'{took:.1f} s, {executed[0].split()[-1] if executed else "?"} inputs')
    if args.plant:
        if run.returncode != 0 and 'SUMMARY: ' in run.stdout:
            print(f'found the planted {args.plant}: ' +
                  run.stdout.split('SUMMARY: ')[1].splitlines()[0])
            return 0
        print(tail)
        print(f'did not find the planted {args.plant} in {args.seconds} s')
        return 1
    if run.returncode != 0:
        print(tail)
    return run.returncode


sys.exit(main())
