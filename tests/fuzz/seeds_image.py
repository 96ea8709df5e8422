#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Writes seeds for fuzz_image into a folder: how the image is opened, and changes to fields or bytes of it
(see fuzz_image.c).

usage: seeds_image.py FOLDER
"""
import os
import struct
import sys

FIELDS, BLOCKS, RAW = 0, 2, 3
PARTIAL, BADROOTS, NOCSUM, BACKUP = 4, 8, 16, 32


def field(number, op, value=b''):
    return struct.pack('<HB', number, op) + value


def put(block, off, data):
    return struct.pack('<HHB', block, off, len(data) - 1) + data


def seeds():
    for how in (0, PARTIAL, BADROOTS, NOCSUM, BACKUP, PARTIAL | BADROOTS | NOCSUM | BACKUP):
        yield bytes([how])
    # Fields from all over the image, by each of the sweep's values and by one of our own.
    for number in range(0, 4000, 97):
        yield bytes([FIELDS]) + field(number, number % 4)
        yield bytes([FIELDS | PARTIAL]) + field(number, 4, struct.pack('<QQ', number, 1 << 40))
    yield bytes([FIELDS]) + b''.join(field(n, 3) for n in range(300, 3000, 301))
    for block in range(1, 24):
        # The number of items, and where the first item is.
        yield bytes([BLOCKS]) + put(block, 96, struct.pack('<I', 400))
        yield bytes([BLOCKS | BADROOTS]) + put(block, 101 + 17, struct.pack('<II', 100, 3900))
        yield bytes([RAW | NOCSUM]) + put(block, 101, bytes(range(16)))
    yield bytes([RAW]) + put(0, 64, b'\0' * 8)


def main():
    folder = sys.argv[1]
    for i, data in enumerate(seeds()):
        with open(os.path.join(folder, f'seed{i:03}'), 'wb') as f:
            f.write(data)


main()
