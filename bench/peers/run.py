# SPDX-License-Identifier: Apache-2.0
"""Measures points with one number of threads and appends them to the CSV. Started by peers.py, which
sets the environment that the frameworks look at before they are loaded."""
import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time

import numpy

import figures
import frameworks
import grid
import results
from compiled import Absent, Limits, Normgen, Onednn, Plain, Shim
from memory import Arena, Operands, widen
from turns import Turns

PASSES, SAMPLES = 5, 3
CHECKED_ROWS = 64
# Relative to the value plus the size of a normalized element. A plain f32 loop over 65536 elements is
# off by some 1e-4, a bf16 output by half a unit of 2^-8, twice for a rounded sum.
TOLERANCE = {"f32": 2e-3, "bf16": 4e-2}
SETTLE_NS = 12e6  # threads of an OpenMP team spin for some milliseconds


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, args):
        self.args = args
        self.shim = Shim(args.build)
        self.normgen = Normgen(args.build, args.db)
        self.facts = {"machine": args.machine, "normgen": f"{self.normgen.version}, {store_text(args.db)}"}
        for name in ("GLIBC_TUNABLES", "OPENBLAS_CORETYPE", "NORMGEN_ISA"):
            if name in os.environ:
                self.facts[name] = os.environ[name]
        self.peers = []
        makers = [lambda: Plain(args.work), lambda: Onednn(args.work)]
        makers += [lambda c=c: c(args.work, args.threads) for c in frameworks.ALL]
        names = [Plain.name, Onednn.name] + [c.name for c in frameworks.ALL]
        for name, make in zip(names, makers):
            try:
                self.peers.append(make())
                self.facts[name] = self.peers[-1].version
            except Absent as e:
                self.facts[name] = f"absent: {e}"
        try:
            self.limits = Limits(args.build)
        except Absent as e:
            self.limits = None
            self.facts["limit"] = f"absent: {e}"
        self.arena = None

    # ---- one point ----

    def check(self, name, subject, operands):
        """Everybody has to compute the same."""
        p = operands.point
        for array in (operands.y, operands.sum):
            if array:
                array[0][:CHECKED_ROWS] = 0
        if hasattr(subject, "result"):
            y, total = (subject.result(subject.calls[0](), 0) + (None,))[:2]
        else:
            subject(1, 0)
            y, total = operands.y[0], operands.sum[0] if operands.sum else None
        rows = min(p.rows, CHECKED_ROWS)
        want_y, want_sum = operands.reference(0, rows)
        for what, got, want in (("y", y, want_y), ("sum", total, want_sum)):
            if want is None:
                continue
            off = numpy.max(numpy.abs(widen(got[:rows]) - want) / (1 + numpy.abs(want)))
            if not off <= TOLERANCE[p.type]:
                raise Absent(f"computes something else: {what} is off by {off:.2g}")

    def contenders(self, operands):
        """({name: run}, {name: why not}, kernel)."""
        p, shim = operands.point, self.shim
        kernel = self.normgen.kernel(p.spec)
        runs, absent = {}, {}
        for name in ("normgen", "normgen again"):
            runs[name] = shim.runner(operands, shim.lib.peers_normgen, kernel)
        self.check("normgen", runs["normgen"], operands)
        for peer in self.peers:
            try:
                subject = peer.prepare(shim, operands)
                self.check(peer.name, subject, operands)
                if isinstance(subject, frameworks.Subject):
                    subject(p.slices, 0)  # the memory of all outputs is there from now on
                runs[peer.name] = subject
            except Absent as e:
                absent[peer.name] = str(e)
        if p.regime == "one":
            runs["normgen from Python"] = frameworks.Subject(
                shim, p, [self.normgen.caller(kernel, operands)], None)
        if p.norm != "add":
            runs["memcpy"] = shim.runner(operands, shim.lib.peers_memcpy)
        return runs, absent, kernel

    def best_limit(self, operands, kernel, turns):
        """The fastest of the limits, after two short turns each."""
        if not self.limits:
            return None, None
        found = {}
        p = operands.point
        # So little that waking a second thread costs more than it helps is best moved by one.
        alone = [1] if p.threads > 1 and p.regime in ("l1", "l2") else []
        for name, code in self.limits.of(p):
            for threads in [p.threads] + alone:
                run = self.shim.runner(operands, self.shim.lib.peers_bare, kernel, code, threads=threads)
                if run:
                    found[f"{name} threads={threads}"] = run
        medians, _ = turns.passes(found, 2, 2)
        best = min(medians, key=lambda name: min(medians[name]), default=None)
        return best, found.get(best)

    def measure(self, p):
        operands = Operands(self.arena, p)
        runs, absent, kernel = self.contenders(operands)
        rng = random.Random(repr(p.key))
        turns = Turns(p.regime, p.slices, p.rows, rng, SETTLE_NS if p.threads > 1 else 0)
        limit_name, limit = self.best_limit(operands, kernel, turns)
        if limit:
            runs["limit"] = limit
        medians, every = turns.passes(runs, self.args.passes, SAMPLES)
        ns = {name: figures.median(every[name]) for name in runs}
        limit_ns = min([ns[n] for n in ("limit", "memcpy") if n in ns], default=None)
        noise = figures.noise(medians["normgen again"], medians["normgen"])
        base = dict(zip(("norm", "type", "hidden", "regime", "threads"), p.key), rows=p.rows)
        lines = []
        for name in sorted(runs, key=lambda n: n == results.LAST):
            lines.append({**base, "contender": name, "ns_per_row": ns[name],
                          "spread": figures.spread(every[name]),
                          "factor": figures.factor(medians[name], medians["normgen"]),
                          "gb_s": p.row_bytes / ns[name],
                          "of_limit": limit_ns / ns[name] if limit_ns else None, "noise": noise,
                          "note": {"normgen": self.normgen.describe(kernel, p.rows),
                                   "limit": limit_name}.get(name, "")})
        gone = [{**base, "contender": name, "note": "absent: " + why} for name, why in absent.items()]
        return gone + lines

    # ---- all of them ----

    def run(self, points):
        a = self.args
        facts, lines = results.read(a.csv)
        if facts.get("machine", a.machine) != a.machine:
            sys.exit(f"peers: {a.csv} is of another machine ({facts['machine']}); give another --csv")
        todo = [p for p in points if p.key not in results.done(lines)]
        say(f"threads={a.threads}: {len(points)} points, {len(points) - len(todo)} of them in {a.csv}")
        if not todo:
            return True
        size = max(p.rows * p.slices * p.hidden * grid.TYPES[p.type] for p in todo)
        self.arena = Arena((size + 4095) // 4096 * 4096)
        for name, value in self.facts.items():
            say(f"  {name}: {value}")
        for i, p in enumerate(todo):
            if a.seconds and time.monotonic() > a.end:
                say(f"stopped after {a.seconds:.0f} s with {len(todo) - i} points to go: run it again")
                return False
            if a.prepare:
                self.contenders(Operands(self.arena, p))
                if self.limits:
                    self.limits.of(p)
                continue
            lines = self.measure(p)
            results.append(a.csv, self.facts, lines)
            say(headline(p, lines))
        return True


def headline(p, lines):
    """One line of progress: share of the limit, and the best peer."""
    by = {line["contender"]: line for line in lines if line.get("ns_per_row")}
    own = by["normgen"]
    rivals = {n: line for n, line in by.items() if n in PEERS}
    text = f"{p.norm:5} {p.type:4} {p.hidden:5} {p.regime:4} x{p.threads}  {own['ns_per_row']:9.1f} ns/row"
    if own["of_limit"]:
        text += f"  {own['of_limit']:.2f} of limit"
    if rivals:
        name = min(rivals, key=lambda n: rivals[n]["factor"])
        ratio = rivals[name]["factor"]
        text += f"  {ratio:6.2f}x {name}"
        if figures.behind(ratio, own["noise"]):
            text += f"  BEHIND (noise {own['noise']:.3f})"
    return text


def store_text(path):
    if path is None:
        home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        path = os.environ.get("NORMGEN_DB") or os.path.join(home, "normgen", "tuned.db")
    return "tuned store" if os.path.exists(path) else "no store: schedules that ship with it or by rule"


PEERS = (Plain.name, Onednn.name) + tuple(c.name for c in frameworks.ALL)


def caches(build):
    cpu = json.loads(subprocess.run([os.path.join(build, "normgen"), "cpu", "--json"],
                                    capture_output=True, check=True, text=True).stdout)
    return grid.Caches(cpu["l1d"], cpu["l2"], cpu["llc"], cpu["ram"]), f"{cpu['brand']}; {cpu['machine']}"


def main():
    parser = argparse.ArgumentParser()
    for name in ("build", "work", "csv", "db"):
        parser.add_argument("--" + name)
    for name in ("norms", "types", "hidden", "regimes"):
        parser.add_argument("--" + name, type=lambda text: text.split(","))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--prepare", action="store_true")
    a = parser.parse_args()
    if a.seconds:
        a.end = time.monotonic() + a.seconds
    if a.threads == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sizes, machine = caches(a.build)
    a.machine = f"{machine}; {platform.system()} " + platform.release().split("-")[0]
    points = grid.points(sizes, a.norms, a.types, [int(h) for h in a.hidden], a.regimes, a.threads)
    return 0 if Bench(a).run(points) else 3


if __name__ == "__main__":
    sys.exit(main())
