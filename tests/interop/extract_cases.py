#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ubtrfs-dump extract and cat: whole, from damaged images, and from hostile ones.

usage: extract_cases.py TOOL WALK
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import dump_images  # noqa: E402
from dump_images import Box, noise, write


def crc32c_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


TABLE = crc32c_table()


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = TABLE[(c ^ b) & 255] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


class Cases:
    def __init__(self, tool, walk, top):
        self.tool, self.walk_tool, self.top = tool, walk, top
        self.failed = 0
        # The target must hold every attribute that btrfs holds.
        self.target_box = Box(os.path.join(top, "target"))
        image = self.target_box.mkfs([self.target_box.image(mib=1024)])
        self.target = self.target_box.mount(image)
        self.nr = 0

    def check(self, what, ok, detail=""):
        if not ok:
            self.failed += 1
            print(f"FAILED: {what}: {str(detail)[:1500]}")

    def run(self, *argv):
        r = subprocess.run([self.tool, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return r.returncode, r.stdout, r.stderr.decode(errors="replace")

    def extract(self, devs, path="/", *opts):
        self.nr += 1
        out = os.path.join(self.target, f"x{self.nr}")
        code, text, err = self.run("extract", *opts, *devs, path, out)
        return out, code, text, err

    def walk(self, where):
        return subprocess.run([self.walk_tool, "--hash", "--skip", "ctime", where], check=True,
                              stdout=subprocess.PIPE).stdout.split(b"\n")

    # ---- whole ----

    def whole(self, name):
        box = Box(os.path.join(self.top, name))
        try:
            devs = dump_images.CASES[name](box)
            where = box.mount(devs, "ro,subvolid=5")
            want = self.walk(where)
            out, code, _, err = self.extract(devs)
            self.check(f"{name}: exit code", code == 0, err)
            got = self.walk(out)
            diff = [x for x in zip(want, got) if x[0] != x[1]][:3]
            self.check(f"{name}: same as the kernel's mount", want == got, diff or (len(want), len(got)))
            for f in ("regular", "zstd", "one"):
                if os.path.exists(f"{where}/{f}"):
                    code, data, err = self.run("cat", *devs, f)
                    with open(f"{where}/{f}", "rb") as kernel:
                        self.check(f"{name}: cat {f}", code == 0 and data == kernel.read(), err)
        finally:
            box.close()

    # ---- damaged ----

    def places(self, devs, path):
        code, out, err = self.run("extents", "--json", *devs, path)
        self.check(f"extents of {path}", code == 0, err)
        return json.loads(out)["extents"]

    def bad_data(self):
        box = Box(os.path.join(self.top, "bad_data"))
        try:
            imgs = box.mkfs([box.image()])
            m = box.mount(imgs)
            data = noise(1 << 20)
            write(f"{m}/good", data)
            write(f"{m}/bad", data)
            os.link(f"{m}/bad", f"{m}/bad-too")
            box.umount()
            with open(imgs[0], "r+b") as f:
                for at in (40960, 45056, 900000):
                    e = [e for e in self.places(imgs, "bad") if e["offset"] <= at
                         < e["offset"] + e["length"]][0]
                    f.seek(e["places"][0]["physical"] + at - e["offset"])
                    f.write(b"!")
            out, code, _, err = self.extract(imgs)
            self.check("bad data: exit code 3", code == 3, err)
            self.check("bad data: told once, with the range",
                       err.count("lost: ") == 2 and "bytes 40960 to 49151" in err
                       and "bytes 897024 to 901119" in err, err)
            want = bytearray(data)
            want[40960:49152] = bytes(8192)
            want[897024:901120] = bytes(4096)
            with open(f"{out}/bad", "rb") as f:
                self.check("bad data: the rest is there", f.read() == want)
            with open(f"{out}/good", "rb") as f:
                self.check("bad data: the other file", f.read() == data)
            self.check("bad data: links", os.stat(f"{out}/bad-too").st_nlink == 2)
            code, got, err = self.run("cat", *imgs, "bad")
            self.check("bad data: cat stops there", code == 3 and got == data[:40960], err)
            code, out, err = self.run("extract", "--json", *imgs, "/bad", f"{self.target}/json")
            doc = json.loads(out)
            self.check("bad data: json", code == 3 and len(doc["lost"]) == 2
                       and doc["lost"][0]["path"] == "bad" and doc["lost_bytes"] == 12288, out)
        finally:
            box.close()

    def bad_leaf(self):
        """All copies of one leaf of the tree are gone: what is in the others comes out."""
        box = Box(os.path.join(self.top, "bad_leaf"))
        try:
            imgs = box.mkfs([box.image()], "-m", "single", "-n", "4096")
            m = box.mount(imgs)
            for i in range(2000):
                write(f"{m}/file-{i:04d}", b"content %d" % i)
            box.umount()
            code, out, err = self.run("tree", "--json", "-t", "5", *imgs)
            leaves = [b["header"]["bytenr"] for b in json.loads(out)["trees"][0]["blocks"]
                      if b["header"]["level"] == 0]
            for which in (5, len(leaves) // 2, len(leaves) - 2):
                bad = box.copy(imgs, f".{which}")
                self.spoil(bad[0], leaves[which])
                out, code, _, err = self.extract(bad)
                names = set(os.listdir(out))
                wrong = [n for n in names
                         if open(f"{out}/{n}", "rb").read() != b"content %d" % int(n[5:])]
                self.check(f"leaf {which} lost: exit code 3", code == 3, err[-500:])
                self.check(f"leaf {which} lost: what came out is good, or told",
                           all(f"lost: {n}:" in err for n in wrong), wrong)
                self.check(f"leaf {which} lost: the others are there", len(names) > 1900, len(names))
                self.check(f"leaf {which} lost: told", err.count("lost: ") >= 1, err[-500:])
                code, _, err = self.run("tree", "-t", "5", *bad)
                self.check(f"leaf {which} lost: tree goes on and says which",
                           code == 3 and str(leaves[which]) in err, err[-500:])
                code, _, err = self.run("tree", "-b", str(leaves[which]), *bad)
                self.check(f"leaf {which} lost: -b shows it", code == 3, err[-500:])
        finally:
            box.close()

    @staticmethod
    def blocks_with(image, node, what):
        """Positions of metadata blocks of this image that hold some bytes."""
        with open(image, "rb") as f:
            data = f.read()
        fsid = data[65536 + 32:65536 + 48]
        at = data.find(what)
        found = set()
        while at >= 0:
            for start in range(at - at % 4096, max(at - node, -1), -4096):
                if data[start + 32:start + 48] == fsid and start != 65536:
                    found.add(start)
                    break
            at = data.find(what, at + 1)
        return data, sorted(found)

    def spoil(self, image, bytenr):
        data, at = self.blocks_with(image, 4096, bytenr.to_bytes(8, "little"))
        at = [a for a in at if data[a + 48:a + 56] == bytenr.to_bytes(8, "little")]
        self.check("the leaf is found in the image", len(at) >= 1)
        with open(image, "r+b") as f:
            for a in at:
                f.seek(a + 2000)
                f.write(b"spoiled!")

    # ---- hostile ----

    def hostile_names(self):
        """Names with slashes, names that lead out: nothing may appear outside the target."""
        evil = {b"victim-1": b"../escap", b"victim-2": b"/tmp/x-2", b"victim-3": b"..\0\0\0\0\0\0",
                b"victim-4": b"a/../../"}
        for old, new in evil.items():
            box = Box(os.path.join(self.top, "hostile-" + old.decode()))
            try:
                imgs = box.mkfs([box.image()], "-m", "single")
                m = box.mount(imgs)
                write(f"{m}/harmless", b"fine")
                os.mkdir(f"{m}/dir")
                write(f"{m}/dir/{old.decode()}", b"evil")
                box.umount()
                data, at = self.blocks_with(imgs[0], 16384, old)
                self.check("the name is found in the image", len(at) >= 1)
                with open(imgs[0], "r+b") as f:
                    for a in at:
                        block = bytearray(data[a:a + 16384].replace(old, new))
                        block[0:4] = crc32c(bytes(block[32:])).to_bytes(4, "little")
                        f.seek(a)
                        f.write(block)
                before = set(os.listdir(self.target))
                assert not os.path.exists("/tmp/x-2")
                out, code, _, err = self.extract(imgs)
                after = set(os.listdir(self.target))
                if os.path.exists("/tmp/x-2"):
                    after.add("/tmp/x-2")
                self.check(f"{new!r}: not clean", code in (1, 3), err)
                self.check(f"{new!r}: nothing outside", after - before <= {os.path.basename(out)},
                           after - before)
                self.check(f"{new!r}: nothing called so", not os.path.exists(f"{out}/dir/{old.decode()}"))
            finally:
                box.close()

    def links_in_the_way(self):
        """What is in the target already is neither followed nor overwritten."""
        box = Box(os.path.join(self.top, "in_the_way"))
        try:
            imgs = box.mkfs([box.image()])
            m = box.mount(imgs)
            os.mkdir(f"{m}/dir")
            write(f"{m}/dir/file", b"new")
            write(f"{m}/plain", b"new")
            write(f"{m}/linked", b"new")
            box.umount()
            out = os.path.join(self.target, "way")
            outside = os.path.join(self.target, "outside")
            os.mkdir(out)
            os.mkdir(outside)
            write(f"{outside}/linked", b"old")
            write(f"{out}/plain", b"old")
            os.symlink(outside, f"{out}/dir")
            os.symlink(f"{outside}/linked", f"{out}/linked")
            code, _, err = self.run("extract", *imgs, "/", out)
            self.check("in the way: exit code 3", code == 3, err)
            self.check("in the way: three losses", err.count("lost: ") == 3, err)
            self.check("in the way: outside untouched", os.listdir(outside) == ["linked"]
                       and open(f"{outside}/linked").read() == "old"
                       and open(f"{out}/plain").read() == "old")
        finally:
            box.close()

    def close(self):
        for d in os.listdir(self.target):
            subprocess.run(["chattr", "-R", "-i", "-a", os.path.join(self.target, d)],
                           stderr=subprocess.DEVNULL)
        self.target_box.close()


def main():
    if os.geteuid():
        print("SKIP: making the images needs root")
        return 77
    dump_images.bi.own_namespace()  # a mount that another namespace has copied stays mounted
    top = tempfile.mkdtemp(prefix="ubtrfs-extract.")
    cases = Cases(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), top)
    try:
        for name in ("plain", "compressed", "hardlinks", "raid6_raid1c4", "old_features"):
            cases.whole(name)
        cases.bad_data()
        cases.bad_leaf()
        cases.hostile_names()
        cases.links_in_the_way()
    finally:
        cases.close()
        shutil.rmtree(top)
    print(f"{cases.nr} extractions, {cases.failed} checks failed")
    return 1 if cases.failed else 0


if __name__ == "__main__":
    sys.exit(main())
