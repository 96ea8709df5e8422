#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Writes seeds for fuzz_check into a folder: programs (see fuzz_check.c) that build one good block each.

usage: seeds_check.py FOLDER
"""
import os
import struct
import sys

# Places in fuzz_check.c's table of key types.
TYPES = [0, 1, 12, 13, 24, 36, 37, 48, 60, 72, 84, 96, 108, 128, 132, 144, 156, 168, 169, 176, 178,
         182, 184, 192, 198, 199, 200, 204, 216, 228, 230, 234, 235, 236, 240, 242, 244, 246, 248,
         249, 250, 251, 252, 253]
LEAF, NODE, RAW, SUPER = 2, 1, 0, 7
SMALL = 0           # nodes and sectors of 4096
METADUMP = 16       # names need not match their hashes
INODE, SPACE = 0, 128  # objectids: inode 256, the slot's own place
OFF8, OFF1, SECTORS, HASH, LEN2 = 2, 4, 8, 16, 1


def item(key_type, data, objectid=INODE, how=0, offset=b''):
    length = struct.pack('<H' if how & LEN2 else '<B', len(data))
    return bytes([objectid, TYPES.index(key_type), how]) + length + offset + data


def block(mode, owner, *parts, how=SMALL):
    return bytes([mode, how, owner]) + b''.join(parts)


def inode(mode):
    return struct.pack('<QQQQQIIIIQQQ', 20, 20, 0, 0, 0, 1, 0, 0, mode, 0, 0, 0) + bytes(80)


def dir_item(name, data=b'', kind=1, location=(257, 1, 0)):
    return struct.pack('<QBQQHHB', *location, 20, len(data), len(name), kind) + name + data


def chunk(kind, stripes):
    return struct.pack('<QQQQIIIHH', 1 << 23, 2, 65536, kind, 65536, 65536, 4096, stripes, 1) + \
        (struct.pack('<QQ', 1, 1 << 20) + bytes(16)) * stripes


def seeds():
    file_extent = struct.pack('<QQBBHBQQQQ', 20, 65536, 0, 0, 0, 1, 1 << 24, 65536, 0, 65536)
    extent = struct.pack('<QQQ', 1, 20, 1)
    data_ref = struct.pack('<BQQQI', 178, 5, 257, 0, 1)
    yield 'names', block(
        LEAF, 5, item(1, inode(0o40755)), item(12, struct.pack('<QH', 0, 2) + b'..'),
        item(24, dir_item(b'user.a', b'value', 8, (0, 0, 0)), how=HASH),
        item(84, dir_item(b'name'), how=HASH), item(96, dir_item(b'name'), how=OFF1, offset=b'\2'))
    yield 'metadump', block(
        LEAF, 5, item(84, dir_item(b'abc') + dir_item(b'defg'), how=OFF1, offset=b'\1'),
        item(96, dir_item(b'name'), how=OFF1, offset=b'\2'), how=METADUMP)
    yield 'file', block(
        LEAF, 5, item(1, inode(0o100644)), item(108, file_extent, how=OFF1 | SECTORS, offset=b'\1'))
    yield 'inline', block(
        LEAF, 5, item(108, struct.pack('<QQBBHB', 20, 9, 0, 0, 0, 0) + b'some data'))
    yield 'extents', block(
        LEAF, 2,
        item(168, extent + data_ref, SPACE, OFF1 | SECTORS, b'\1'),
        item(169, struct.pack('<QQQBQ', 1, 20, 2, 176, 5), SPACE),
        item(192, struct.pack('<QQQ', 0, 256, 1), SPACE, OFF1 | SECTORS, b'\4'))
    yield 'roots', block(
        LEAF, 1, item(132, inode(0o40755) + struct.pack('<QQQ', 20, 256, 1 << 24) + bytes(255),
                      how=LEN2),
        item(144, struct.pack('<QQH', 256, 2, 4) + b'snap', how=OFF1, offset=b'\5'))
    yield 'chunks', block(LEAF, 3, item(228, chunk(0x22, 2), how=OFF8,
                                        offset=struct.pack('<Q', 1 << 24)))
    yield 'free', block(
        LEAF, 10, item(198, struct.pack('<II', 1, 0), SPACE, OFF1 | SECTORS, b'\4'),
        item(199, b'', SPACE, OFF1 | SECTORS, b'\1'), item(200, b'\1', SPACE, OFF1 | SECTORS, b'\4'))
    yield 'node', block(NODE, 5, bytes([1]), struct.pack('<HBBHB', 256, 1, 0, 9, 5),
                        struct.pack('<HBBHB', 257, 1, 0, 10, 6))
    yield 'raw', block(RAW, 5, bytes(101))
    yield 'super', bytes([SUPER])


def main():
    for name, data in seeds():
        with open(os.path.join(sys.argv[1], name), 'wb') as f:
            f.write(data)


main()
