#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Writes two C files that give the same list of names with the values that our headers and the
system's linux/btrfs_tree.h have for them: constants, sizes of structures, and offsets and sizes of
their members. What only one side has is left out, so a newer system header only makes the list longer.

usage: format_pairs.py SOURCE_ROOT OURS.c LINUX.c COMPILER...
"""
import re
import subprocess
import sys

LINUX = '#include <linux/btrfs.h>\n#include <linux/btrfs_tree.h>\n'
OURS = '#include "ondisk/format.h"\n'
HOST_ORDER = {'btrfs_key'}
# Ours has room for one element where theirs has none; and one that has grown since Linux 6.1.
NOT_BY_SIZE = {'btrfs_stripe_extent', 'btrfs_qgroup_status_item'}


def preprocess(compiler, root, text):
    cmd = compiler + ['-E', '-dD', '-I', root, '-x', 'c', '-']
    return subprocess.run(cmd, input=text, capture_output=True, text=True, check=True).stdout


def constants(text):
    names = set(re.findall(r'^#define (BTRFS_[A-Z0-9_]+) +\S', text, re.M))
    for body in re.findall(r'\benum\b[^{;]*\{(.*?)\}', text, re.S):
        names |= set(re.findall(r'\b(BTRFS_[A-Z0-9_]+)\b', body))
    return names


def structures(text):
    """struct name -> names of the members that have an offset and a size"""
    text = re.sub(r'^#.*$', '', text, flags=re.M)
    found = {}
    for m in re.finditer(r'struct\s+(btrfs_\w+)\s*\{', text):
        depth, end = 1, m.end()
        while depth:
            depth += {'{': 1, '}': -1}.get(text[end], 0)
            end += 1
        body = text[m.end():end - 1]
        members = re.findall(r'(\w+)\s*(?:\[\s*[^\]\s][^\]]*\]\s*)*;', body)
        found[m.group(1)] = set(members)
    return found


def main():
    root, ours_c, linux_c, compiler = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    ours, linux = (preprocess(compiler, root, t) for t in (OURS, LINUX))
    rows = [(n, f'(unsigned long long)({n})') for n in sorted(constants(ours) & constants(linux))]
    ours_s, linux_s = structures(ours), structures(linux)
    for s in sorted(ours_s.keys() & linux_s.keys() - HOST_ORDER):
        if s not in NOT_BY_SIZE:
            rows.append((f'sizeof {s}', f'sizeof(struct {s})'))
        for m in sorted(ours_s[s] & linux_s[s]):
            rows.append((f'offset {s}.{m}', f'offsetof(struct {s}, {m})'))
            rows.append((f'sizeof {s}.{m}', f'sizeof(((struct {s} *)0)->{m})'))
    for path, include, table in ((ours_c, OURS, 'pairs_ours'), (linux_c, LINUX, 'pairs_linux')):
        with open(path, 'w', encoding='ascii') as f:
            f.write('#include <stddef.h>\n' + include)
            f.write('#include "tests/unit/format_pairs.h"\n')
            f.write(f'const struct format_pair {table}[] = {{\n')
            for name, value in rows:
                f.write(f'\t{{ "{name}", {value} }},\n')
            f.write('\t{ NULL, 0 },\n};\n')


main()
