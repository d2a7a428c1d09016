#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What share of the limit norms reach, over a grid of hidden sizes, regimes and families of specs.

Every spec is tuned into a store of its own; a share is limit / winner from the tuner's paired turns. One CSV line a point,
appended as soon as it is known: a run that was stopped goes on where it was. `./dev bench reach`, at normal effort some
25 minutes; --effort quick takes 8. --report prints the tables of what is there, --docs MACHINE puts them into
docs/machines/reach-MACHINE.md and docs/performance.md as well.
"""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import time

import marks

ROOT = pathlib.Path(__file__).resolve().parent.parent
NORMGEN = ROOT / "build" / "normgen"
HIDDEN = [512, 576, 768, 1024, 1536, 2048, 2880, 3584, 4096, 5120, 7168, 8192, 16384]
SMALL = [64, 128, 256]
HUGE = 65536  # apart: not part of the medians
REGIMES = ["l1", "l2", "llc", "dram"]
FAR = 0.15  # a point further below the aim of its cell is flagged

# name, fields beside hidden and eps (one list entry for each variant), sizes, aim of each regime
FAMILIES = [
    ("rms f32", ["rms"], HIDDEN, [0.40, 0.82, 0.97, 0.97]),
    ("layer f32", ["layer bias=f32"], HIDDEN, [0.22, 0.65, 0.95, 0.95]),
    ("rms bf16", ["rms x=bf16", "rms x=bf16 weight=f32"], HIDDEN, [0.12, 0.50, 0.93, 0.95]),
    ("add+rms bf16", ["rms x=bf16 residual=bf16 sum=bf16"], HIDDEN, [0.20, 0.50, 0.93, 0.93]),
    ("small rows f32", ["rms"], SMALL, [None, 0.85, 0.93, 0.93]),
    ("small rows bf16", ["rms x=bf16"], SMALL, [None, 0.45, 0.80, 0.90]),
]
ONE_ROW = ("rms f32", 0.30)
FIELDS = ["family", "hidden", "regime", "rows", "share", "ns", "limit_ns", "spread", "limit_spread", "noise", "schedule",
          "limit", "spec"]


def specs():
    """(family, hidden, spec), sizes that say most first."""
    all_ = [(name, hidden, "%s hidden=%d eps=1e-05 %s" % (*v.split()[:1], hidden, " ".join(v.split()[1:])))
            for name, variants, sizes, _ in FAMILIES for v in variants
            for hidden in sizes + ([HUGE] if sizes is HIDDEN else [])]
    first = [1024, 4096, 128]
    return sorted(all_, key=lambda s: (first.index(s[1]) if s[1] in first else len(first)))


def tune(spec, store, effort):
    """The tuner's results, one dictionary a regime; shows its errors and ends the run on them."""
    command = [str(NORMGEN), "tune", spec, "--db", str(store), "--effort", effort, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit("reach: %s ended with %d" % (" ".join(command), done.returncode))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [e for e in events if e["event"] == "result"]


def point(family, hidden, spec, event, regime, best, limit):
    return {"family": family, "hidden": hidden, "regime": regime, "rows": 1 if regime == "one" else event["rows"],
            "share": "%.3f" % (limit["ns_per_row"] / best["ns_per_row"]), "ns": "%.1f" % best["ns_per_row"],
            "limit_ns": "%.1f" % limit["ns_per_row"], "spread": "%.3f" % best["spread"],
            "limit_spread": "%.3f" % limit["spread"], "noise": "%.4f" % event["noise"], "schedule": best["schedule"],
            "limit": limit["schedule"], "spec": spec}


def points(family, hidden, spec, events):
    for e in events:
        if "winner" in e and "limit" in e:
            yield point(family, hidden, spec, e, e["regime"], e["winner"], e["limit"])
        if "one_row" in e and "one_row_limit" in e:
            yield point(family, hidden, spec, e, "one", e["one_row"], e["one_row_limit"])


def read(path):
    if not path.exists():
        return []
    with path.open(newline="") as f:
        return list(csv.DictReader(f))


def measure(args, path):
    todo = specs()
    known = {(r["family"], r["spec"]) for r in read(path)}
    start = time.monotonic()
    new = not path.exists()
    with path.open("a", newline="") as f:
        out = csv.DictWriter(f, FIELDS)
        if new:
            out.writeheader()
        for i, (family, hidden, spec) in enumerate(todo):
            if (family, spec) in known:
                continue
            if args.minutes and time.monotonic() - start > 60 * args.minutes:
                print("reach: %d of %d specs; the same command goes on" % (i, len(todo)), file=sys.stderr)
                return
            rows = list(points(family, hidden, spec, tune(spec, args.out / "reach.db", args.effort)))
            out.writerows(rows)
            f.flush()
            print("%3d/%d %-16s %s  %s" % (i + 1, len(todo), family, spec, "  ".join(
                "%s %s" % (r["regime"], r["share"]) for r in rows)), file=sys.stderr)


# ---- the tables ----

def aim_of(family, regime):
    if regime == "one":
        return ONE_ROW[1] if family == ONE_ROW[0] else None
    return next(f[3] for f in FAMILIES if f[0] == family)[REGIMES.index(regime)]


def shares(rows, family, regime):
    return [float(r["share"]) for r in rows
            if r["family"] == family and r["regime"] == regime and int(r["hidden"]) != HUGE]


def cell(rows, family, regime):
    found, aim = shares(rows, family, regime), aim_of(family, regime)
    if not found:
        return "–"
    median = statistics.median(found)
    text = "%.2f (%.2f to %.2f)" % (median, min(found), max(found))
    if aim is None:
        return text
    return "%s, aim %.2f%s" % (text, aim, "" if median >= aim - 0.005 else " **missed**")


def far_below(r):
    aim = aim_of(r["family"], r["regime"])
    return aim is not None and float(r["share"]) < aim - FAR


def summary(rows):
    yield "| | one row | " + " | ".join(REGIMES) + " |"
    yield "|---" * (len(REGIMES) + 2) + "|"
    for family in (f[0] for f in FAMILIES):
        yield "| %s | %s |" % (family, " | ".join(cell(rows, family, r) for r in ["one"] + REGIMES))


def detail(rows, family):
    yield "| hidden | spec | one row | " + " | ".join(REGIMES) + " |"
    yield "|---" * (len(REGIMES) + 3) + "|"
    mine = [r for r in rows if r["family"] == family]
    for hidden, spec in sorted({(int(r["hidden"]), r["spec"]) for r in mine}):
        at = {r["regime"]: r for r in mine if r["spec"] == spec}
        texts = [("**%s**" if far_below(at[g]) else "%s") % at[g]["share"] if g in at else "–"
                 for g in ["one"] + REGIMES]
        fields = " ".join(w for w in spec.split() if not w.startswith(("hidden=", "eps=")))
        yield "| %d | %s | %s |" % (hidden, fields, " | ".join(texts))


def machine():
    """What normgen says of itself and of the machine, as a block of code."""
    for command in ["--version"], ["cpu"]:
        text = subprocess.run([str(NORMGEN)] + command, stdout=subprocess.PIPE, text=True, check=False).stdout
        yield from ("    " + line for line in text.strip().splitlines())
    yield ""


def report(rows):
    yield "Share of the limit: median over hidden 512 to 16384 (least to greatest), one thread, %d points." % len(rows)
    yield ""
    yield from machine()
    yield from summary(rows)
    for family in (f[0] for f in FAMILIES):
        yield ""
        yield "%s (bold: more than %.2f below the aim of its cell)" % (family, FAR)
        yield ""
        yield from detail(rows, family)
    flagged = [r for r in rows if far_below(r)]
    yield ""
    yield "%d points are more than %.2f below the aim of their cell." % (len(flagged), FAR)


def write_docs(name, rows, effort):
    """The page of one machine, and its summary in performance.md."""
    head = ["# The grid, point by point", "",
            "`./dev bench reach --effort %s`, which [performance.md](../performance.md#what-share-of-the-limit-is-reached) "
            "sums up. One run: single points move by up to a quarter between runs of a virtual machine." % effort, ""]
    page = ROOT / "docs" / "machines" / ("reach-%s.md" % name)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(head + list(report(rows))) + "\n")
    marks.put(ROOT / "docs" / "performance.md", "reach " + name, list(summary(rows)) + [
        "", "%d of %d points are more than %.2f below the aim of their cell." % (
            sum(map(far_below, rows)), len(rows), FAR)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build-reach", help="folder of store, CSV and tables")
    parser.add_argument("--effort", default="normal", choices=["quick", "normal", "thorough"])
    parser.add_argument("--minutes", type=float, help="end after so many; the next run goes on")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--docs", metavar="MACHINE", help="write the pages of docs/, too")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "reach.csv"
    if not args.report:
        measure(args, path)
    rows = read(path)
    text = "\n".join(report(rows)) + "\n"
    (args.out / "reach.md").write_text(text)
    if args.docs:
        write_docs(args.docs, rows, args.effort)
    print(text, end="")


if __name__ == "__main__":
    main()
