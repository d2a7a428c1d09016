#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bounds the points that miss their aims: floors that do not depend on how good the kernel's code is.

Points are those of the reach grid below the aim of their cell (build-reach/reach.csv, `./dev bench reach` first) and the
fusions of docs/performance.md; what the store lacks is tuned with effort quick. One CSV line a point, appended as soon as it
is known: a run that was stopped goes on where it was (after a change of the code remove build-reach/floors.csv first).
`./dev bench floors`, some five minutes. --report prints the tables of
what is there, --docs MACHINE puts them into docs/machines/floors-MACHINE.md and docs/performance.md.
"""

import argparse
import csv
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "bench"))
import marks
import reach

NORMGEN = ROOT / "build" / "normgen"
POINT = ROOT / "build" / "bench_floors_point"
REGIMES = ["l1", "l2", "llc", "dram"]
FUSIONS = [
    "rms hidden=4096 eps=1e-05 x=bf16 residual=bf16 sum=bf16",
    "rms hidden=4096 eps=1e-05 x=bf16 y=i8 weight=bf16 residual=bf16 sum=bf16 quant=row",
    "rms hidden=4096 eps=1e-05 x=bf16 y=e4m3 weight=bf16 quant=row",
    "rms hidden=4096 eps=1e-05 x=f32 y=q8_0 weight=f32",
    "rms hidden=4096 eps=1e-05 x=bf16 y=i8 weight=bf16 quant=group128",
    "rms hidden=128 eps=1e-05 x=bf16 heads=32",
    "rms hidden=128 eps=1e-05 x=bf16 rope=half",
    "layer hidden=1152 eps=1e-05 x=bf16 weight=none modulate=bf16",
    "rms hidden=5120 eps=1e-05 x=bf16 weight=bf16 gate=bf16",
    "rms hidden=5120 eps=1e-05 x=bf16 weight=bf16 gate=bf16 gate_at=before",
    "rms hidden=2560 eps=1e-05 x=bf16 residual=bf16 post_weight=bf16 sum=bf16 offset=1",
    "rms hidden=4096 eps=1e-05 x=bf16 after=bf16",
    "rms hidden=4096 eps=1e-05 x=f32 groups=8",
    "layer hidden=4544 eps=1e-05 x=bf16 bias=bf16 y2=bf16 weight2=bf16 bias2=bf16",
    "dyt hidden=1024 eps=0 x=bf16 bias=bf16",
    "l2 hidden=128 eps=1e-05 x=f32 weight=none",
]
FIELDS = ["family", "given", "spec", "regime", "rows", "kernel", "limit", "read", "pipes", "free", "lines", "copy",
          "line_ns", "cycle_ns", "schedule"]


def missed(rows):
    """{(family, spec): regimes} of the grid's points below their aims."""
    points = {}
    for r in rows:
        aim = reach.aim_of(r["family"], r["regime"])
        if r["regime"] in REGIMES and aim is not None and float(r["share"]) < aim:
            points.setdefault((r["family"], r["spec"]), []).append(r["regime"])
    return points


def measure(family, given, regimes, store):
    command = [str(POINT), str(store), given] + regimes
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit("floors: %s ended with %d" % (" ".join(command), done.returncode))
    return [dict(zip(FIELDS, [family, given] + line)) for line in csv.reader(done.stdout.splitlines())]


def tune(given, store, effort):
    command = [str(NORMGEN), "tune", given, "--db", str(store), "--effort", effort]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit("floors: %s failed" % " ".join(command))


def point(family, given, regimes, args, store):
    rows = measure(family, given, regimes, store) if store.exists() else []
    if family == "fusions" and len(rows) < len(regimes):
        tune(given, store, args.effort)
        rows = measure(family, given, regimes, store)
    if len(rows) < len(regimes):
        print("floors: no winners of this build at some regimes; ./dev bench reach first: %s" % given, file=sys.stderr)
    return rows


