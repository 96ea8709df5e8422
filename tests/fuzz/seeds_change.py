#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Writes seeds for fuzz_change into a folder: the order of changes, and damage to fields or bytes of the
image (see fuzz_change.c, fuzz_input.h).

usage: seeds_change.py FOLDER
"""
import os
import struct
import sys

FIELDS, BLOCKS = 0, 2


def field(number, op, value=b''):
    return struct.pack('<HB', number, op) + value


def put(block, off, data):
    return struct.pack('<HHB', block, off, len(data) - 1) + data


def seeds():
    for order in range(3):
        yield bytes([order << 2])
    # Fields from all over the image, by each of the sweep's values and by one of our own.
    for number in range(0, 6000, 211):
        yield bytes([FIELDS | number % 64 << 2]) + field(number, number % 4)
    for number in range(0, 6000, 907):
        yield bytes([FIELDS]) + field(number, 4, struct.pack('<QQ', number * 4096, 1 << 20))
    for block in range(1, 27, 4):
        yield bytes([BLOCKS]) + put(block, 101 + 25 * block % 900, struct.pack('<Q', block << 12))


def main():
    folder = sys.argv[1]
    for i, data in enumerate(seeds()):
        with open(os.path.join(folder, f'seed{i:03}'), 'wb') as f:
            f.write(data)


main()
