#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a program on a new, empty image; btrfs check must find it clean afterwards.

usage: on_image.py CONFIG MIB PROGRAM [ARG]...

The image is the program's last argument. It lies in memory if it may: a flush of a real disk costs more than
what is tested.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import btrfs_image as bi  # noqa: E402
import write_image  # noqa: E402


def test():
    config, mib, *cmd = sys.argv[1:]
    room = os.statvfs('/dev/shm')
    if room.f_bavail * room.f_frsize > (int(mib) << 20) * 5 // 4:
        tempfile.tempdir = '/dev/shm'
    with bi.scratch() as top:
        image = f'{top}/image'
        write_image.make(config, image, int(mib), empty=True)
        code = subprocess.run([*cmd, image], check=False).returncode
        check = subprocess.run(['btrfs', 'check', image], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, check=False)
    if check.returncode:
        print(check.stdout[-3000:])
    if code or check.returncode:
        raise bi.Failed(f'the program: {code}; btrfs check: {check.returncode}')


bi.main(test)
