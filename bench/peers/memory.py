# SPDX-License-Identifier: Apache-2.0
"""The buffers that all contenders share: private mappings, filled once per type, cut into slices."""
import mmap

import numpy

PATTERN = 1 << 20


def narrow(values):
    """f32 to bf16 (as uint16), to the nearest, ties to even."""
    bits = values.astype(numpy.float32).view(numpy.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def widen(values):
    """An array of either type as f32."""
    if values.dtype == numpy.float32:
        return values
    return (values.astype(numpy.uint32) << 16).view(numpy.float32)


def large_pages(area):
    """As the tuner's arrays; what frameworks allocate gets them through malloc (peers.py)."""
    try:
        area.madvise(mmap.MADV_HUGEPAGE)
    except (AttributeError, OSError):
        pass  # a system without them
    return area


class Arena:
    NAMES = ("x", "residual", "y", "sum")

    def __init__(self, size):
        self.size = size
        maps = [large_pages(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
                for _ in self.NAMES]
        self.bytes = {n: numpy.frombuffer(m, numpy.uint8) for n, m in zip(self.NAMES, maps)}
        self.type = None
        for n in ("y", "sum"):
            self.bytes[n][:] = 0

    def use(self, type_):
        """Fills the inputs with values of a type."""
        if type_ == self.type:
            return
        rng = numpy.random.default_rng(1)
        for n in ("x", "residual"):
            pattern = rng.standard_normal(PATTERN).astype(numpy.float32)
            pattern = pattern if type_ == "f32" else narrow(pattern)
            whole = self.bytes[n].view(pattern.dtype)
            for at in range(0, len(whole), PATTERN):
                part = whole[at:at + PATTERN]
                part[:] = pattern[:len(part)]
        self.type = type_

    def slices(self, name, point):
        """One array of (rows, hidden) for each slice."""
        dtype = numpy.float32 if self.type == "f32" else numpy.uint16
        n = point.rows * point.hidden
        whole = self.bytes[name].view(dtype)
        return [whole[i * n:(i + 1) * n].reshape(point.rows, point.hidden) for i in range(point.slices)]


class Operands:
    """What a point works on. weight and bias have the type of x; wide_* hold the same values as f32."""

    def __init__(self, arena, point):
        arena.use(point.type)
        self.point = point
        self.x, self.y = arena.slices("x", point), arena.slices("y", point)
        self.residual = self.sum = None
        if point.norm == "add":
            self.residual, self.sum = arena.slices("residual", point), arena.slices("sum", point)
        rng = numpy.random.default_rng(2)
        self.weight = (1 + rng.standard_normal(point.hidden) / 8).astype(numpy.float32)
        self.bias = (rng.standard_normal(point.hidden) / 8).astype(numpy.float32)
        if point.type == "bf16":
            self.weight, self.bias = narrow(self.weight), narrow(self.bias)
        self.wide_weight, self.wide_bias = widen(self.weight).copy(), widen(self.bias).copy()

    def reference(self, i, rows):
        """y and sum of the first rows of slice i in f64, sum rounded where it is stored."""
        x = widen(self.x[i][:rows]).astype(numpy.float64)
        total = None
        if self.residual:
            total = (x + widen(self.residual[i][:rows])).astype(numpy.float32)
            total = widen(narrow(total)) if self.point.type == "bf16" else total
            x = total.astype(numpy.float64)
        if self.point.norm == "layer":
            x = x - x.mean(axis=1, keepdims=True)
        y = x / numpy.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5) * self.wide_weight
        return (y + self.wide_bias if self.point.norm == "layer" else y), total
