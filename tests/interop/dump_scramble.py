#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the printers agree with btrfs-progs on values that no kernel writes?

Random bytes of superblocks and of items are changed, checksums made good again, and what both tools print
of them compared. Left out is what one of them refuses, and items that are shorter than their structure or
names that pass their item's end: there btrfs-progs prints what lies behind the item, and we do not.

usage: dump_scramble.py TOOL [SEED]
"""
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import dump_images  # noqa: E402
from extract_cases import crc32c  # noqa: E402

ROUNDS = 150
SUPER = 65536


def outputs(tool, *args):
    env = {**os.environ, "TZ": "UTC"}
    progs = subprocess.run(["btrfs", "inspect-internal", "dump-" + args[0], *args[1:]],
                           capture_output=True, env=env)
    ours = subprocess.run([tool, *args], capture_output=True, env=env)
    return progs, ours


def told(what, progs, ours):
    for a, b in zip(progs.stdout.split(b"\n"), ours.stdout.split(b"\n")):
        if a != b:
            print(f"{what}:\n    progs  {a[:200]!r}\n    ubtrfs {b[:200]!r}")
            return
    print(f"{what}: one is longer")


def supers(tool, data, rnd, path):
    bad = 0
    for _ in range(ROUNDS):
        sb = bytearray(data[SUPER:SUPER + 4096])
        for _ in range(rnd.choice((1, 2, 6, 20))):
            at = rnd.choice((rnd.randrange(0x20, 0x253), rnd.randrange(0xAC, 0xC9),
                             rnd.randrange(0x32B, 0x3B7), rnd.randrange(0xB2B, 0xDCB)))
            sb[at] = rnd.choice((0, 255, rnd.randrange(256), sb[at] ^ 1 << rnd.randrange(8)))
        with open(path, "wb") as f:
            f.write(sb)
        progs, ours = outputs(tool, "super", "--bytenr", "0", "-f", "-F", path)
        if progs.stdout != ours.stdout:
            told("superblock", progs, ours)
            bad += 1
    return bad


def scrambled(block, rnd):
    nr = struct.unpack_from("<I", block, 96)[0]
    for _ in range(rnd.choice((1, 3, 8))):
        header = 101 + 25 * rnd.randrange(nr)
        _, _, _, off, size = struct.unpack_from("<QBQII", block, header)
        at = 101 + off + rnd.randrange(size) if size and rnd.random() < 0.85 else \
            header + rnd.choice((0, 7, 9, 16))
        block[at] = rnd.choice((0, 255, rnd.randrange(256), block[at] ^ 1 << rnd.randrange(8)))
    block[0:4] = crc32c(bytes(block[32:])).to_bytes(4, "little")
    return block


def comparable(progs, ours):
    if re.search(rb"corrupt|ERROR|bad eb|smashing|overflow", progs.stderr) or progs.returncode < 0:
        return False
    # Times that libc cannot tell are made of whatever the stack held.
    return b"warning: leaf" not in ours.stderr and not re.search(rb" \(\)\n", ours.stdout) \
        and b"is missing" not in progs.stdout


def leaves(tool, data, image, rnd, nodesize):
    listing = subprocess.run([tool, "tree", image], capture_output=True, check=True).stdout
    live = {int(b) for b in re.findall(rb"^leaf (\d+) items [1-9]", listing, re.M)}
    fsid = data[SUPER + 32:SUPER + 48]
    places = {}
    for at in range(1 << 20, len(data) - nodesize, 4096):
        bytenr = struct.unpack_from("<Q", data, at + 48)[0]
        if data[at + 32:at + 48] == fsid and bytenr in live:
            places[bytenr] = at
    bad = compared = 0
    with open(image, "r+b") as f:
        for _ in range(ROUNDS):
            bytenr, at = rnd.choice(sorted(places.items()))
            f.seek(at)
            f.write(scrambled(bytearray(data[at:at + nodesize]), rnd))
            f.flush()
            progs, ours = outputs(tool, "tree", "-b", str(bytenr), image)
            if comparable(progs, ours):
                compared += 1
                if progs.stdout != ours.stdout:
                    told(f"leaf {bytenr}", progs, ours)
                    bad += 1
            f.seek(at)
            f.write(data[at:at + nodesize])
            f.flush()
    return bad, compared


def main():
    if os.geteuid():
        print("SKIP: making the images needs root")
        return 77
    dump_images.bi.own_namespace()  # a mount that another namespace has copied stays mounted
    tool = os.path.abspath(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rnd = random.Random(seed)
    box = dump_images.Box(tempfile.mkdtemp(prefix="ubtrfs-scramble."))
    try:
        images = box.mkfs([box.image(mib=128)], "-m", "single", "-n", "4096", "-O", "squota")
        m = box.mount(images)
        dump_images.age(m, 100)
        dump_images.reflinks(m, 60)
        box.sh("btrfs", "subvolume", "create", f"{m}/s")
        box.sh("btrfs", "subvolume", "snapshot", f"{m}/s", f"{m}/t")
        box.umount()
        with open(images[0], "rb") as f:
            data = f.read()
        bad = supers(tool, data, rnd, os.path.join(box.dir, "super"))
        bad_leaves, compared = leaves(tool, data, images[0], rnd, 4096)
    finally:
        box.close()
        shutil.rmtree(box.dir)
    print(f"seed {seed}: {ROUNDS} superblocks and {compared} leaves compared, {bad + bad_leaves} differ")
    # Were nothing comparable, nothing would be tested.
    return 1 if bad or bad_leaves or compared < ROUNDS // 3 else 0


if __name__ == "__main__":
    sys.exit(main())