def run(args, path, store):
    points = missed(reach.read(args.out / "reach.csv"))
    points.update({("fusions", s): REGIMES[1:] for s in FUSIONS})
    known = {(r["family"], r["given"]) for r in reach.read(path)}
    start, new = time.monotonic(), not path.exists()
    with path.open("a", newline="") as f:
        out = csv.DictWriter(f, FIELDS)
        if new:
            out.writeheader()
        for i, ((family, given), regimes) in enumerate(points.items()):
            if (family, given) in known:
                continue
            if args.minutes and time.monotonic() - start > 60 * args.minutes:
                print("floors: %d of %d specs; the same command goes on" % (i, len(points)), file=sys.stderr)
                return
            rows = point(family, given, regimes, args, store)
            out.writerows(rows)
            f.flush()
            print("%3d/%d %-16s %s" % (i + 1, len(points), family, given), file=sys.stderr)


# ---- the tables ----

def floors(r):
    """Nanoseconds of a row: by traffic, by lines into L1, by instructions; what the kernel's own instructions need."""
    limit, read = float(r["limit"]), float(r["read"])
    line_ns, lines, copy = float(r["line_ns"]), float(r["lines"]), float(r["copy"])
    through_l1 = lines * line_ns
    if r["regime"] == "llc":  # L1's lines come on top of what the last level delivers
        through_l1 = limit + max(0, lines - copy) * line_ns
    if r["regime"] == "l1":
        through_l1 = limit
    own = float(r["free"])
    return {"traffic": limit, "lines": through_l1, "instructions": float(r["pipes"]) + read,
            "own": own + read if own > 0 else None}


def judge(r):
    f = floors(r)
    bound = max(("traffic", "lines", "instructions"), key=lambda k: f[k])
    kernel, best = float(r["kernel"]), f[bound]
    own = max(f["own"] or 0, f["traffic"], f["lines"])
    return {**f, "bound": bound, "possible": f["traffic"] / best, "reached": f["traffic"] / kernel,
            "of": best / kernel, "of_own": own / kernel if f["own"] else None}


def short(spec):
    """A spec's text without what is the default or in every point."""
    return " ".join(w for w in spec.split() if not w.startswith("eps="))


def summary(rows):
    yield "| family | regime | points | reached | possible | reached of the possible | of what its own instructions allow | bound by |"
    yield "|---|---|---|---|---|---|---|---|"
    for family in list(dict.fromkeys(r["family"] for r in rows)):
        for regime in REGIMES:
            mine = [judge(r) for r in rows if r["family"] == family and r["regime"] == regime]
            if not mine:
                continue
            own = [j["of_own"] for j in mine if j["of_own"]]
            bounds = [j["bound"] for j in mine]
            names = ", ".join("%s %d" % (b, bounds.count(b)) for b in dict.fromkeys(sorted(bounds, key=bounds.count)[::-1]))
            yield "| %s | %s | %d | %.2f | %.2f | %.2f | %s | %s |" % (
                family, regime, len(mine), statistics.median(j["reached"] for j in mine),
                statistics.median(j["possible"] for j in mine), statistics.median(j["of"] for j in mine),
                "%.2f" % statistics.median(own) if own else "–", names)


def detail(rows, family):
    yield "| spec | regime | limit | kernel | instructions | from L1 | lines | reading | possible | reached | of it | bound by |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for r in rows:
        if r["family"] != family:
            continue
        j = judge(r)
        free = float(r["free"])
        yield "| %s | %s | %.1f | %.1f | %.1f | %s | %.0f of %.0f | %s | %.2f | %.2f | %.2f | %s |" % (
            short(r["given"]), r["regime"], float(r["limit"]), float(r["kernel"]), float(r["pipes"]),
            "%.1f" % free if free > 0 else "–", float(r["lines"]), float(r["copy"]),
            "%.1f" % float(r["read"]) if r["regime"] == "llc" else "", j["possible"], j["reached"], j["of"], j["bound"])


