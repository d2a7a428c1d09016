# SPDX-License-Identifier: Apache-2.0
"""From the CSV to Markdown and plots. Needs nothing but the standard library, plots matplotlib."""
import os

import figures
import grid
import results

PEERS = ("torch", "torch.compile", "onnxruntime", "jax", "oneDNN", "plain C")
TITLES = {"rms": "RMSNorm", "layer": "LayerNorm", "add": "residual add + RMSNorm"}
PLACES = {"one": "one row", "l1": "l1", "l2": "l2", "llc": "llc", "dram": "dram"}


class Point:
    """The lines of one point."""

    def __init__(self, lines):
        self.by = {line["contender"]: line for line in lines if line["ns_per_row"]}
        self.absent = {line["contender"]: line["note"] for line in lines if not line["ns_per_row"]}
        self.own = self.by["normgen"]
        self.key = results.key(self.own)
        self.norm, self.type, self.hidden, self.regime, self.threads = self.key
        self.peers = {n: self.by[n] for n in PEERS if n in self.by}
        self.best = min(self.peers, key=lambda n: self.peers[n]["factor"], default=None)
        self.ratio = self.peers[self.best]["factor"] if self.best else None
        self.behind = bool(self.best) and figures.behind(self.ratio, self.own["noise"])

    @property
    def limit_gb_s(self):
        return self.own["gb_s"] / self.own["of_limit"] if self.own["of_limit"] else None


def points_of(lines):
    grouped = {}
    for line in lines:
        grouped.setdefault(results.key(line), []).append(line)
    return [Point(group) for group in grouped.values()]


def select(points, **fields):
    return [p for p in points if all(getattr(p, k) == v for k, v in fields.items())]


# ---- Markdown ----

def table(heads, rows):
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def ratio_text(p):
    """Factor to the best peer; bold where normgen is behind."""
    if not p or not p.best:
        return "–"
    text = f"{p.ratio:.2f}"
    return f"**{text}** ({p.best})" if p.behind else text


def cell(p):
    if not p:
        return "–"
    share = f"{p.own['of_limit']:.2f}" if p.own["of_limit"] else "?"
    return f"{share} · {ratio_text(p)}"


def summary(points):
    """Geometric means and the points behind, for each number of threads."""
    rows = []
    for threads in sorted({p.threads for p in points}):
        for regime in grid.REGIMES + (None,):
            chosen = [p for p in select(points, threads=threads) if p.best and regime in (None, p.regime)]
            if not chosen:
                continue
            row = [str(threads), PLACES.get(regime, "all"), str(len(chosen)),
                   f"{figures.geomean(p.ratio for p in chosen):.2f}"]
            for name in PEERS:
                factors = [p.peers[name]["factor"] for p in chosen if name in p.peers]
                row.append(f"{figures.geomean(factors):.2f}" if factors else "–")
            row.append(str(sum(p.behind for p in chosen)))
            rows.append(row)
    return table(("threads", "regime", "points", "best peer") + PEERS + ("behind",), rows)


def shares(points, threads):
    """Share of the limit · factor to the best peer."""
    for norm in grid.NORMS:
        for type_ in grid.TYPES:
            chosen = select(points, norm=norm, type=type_, threads=threads)
            if not chosen:
                continue
            regimes = [r for r in grid.REGIMES if any(p.regime == r for p in chosen)]
            by = {(p.hidden, p.regime): p for p in chosen}
            yield f"**{TITLES[norm]} {type_}**, threads: {threads}"
            yield ""
            yield from table(["hidden"] + [PLACES[r] for r in regimes],
                             [[str(h)] + [cell(by.get((h, r))) for r in regimes]
                              for h in sorted({p.hidden for p in chosen})])


def one_row(points):
    """Nanoseconds of a call with one row: here the way to the code costs as much as the code."""
    names = ("normgen", "normgen from Python") + PEERS
    rows = []
    for p in select(points, regime="one", threads=1):
        rows.append([TITLES[p.norm], p.type, str(p.hidden)] +
                    [f"{p.by[n]['ns_per_row']:.0f}" if n in p.by else "–" for n in names])
    return table(("norm", "type", "hidden") + names, rows) if rows else []


def losing(points):
    rows = [[TITLES[p.norm], p.type, str(p.hidden), PLACES[p.regime], str(p.threads), f"{p.ratio:.2f}",
             f"{p.own['noise']:.3f}", p.best, p.own["note"]] for p in sorted(points, key=lambda p: p.ratio or 9)
            if p.behind]
    if not rows:
        return ["normgen is behind no peer at any point.", ""]
    return table(("norm", "type", "hidden", "regime", "threads", "factor", "noise", "peer", "normgen ran"), rows)


def absences(points):
    found = {}
    for p in points:
        for name, why in p.absent.items():
            found.setdefault((name, why), set()).add(f"{TITLES[p.norm]} {p.type}")
    return [f"- {name}: {why} ({', '.join(sorted(where))})" for (name, why), where in sorted(found.items())]


def markdown(facts, points):
    yield "# normgen beside its peers"
    yield ""
    yield from (f"- {name}: {value}" for name, value in facts.items())
    yield ""
    noise = figures.median([p.own["noise"] for p in points])
    slow = [p.peers["torch"]["factor"] for p in points if p.norm == "rms" and "torch" in p.peers]
    yield (f"{len(points)} points; noise floor (normgen against itself): median {noise:.3f}. Factors say how "
           "many times longer the peer takes; bold: the peer is ahead by more than the noise floor.")
    if slow:
        yield f"Geometric mean against PyTorch eager RMSNorm: {figures.geomean(slow):.2f}."
    yield ""
    yield "## Factors, geometric means"
    yield ""
    yield from summary(points)
    yield "## Points where a peer is ahead"
    yield ""
    yield from losing(points)
    yield "## Share of the limit · factor to the best peer"
    yield ""
    for threads in sorted({p.threads for p in points}):
        yield from shares(points, threads)
    yield "## One row, nanoseconds of a call"
    yield ""
    yield from one_row(points)
    yield "## Absent"
    yield ""
    yield from absences(points)


def write(csv_path, folder, out):
    facts, lines = results.read(csv_path)
    points = points_of(lines)
    if not points:
        print("peers: nothing was measured yet", file=out)
        return
    text = "\n".join(markdown(facts, points)) + "\n"
    path = os.path.splitext(csv_path)[0] + ".md"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    print(text, file=out)
    print(f"{csv_path}\n{path}", file=out)
    try:
        import plots
    except ImportError as e:
        print(f"no plots: {e} (pip install matplotlib)", file=out)
        return
    for made in plots.write(points, folder):
        print(made, file=out)
