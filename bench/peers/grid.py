# SPDX-License-Identifier: Apache-2.0
"""Which points are measured: norm, type, hidden, regime, threads, and with how many rows.

Pure functions of the machine's caches. Rows are those that the tuner measures with
(runtime/regime.c); where a regime is measured in slices of the big buffer, one call is one slice.
"""
from dataclasses import dataclass

MIB = 1 << 20
TYPES = {"f32": 4, "bf16": 2}
REGIMES = ("one", "l1", "l2", "llc", "dram")
FULL = (64, 128, 256, 512, 576, 768, 1024, 1536, 2048, 2880, 3584, 4096, 5120, 7168, 8192, 16384, 65536)
QUICK = (128, 1024, 4096)


@dataclass(frozen=True)
class Norm:
    """row: streams with a row each; shared: those with one row for all."""
    kind: str
    row: int
    shared: int
    text: str


NORMS = {
    "rms": Norm("rms", 2, 1, "rms hidden={h} eps=1e-05 x={t} y={t} weight={t}"),
    "layer": Norm("layer", 2, 2, "layer hidden={h} eps=1e-05 x={t} y={t} weight={t} bias={t}"),
    "add": Norm("rms", 4, 1, "rms hidden={h} eps=1e-05 x={t} y={t} weight={t} residual={t} sum={t}"),
}


@dataclass(frozen=True)
class Caches:
    l1d: int
    l2: int
    llc: int
    ram: int


@dataclass(frozen=True)
class Point:
    norm: str
    type: str
    hidden: int
    regime: str
    threads: int
    rows: int  # of one call
    slices: int  # calls until the buffers are used up

    @property
    def spec(self):
        return NORMS[self.norm].text.format(h=self.hidden, t=self.type)

    @property
    def row_bytes(self):
        """Bytes that a row moves."""
        return NORMS[self.norm].row * self.hidden * TYPES[self.type]

    @property
    def key(self):
        return (self.norm, self.type, self.hidden, self.regime, self.threads)


def largest(caches, row, shared, regime, threads):
    """Most rows of a call that is still in the regime, 0 when not even one is."""
    if regime == "dram":
        return 1 << 62
    size = {"l1": caches.l1d, "l2": caches.l2, "llc": caches.llc // 2}[regime]
    rows = max(0, size - shared) // row
    return rows * threads if regime in ("l1", "l2") else rows


def all_rows(caches, row, shared, regime, threads):
    """Rows of the buffers of a regime, 0 where it does not exist."""
    below = max([0] + [largest(caches, row, shared, r, threads)
                       for r in REGIMES[1:REGIMES.index(regime)]])
    most = largest(caches, row, shared, regime, threads)
    if regime == "dram":
        most = max(0, caches.ram // 4 - shared) // row
    if most <= below:
        return 0
    size = {
        "l1": caches.l1d // 4 * 3,
        "l2": caches.l2 // 2,
        "llc": max(4 * caches.l2, min(caches.llc // 4, 64 * MIB)),
        "dram": max(3 * caches.llc, 256 * MIB),
    }[regime]
    rows = max(1, max(0, size - shared) // row)
    if regime in ("l1", "l2"):
        rows *= threads
    return min(most, max(rows, below + 1))


def call_rows(caches, row, regime, rows):
    """Rows of one call. In dram a call is as large as the last level, so that a library which looks
    at nothing but its arguments knows what it deals with; in llc it is larger than L2."""
    size = {"llc": 4 * caches.l2, "dram": caches.llc}.get(regime)
    if size is None:
        return rows
    each = max(8, size // row // 8 * 8)
    return min(rows, each)


def point(caches, norm, type_, hidden, regime, threads):
    """The point, or None where the regime does not exist."""
    n = NORMS[norm]
    vector = hidden * TYPES[type_]
    row, shared = n.row * vector, n.shared * vector
    if regime == "one":
        return Point(norm, type_, hidden, regime, threads, 1, 1) if threads == 1 else None
    rows = all_rows(caches, row, shared, regime, threads)
    if rows == 0:
        return None
    if regime == "l1" and rows == 1:
        return None  # the same as one
    each = call_rows(caches, row, regime, rows)
    return Point(norm, type_, hidden, regime, threads, each, rows // each)


def points(caches, norms, types, hiddens, regimes, threads):
    """In an order in which little has to be made anew: type, norm, hidden, then large calls first."""
    found = [point(caches, n, t, h, r, threads)
             for t in types for n in norms for h in hiddens for r in reversed(REGIMES) if r in regimes]
    return [p for p in found if p]
