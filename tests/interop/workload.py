# SPDX-License-Identifier: GPL-2.0-or-later
"""Talks to the program workload (workload.c) and watches the kernel's log."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402

PROGRAM = os.path.join(bi.build_dir(), 'tests', 'prop', 'workload')


class Workload:
    """One run of the program: say() a line, get its answer; a failure is the test's."""

    def __init__(self):
        self.child = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, bufsize=1, errors='backslashreplace')

    def say(self, *words):
        line = ' '.join(map(str, words))
        try:
            self.child.stdin.write(line + '\n')
            self.child.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.child.stdout.readline()
        if not answer.startswith('ok'):
            self.child.stdin.close()
            rest = answer + self.child.stdout.read()
            raise bi.Failed(f'{line}: {rest or "no answer"} (exit code {self.child.wait()})')
        return answer[2:].strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.child.stdin.closed:
            self.child.stdin.close()
        self.child.wait()


def kernel_log(device):
    """What the kernel has said of a loop device; None where its log can't be read."""
    done = subprocess.run(['dmesg'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if done.returncode:
        return None
    name = re.escape(os.path.basename(device))
    return [line for line in done.stdout.decode('utf-8', 'replace').splitlines()
            if re.search(rf'BTRFS.*\b{name}\b', line)]
