# SPDX-License-Identifier: Apache-2.0
"""Writes a measurement into docs/performance.md, docs/plots and README.md, between the marks that stand
there: `<!-- peers -->` and `<!-- /peers -->`. What is outside of them stays as it is."""
import os
import sys

import figures
import grid
import report

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import marks

ONE_ROW = (128, 1024, 4096)
README = (1024, 4096)


def geomeans(points):
    best = figures.geomean(p.ratio for p in points if p.best)
    eager = [p.peers["torch"]["factor"] for p in points if p.norm == "rms" and "torch" in p.peers]
    return best, figures.geomean(eager)


def counted(points):
    """What was measured and comes out, one sentence for each number of threads."""
    for threads in sorted({p.threads for p in points}):
        some = report.select(points, threads=threads)
        best, eager = geomeans(some)
        noise = figures.median([p.own["noise"] for p in some])
        behind = sum(p.behind for p in some)
        hidden = sorted({p.hidden for p in some})
        yield (f"Threads {threads}: {len(some)} points of {len(hidden)} hidden sizes ({hidden[0]} to {hidden[-1]}), "
               f"noise floor {noise:.3f} (median over points). Geometric means: {best:.2f} against the best peer of "
               f"each point, {eager:.1f} against PyTorch eager RMSNorm. A peer is ahead by more than the noise floor "
               f"at {behind} points.")
        yield ""


def performance(facts, points, tuned):
    yield ""
    yield f"`./dev bench peers`, {tuned}; written here by `--docs`:"
    yield ""
    yield from (f"- {name}: {value}" for name, value in facts.items())
    yield ""
    yield from counted(points)
    yield from report.summary(points)
    yield "### Points where a peer is ahead"
    yield ""
    yield from report.losing(points)
    yield "### One row"
    yield ""
    yield "Nanoseconds of a call, one thread:"
    yield ""
    yield from report.one_row([p for p in points if p.hidden in ONE_ROW])
    for threads in sorted({p.threads for p in points}):
        for norm in grid.NORMS:
            for type_ in grid.TYPES:
                if report.select(points, norm=norm, type=type_, threads=threads):
                    yield f"![{report.TITLES[norm]} {type_}, threads {threads}](plots/{norm}-{type_}-{threads}.svg)"


def share(p):
    if not p:
        return "–"
    return f"{p.own['of_limit']:.2f} · {p.ratio:.1f}×" if p.own["of_limit"] and p.best else "?"


def readme(points, tuned):
    alone = report.select(points, threads=1)
    by = {p.key[:4]: p for p in alone}
    rows = [[f"{report.TITLES[n]} {t}, hidden {h}"] + [share(by.get((n, t, h, r))) for r in grid.REGIMES]
            for h in README for n, t in (("rms", "f32"), ("rms", "bf16"), ("layer", "f32"), ("layer", "bf16"),
                                         ("add", "bf16"))]
    best, eager = geomeans(alone)
    least = min((p.ratio for p in alone if p.behind), default=None)
    most = f", by {round((1 / least - 1) * 100)} % at most" if least else ""
    yield ""
    yield f"One thread, {tuned} (`./dev bench peers`):"
    yield ""
    yield from report.table(["share of the limit · times as fast as the best peer"] +
                            [report.PLACES[r] for r in grid.REGIMES], rows)
    yield (f"A peer is ahead at {sum(p.behind for p in alone)} of {len(alone)} points{most}; the geometric mean "
           f"against the best peer of each point is {best:.1f}, against PyTorch's eager RMSNorm {eager:.0f}.")


def write(facts, points, tuned, root):
    """The files changed."""
    import plots  # needs matplotlib

    for name, lines in (("docs/performance.md", performance(facts, points, tuned)),
                        ("README.md", readme(points, tuned))):
        yield marks.put(os.path.join(root, name), "peers", lines)
    yield from plots.write(points, os.path.join(root, "docs", "plots"))
