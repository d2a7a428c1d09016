# SPDX-License-Identifier: Apache-2.0
"""The CSV: one line for each contender of a point, `normgen` last. A point without that last line was
interrupted: it is dropped and measured again. Lines that begin with # say on what and with what."""
import csv
import os

FIELDS = ("norm", "type", "hidden", "regime", "threads", "rows", "contender", "ns_per_row", "spread",
          "factor", "gb_s", "of_limit", "noise", "note")
NUMBERS = {"hidden": int, "threads": int, "rows": int, "ns_per_row": float, "spread": float,
           "factor": float, "gb_s": float, "of_limit": float, "noise": float}
LAST = "normgen"


def key(line):
    return tuple(line[f] for f in ("norm", "type", "hidden", "regime", "threads"))


def parse(text):
    """(facts, lines of complete points). The last line of a point decides; a later measurement of the
    same point replaces an earlier one."""
    facts, pending, points = {}, {}, {}
    whole = text[:text.rfind("\n") + 1]
    for row in csv.reader(whole.splitlines()):
        if not row or row == list(FIELDS):
            continue
        if row[0].startswith("# "):
            name, _, value = ",".join(row)[2:].partition(": ")
            facts[name] = value
            continue
        if len(row) != len(FIELDS):
            continue
        line = dict(zip(FIELDS, row))
        for name, number in NUMBERS.items():
            line[name] = number(line[name]) if line[name] else None
        pending.setdefault(key(line), []).append(line)
        if line["contender"] == LAST:
            points[key(line)] = pending.pop(key(line))
    return facts, [line for lines in points.values() for line in lines]


def read(path):
    if not os.path.exists(path):
        return {}, []
    with open(path, encoding="utf-8") as f:
        return parse(f.read())


def done(lines):
    return {key(line) for line in lines}


def text_of(value):
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def cut_torn_line(path):
    """Removes what stands behind the last newline; the size of the file then."""
    with open(path, "r+b") as f:
        return f.truncate(f.read().rfind(b"\n") + 1)


def append(path, facts, lines):
    """Writes a whole point at once; the first time the facts before it."""
    fresh = not os.path.exists(path) or cut_torn_line(path) == 0
    with open(path, "a", encoding="utf-8", newline="") as f:
        if fresh:
            for name, value in facts.items():
                f.write(f"# {name}: {value}\n")
        out = csv.writer(f, lineterminator="\n")
        if fresh:
            out.writerow(FIELDS)
        out.writerows([text_of(line.get(name)) for name in FIELDS] for line in lines)
