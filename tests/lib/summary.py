#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sums up meson's test logs: what failed and its output, what was skipped and why, one line of counts.

usage: summary.py [--failed-builds N] TESTLOG.json...

Under CI=true a skip counts as a failure unless its reason is something that this machine lacks.
"""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import btrfs_image  # noqa: E402

REASON = re.compile(r'^.*SKIP(?:PED)?:? *(.*)$', re.M)
LACKS = re.compile(r'no (.*) here$')


def read(path):
    """The tests of a log, which is there before the first test ends only in part."""
    try:
        with open(path, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.strip()]
    except (OSError, ValueError) as e:
        return [{'name': path, 'result': 'ERROR', 'stdout': f'no test log: {e}'}]


def excusable(reason):
    lacks = LACKS.search(reason)
    probe = lacks and btrfs_image.MACHINE.get(lacks.group(1))
    return bool(probe) and not probe()


def main():
    args = sys.argv[1:]
    passed = failed = skipped = 0
    if args[:1] == ['--failed-builds']:
        failed += int(args[1])
        args = args[2:]
    for path in args:
        build = path.split('/')[0]
        for test in read(path):
            name, result = f"{build}: {test['name']}", test['result']
            output = (test.get('stdout') or '') + (test.get('stderr') or '')
            if result in ('OK', 'EXPECTEDFAIL'):
                passed += 1
                continue
            if result in ('SKIP', 'IGNORED'):
                found = REASON.search(output)
                reason = found.group(1) if found else 'without a reason'
                if os.environ.get('CI') != 'true' or excusable(reason):
                    skipped += 1
                    print(f'SKIPPED {name}: {reason}')
                    continue
                print(f'SKIPPED, which it must not be here: {name}: {reason}')
            failed += 1
            print(f'FAILED {name}: {result}')
            print('\n'.join('    ' + line for line in output.splitlines()[-60:]))
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return failed != 0 or passed == 0


sys.exit(main())
