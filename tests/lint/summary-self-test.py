#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The line that says whether all is well must not say so when it isn't.

usage: summary-self-test.py ROOT
"""
import json
import os
import subprocess
import sys
import tempfile

OK = {'name': 'a', 'result': 'OK', 'stdout': ''}
FAIL = {'name': 'b', 'result': 'FAIL', 'stdout': 'why it failed'}
TIMEOUT = {'name': 'c', 'result': 'TIMEOUT'}
HAS = {'name': 'd', 'result': 'SKIP', 'stdout': 'SKIP: no /dev/null here\n'}
# tests, CI, exit code, last line
CASES = [
    ([OK, OK], 'true', 0, '2 passed, 0 failed, 0 skipped'),
    ([OK, FAIL, TIMEOUT], '', 1, '1 passed, 2 failed, 0 skipped'),
    ([OK, HAS], '', 0, '1 passed, 0 failed, 1 skipped'),
    ([OK, HAS], 'true', 1, '1 passed, 1 failed, 0 skipped'),
    ([], '', 1, '0 passed, 0 failed, 0 skipped'),
    (None, '', 1, '0 passed, 1 failed, 0 skipped'),
]


def main():
    program = f'{sys.argv[1]}/tests/lib/summary.py'
    with tempfile.TemporaryDirectory(prefix='ubtrfs-lint.') as tmp:
        for tests, ci, code, line in CASES:
            log = f'{tmp}/log.json'
            if os.path.exists(log):
                os.unlink(log)
            if tests is not None:
                with open(log, 'w', encoding='utf-8') as f:
                    f.writelines(json.dumps(t) + '\n' for t in tests)
            run = subprocess.run([program, '--failed-builds', '0', log], check=False,
                                 stdout=subprocess.PIPE, env=dict(os.environ, CI=ci))
            out = run.stdout.decode()
            if run.returncode != code or out.splitlines()[-1] != line:
                print(f'{tests}, CI={ci}: exit code {run.returncode}, {out}')
                return 1
            if tests and FAIL in tests and 'why it failed' not in out:
                print('the output of a failed test is not shown')
                return 1
    print(f'{len(CASES)} logs summed up rightly')
    return 0


sys.exit(main())