TEXT = """# Floors: what a kernel cannot do better

`./dev bench floors`, after `./dev bench reach`: every point of [the grid](reach-{machine}.md) below the aim of its cell, and
the fusions of [performance.md](../performance.md#fusions). Kernel and limit are measured here once more, in
turns, so that shares may differ from the grid's by the noise of the machine.

| column | nanoseconds a row |
|---|---|
| limit | the same bytes moved without arithmetic; in llc with reading the output afterwards |
| kernel | the tuned winner |
| instructions | the instructions that the row program forces: each operation once (not once a pass), each stream read and written once, crossing values read again, weights and constants free; as a loop without dependencies, measured in the best of several orders. No code with these operations is faster |
| from L1 | the winner, its stores cached, all rows being one row that stays in L1: what its own instructions take when memory is free. Where a row does not fit L1: a straight line through two shorter ones; – where there are none |
| lines | lines that enter L1 for a row, and those that the copy brings: an LRU cache of this machine's size under the best order of visiting that schedules have (1 to 8 rows together, passes up and down). A line from L2 costs {line:.1f} cycles here. In llc the copy's are part of the limit already |
| reading | llc: reading the output afterwards, in the kernel's and the limit's time alike |

*Possible* is limit / the largest of limit, instructions (+ reading) and lines; *reached* is limit / kernel; *of it* is how near the
kernel comes to the largest floor. What the floors leave out: that a fold, a square root and a division wait for one another
between passes, addresses and loop counters, transposes of small rows, vectors of weights that are loaded and widened, and,
in dram, that prefetches and stores get into each other's way. So a floor may be out of reach, and never the other way round;
above 1.00 is noise: the limit of dram varies by a tenth within a minute.
"""


def report(rows, costs):
    yield from reach.machine()
    yield "## By family: medians"
    yield ""
    yield from summary(rows)
    yield ""
    yield "## Instructions, alone and beside one another"
    yield ""
    yield "Loops of one kind, and of two in turns; *excludes*: the pair takes (nearly) as long as one after the other."
    yield ""
    yield from costs.strip().splitlines()
    for family in dict.fromkeys(r["family"] for r in rows):
        yield ""
        yield "## " + family
        yield ""
        yield from detail(rows, family)


def fusions(rows):
    """What fusions reach of the limit, and what the largest floor leaves possible."""
    yield "| spec | l2 | llc | dram |"
    yield "|---|---|---|---|"
    for spec in dict.fromkeys(r["given"] for r in rows if r["family"] == "fusions"):
        at = {r["regime"]: judge(r) for r in rows if r["given"] == spec and r["family"] == "fusions"}
        yield "| %s | %s |" % (short(spec), " | ".join(
            "%.2f of %.2f" % (at[g]["reached"], at[g]["possible"]) if g in at else "–" for g in REGIMES[1:]))


def write_docs(name, text, rows):
    """The page of one machine, and its summaries in performance.md."""
    page, performance = ROOT / "docs" / "machines" / ("floors-%s.md" % name), ROOT / "docs" / "performance.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)
    marks.put(performance, "floors " + name, summary([r for r in rows if r["family"] != "fusions"]))
    marks.put(performance, "fusions " + name, fusions(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build-reach", help="folder of reach's store and CSV")
    parser.add_argument("--effort", default="quick", choices=["quick", "normal", "thorough"], help="of fusions not tuned yet")
    parser.add_argument("--minutes", type=float, help="end after so many; the next run goes on")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--docs", metavar="MACHINE", help="write the pages of docs/, too")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path, costs = args.out / "floors.csv", args.out / "floors-costs.md"
    if not args.report:
        done = subprocess.run([str(POINT), "costs"], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        costs.write_text(done.stdout)
        run(args, path, args.out / "reach.db")
    rows = reach.read(path)
    if not rows:
        sys.exit("floors: nothing measured yet")
    line = statistics.median(float(r["line_ns"]) / float(r["cycle_ns"]) for r in rows)
    text = TEXT.format(line=line, machine=args.docs or "MACHINE") + "\n" + "\n".join(report(rows, costs.read_text())) + "\n"
    (args.out / "floors.md").write_text(text)
    if args.docs:
        write_docs(args.docs, text, rows)
    print(text, end="")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("floors: stopped; the same command goes on")
