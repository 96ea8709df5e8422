#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ubtrfs-dump super and tree against btrfs-progs, byte for byte, on images of every kind.

usage: dump_cases.py TOOL [--dir DIR] [--keep] [CASE...]
"""
import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import dump_images  # noqa: E402

SUPER = [[], ["-f"], ["-a"], ["-fa"], ["-s", "1"], ["-i", "0"], ["--bytenr", "65536"],
         ["-F", "--bytenr", "1048576"], ["--bytenr", "4096"], ["-Ff", "-s", "4096"]]
TREE = [[], ["-e"], ["-d"], ["-r"], ["-R"], ["-u"], ["--dfs"], ["--bfs", "--hide-names"],
        ["--csum-headers", "--csum-items"], ["-e", "-r"], ["-d", "-r"], ["-e", "-d"], ["-u", "-d"],
        ["-t", "root"], ["-t", "2"], ["-t", "chunk_tree"], ["-t", "BTRFS_DEV_TREE_OBJECTID"],
        ["-t", "fs", "--dfs"], ["-t", "CSUM", "--csum-items"], ["-t", "quota"], ["-t", "free-space"],
        ["-t", "block_group"], ["-t", "tree_log"], ["-t", "data_reloc"], ["-t", "256"],
        ["-r", "-t", "root"], ["-e", "-t", "chunk"], ["-r", "-t", "256"], ["-t", "12345"],
        ["-t", "nonsense"], ["-b", "4097"]]

# What the images together must hold: a case that no longer makes its item would be no test.
HELD = [b"INODE_ITEM", b"INODE_REF", b"INODE_EXTREF", b"XATTR_ITEM", b"ORPHAN_ITEM", b"DIR_LOG_INDEX",
        b"DIR_ITEM", b"DIR_INDEX", b"EXTENT_DATA ", b"EXTENT_CSUM", b"ROOT_ITEM", b"ROOT_BACKREF",
        b"ROOT_REF", b"EXTENT_ITEM", b"METADATA_ITEM", b"TREE_BLOCK_REF", b"EXTENT_DATA_REF",
        b"SHARED_BLOCK_REF", b"SHARED_DATA_REF", b"BLOCK_GROUP_ITEM", b"FREE_SPACE_INFO",
        b"FREE_SPACE_EXTENT", b"FREE_SPACE_BITMAP", b"FREE_SPACE UNTYPED", b"DEV_EXTENT", b"DEV_ITEM",
        b"CHUNK_ITEM", b"QGROUP_STATUS", b"QGROUP_INFO", b"QGROUP_LIMIT", b"QGROUP_RELATION",
        b"BALANCE TEMPORARY_ITEM", b"DEV_STATS PERSISTENT_ITEM", b"DEV_REPLACE", b"UUID_KEY_SUBVOL",
        b"UUID_KEY_RECEIVED_SUBVOL", b"FULL_BACKREF", b"WRITTEN|RELOC", b"owner root", b"(inline)",
        b"(prealloc)", b"(zlib)", b"(lzo)", b"(zstd)", b"tree block key", b"tree block skinny",
        b"shared block backref parent", b"log tree key", b"TREE_RELOC", b"block group tree key",
        b"RAID6", b"RAID1C4", b"DUP", b"IMMUTABLE", b"SIMPLE_MODE"]


def run(argv, env):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    return r.returncode, r.stdout, r.stderr


def first_difference(want, got):
    a, b = want.split(b"\n"), got.split(b"\n")
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return f"line {i + 1}:\n    progs  {x[:300]!r}\n    ubtrfs {y[:300]!r}"
    return f"{len(a)} lines against {len(b)}"


class Judge:
    def __init__(self, tool):
        self.tool = tool
        self.compared = self.failed = self.bytes = 0
        self.held = set()

    def compare(self, name, progs, ours, devs, opts, env):
        code, want, _ = run(["btrfs", "inspect-internal", progs, *opts, *devs], env)
        our_code, got, err = run([self.tool, ours, *opts, *devs], env)
        self.compared += 1
        self.bytes += len(want)
        self.held.update(h for h in HELD if h not in self.held and h in want)
        # They fail alike; that one says 0 and the other not is only accepted where btrfs-progs forgets it.
        if want == got and (code == 0 or our_code != 0) and our_code <= 3:
            return
        self.failed += 1
        print(f"{name}: {ours} {' '.join(opts)}: exit {code} / {our_code}; "
              f"{first_difference(want, got)}\n    {err[:300].decode(errors='replace')}")

    def prove(self, devs):
        """One letter that differs, far into an output, must be noticed."""
        with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as f:
            f.write(f"#!/bin/sh\n{self.tool} \"$@\" | sed '$s/uuid/uuix/'\n")
        os.chmod(f.name, 0o755)
        liar = Judge(f.name)
        with contextlib.redirect_stdout(io.StringIO()):
            liar.compare("planted", "dump-tree", "tree", devs, [], dict(os.environ))
        os.unlink(f.name)
        if not liar.failed:
            print("a planted difference was not noticed")
            self.failed += 1

    def blocks(self, devs, env):
        """Roots and a few leaves, by address."""
        _, out, _ = run(["btrfs", "inspect-internal", "dump-tree", *devs], env)
        nodes = re.findall(rb"^node (\d+) level", out, re.M)
        leaves = re.findall(rb"^leaf (\d+) items", out, re.M)
        return [b.decode() for b in nodes[:3] + leaves[:2] + leaves[-1:]]

    def image(self, name, devs):
        for env in ({**os.environ, "TZ": "UTC"}, {**os.environ, "TZ": "America/St_Johns"}):
            for opts in SUPER if env["TZ"] == "UTC" else []:
                self.compare(name, "dump-super", "super", devs, opts, env)
            for opts in TREE if env["TZ"] == "UTC" else [[]]:
                self.compare(name, "dump-tree", "tree", devs, opts, env)
        env["TZ"] = "UTC"
        blocks = self.blocks(devs, env)
        for b in blocks:
            for opts in (["-b", b], ["-b", b, "--follow"], ["-b", b, "--follow", "--dfs"]):
                self.compare(name, "dump-tree", "tree", devs, opts, env)
        self.compare(name, "dump-tree", "tree", devs,
                     [w for b in reversed(blocks) for w in ("-b", b)], env)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("tool")
    ap.add_argument("cases", nargs="*")
    ap.add_argument("--dir", help="where the images are made, or found if they are there")
    ap.add_argument("--keep", action="store_true")
    args = ap.parse_intermixed_args()
    if os.geteuid():
        print("SKIP: making the images needs root")
        return 77
    dump_images.bi.own_namespace()  # a mount that another namespace has copied stays mounted
    top = args.dir or tempfile.mkdtemp(prefix="ubtrfs-dump.")
    judge = Judge(os.path.abspath(args.tool))
    made = 0
    for name in args.cases or dump_images.CASES:
        folder = os.path.join(top, name)
        listing = os.path.join(folder, "list")
        if not os.path.exists(listing):
            box = dump_images.Box(folder)
            try:
                devs = dump_images.CASES[name](box)
                with open(listing, "w") as f:
                    f.write(" ".join(devs))
            finally:
                box.close()
        with open(listing) as f:
            devs = f.read().split()
        if not made:
            judge.prove(devs)
        judge.image(name, devs)
        made += 1
        if not args.keep and not args.dir:
            shutil.rmtree(folder)
    if not args.keep and not args.dir:
        shutil.rmtree(top)
    missing = [h.decode() for h in HELD if h not in judge.held]
    if missing and not args.cases:
        print("no image holds", ", ".join(missing))
        judge.failed += 1
    print(f"{made} images, {judge.compared} outputs compared ({judge.bytes >> 20} MiB), "
          f"{judge.failed} differ")
    return 1 if judge.failed else 0


if __name__ == "__main__":
    sys.exit(main())
