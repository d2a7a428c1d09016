# SPDX-License-Identifier: Apache-2.0
"""Times contenders in turns: every pass shuffles them; a turn warms its contender up and then takes
samples of at least 0.2 ms. As the tuner does (tuned/measure.c): in llc once around the buffers, in dram
one call; where buffers are larger than a call, each call takes the next slice, whoever had the last."""
import math

import figures

SAMPLE_NS = 200e3
WARM_NS = 50e3
STABLE = 0.03


class Turns:
    """timed: {name: run(calls, first slice) -> nanoseconds}."""

    def __init__(self, regime, slices, rows, rng, settle_ns=0):
        self.regime, self.slices, self.rows, self.rng = regime, slices, rows, rng
        self.settle_ns = settle_ns  # until threads of the one before have gone to sleep
        self.at = 0

    def _timed(self, run, calls):
        ns = run(calls, self.at)
        self.at = (self.at + calls) % self.slices
        return ns

    def _warm(self, run):
        """Nanoseconds of a call."""
        each, spent = self._timed(run, 1), 0
        while spent < self.settle_ns:
            spent += self._timed(run, max(1, int(self.settle_ns / 10 / max(each, 1))))
        if self.regime == "dram":
            return each
        if self.regime == "llc":
            return self._timed(run, self.slices) / self.slices
        for _ in range(5):
            calls = max(1, math.ceil(WARM_NS / max(each, 1)))
            before, each = each, self._timed(run, calls) / calls
            if abs(each - before) < STABLE * each:
                break
        return each

    def turn(self, run, samples):
        """Nanoseconds per row, one number a sample."""
        calls = max(1, math.ceil(SAMPLE_NS / max(self._warm(run), 1)))
        return [self._timed(run, calls) / calls / self.rows for _ in range(samples)]

    def passes(self, contenders, count, samples):
        """{name: [median of a pass]}, {name: [sample]}."""
        medians = {name: [] for name in contenders}
        every = {name: [] for name in contenders}
        order = list(contenders)
        for _ in range(count):
            self.rng.shuffle(order)
            for name in order:
                taken = self.turn(contenders[name], samples)
                every[name] += taken
                medians[name].append(figures.median(taken))
        return medians, every
