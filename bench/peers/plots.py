# SPDX-License-Identifier: Apache-2.0
"""Speed against hidden, one panel a regime, the limit drawn in; points where a peer is ahead in red."""
import os

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib import ticker  # noqa: E402

import grid  # noqa: E402
from report import PEERS, PLACES, TITLES, select  # noqa: E402

COLOURS = dict(zip(PEERS, ("tab:orange", "tab:purple", "tab:green", "tab:brown", "tab:cyan", "tab:gray")))
matplotlib.rcParams.update({"svg.hashsalt": "normgen", "svg.fonttype": "none", "font.size": 8})


def series(points, value):
    pairs = sorted((p.hidden, value(p)) for p in points if value(p) is not None)
    return [h for h, _ in pairs], [v for _, v in pairs]


def panel(axes, points, regime):
    axes.plot(*series(points, lambda p: p.limit_gb_s), color="black", linestyle="--", linewidth=1, label="limit")
    for name in PEERS:
        xs, ys = series(points, lambda p: p.peers[name]["gb_s"] if name in p.peers else None)
        if xs:
            axes.plot(xs, ys, color=COLOURS[name], marker=".", linewidth=0.9, label=name)
    axes.plot(*series(points, lambda p: p.own["gb_s"]), color="tab:blue", marker="o", markersize=3.5,
              linewidth=1.8, label="normgen")
    axes.plot(*series([p for p in points if p.behind], lambda p: p.own["gb_s"]), color="red", marker="o",
              markersize=6, linestyle="", zorder=5)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_locator(ticker.NullLocator())
    axes.set_title(PLACES[regime])
    axes.set_xlabel("hidden")
    axes.grid(alpha=0.25)


def figure(points, title, path):
    regimes = [r for r in grid.REGIMES if any(p.regime == r for p in points)]
    drawn, axes = plt.subplots(1, len(regimes), figsize=(2.6 * len(regimes) + 0.4, 2.9), squeeze=False)
    for a, regime in zip(axes[0], regimes):
        panel(a, select(points, regime=regime), regime)
    axes[0][0].set_ylabel("GB/s, read and written")
    handles, labels = {}, []
    for a in axes[0]:
        for handle, label in zip(*a.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    drawn.legend(handles.values(), handles.keys(), loc="lower center", ncol=8, frameon=False)
    drawn.suptitle(title, fontsize=9)
    drawn.tight_layout(rect=(0, 0.07, 1, 1))
    drawn.savefig(path, metadata={"Date": None})
    plt.close(drawn)


def write(points, folder):
    """The files made."""
    os.makedirs(folder, exist_ok=True)
    for threads in sorted({p.threads for p in points}):
        for norm in grid.NORMS:
            for type_ in grid.TYPES:
                chosen = select(points, norm=norm, type=type_, threads=threads)
                if chosen:
                    path = os.path.join(folder, f"{norm}-{type_}-{threads}.svg")
                    title = f"{TITLES[norm]} {type_}, threads: {threads}; red: a peer is ahead"
                    figure(chosen, title, path)
                    yield path
