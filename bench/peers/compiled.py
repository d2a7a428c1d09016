# SPDX-License-Identifier: Apache-2.0
"""Contenders with a C call: normgen, the limit, memcpy, oneDNN, a plain loop. All of them are timed by
one loop in C (shim.c)."""
import ctypes
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FN = ctypes.c_void_p
MOST_LIMITS = 16


class Absent(Exception):
    """A contender that cannot be had here, or not for this point; the text says why."""


class Slice(ctypes.Structure):
    _fields_ = [("x", ctypes.c_void_p), ("residual", ctypes.c_void_p), ("y", ctypes.c_void_p),
                ("sum", ctypes.c_void_p)]


class Job(ctypes.Structure):
    _fields_ = [("norm", ctypes.c_int), ("add", ctypes.c_int), ("type", ctypes.c_int),
                ("threads", ctypes.c_int), ("hidden", ctypes.c_size_t), ("rows", ctypes.c_size_t),
                ("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p),
                ("wide_weight", ctypes.c_void_p), ("wide_bias", ctypes.c_void_p),
                ("slices", ctypes.c_size_t), ("slice", ctypes.POINTER(Slice))]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("store", ctypes.c_char_p), ("mode", ctypes.c_int32),
                ("strict", ctypes.c_int32), ("log", ctypes.c_void_p), ("log_ctx", ctypes.c_void_p)]


class Args(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("rows", ctypes.c_size_t)] + \
        [(n, ctypes.c_void_p) for n in ("x", "y", "weight", "bias", "residual", "sum", "mean", "rstd")] + \
        [(n + "_stride", ctypes.c_ssize_t) for n in ("x", "y", "residual", "sum", "mean", "rstd")]


def address(array):
    return None if array is None else array.ctypes.data


def job_of(operands):
    p = operands.point
    slices = (Slice * p.slices)()
    for i, s in enumerate(slices):
        s.x, s.y = address(operands.x[i]), address(operands.y[i])
        if operands.residual:
            s.residual, s.sum = address(operands.residual[i]), address(operands.sum[i])
    return Job(p.norm == "layer", p.norm == "add", p.type == "bf16", p.threads, p.hidden, p.rows,
               address(operands.weight), address(operands.bias), address(operands.wide_weight),
               address(operands.wide_bias), p.slices, slices)


class Shim:
    """The loop with the clock."""

    def __init__(self, build):
        self.lib = ctypes.CDLL(os.path.join(build, "libbench_peers_shim.so"))
        self.lib.peers_run.restype = ctypes.c_double
        self.lib.peers_run.argtypes = [FN, FN] + [ctypes.c_size_t] * 3 + [FN, ctypes.c_size_t]
        self.lib.peers_read.argtypes = [FN, ctypes.c_size_t]
        self.lib.peers_read.restype = ctypes.c_uint64
        for name, extra in (("normgen", [FN]), ("memcpy", []), ("bare", [FN, FN])):
            make = getattr(self.lib, "peers_" + name)
            make.restype = FN
            make.argtypes = [ctypes.POINTER(Job)] + extra + [ctypes.POINTER(FN)]
        self.lib.peers_keep_memory()

    def runner(self, operands, make, *more, threads=None):
        """run(calls, first slice) of what `make` gives, or None when it declines."""
        fn, job, p = FN(), job_of(operands), operands.point
        job.threads = threads or p.threads
        state = make(ctypes.byref(job), *more, ctypes.byref(fn))
        if not state:
            return None
        ys = (FN * p.slices)(*[address(y) for y in operands.y]) if reads_back(p) else None
        size, run = operands.y[0].nbytes, self.lib.peers_run

        def timed(calls, start):
            return run(fn, state, calls, start, p.slices, ys, size)
        timed.keep = (job, operands, ys)
        return timed


def reads_back(point):
    """In llc what a contender leaves for the reader of the output counts; on several threads the one
    reader would only hide the difference."""
    return point.regime == "llc" and point.threads == 1


class Normgen:
    def __init__(self, build, store):
        self.lib = ctypes.CDLL(os.path.join(build, "libnormgen.so"))
        for name in ("error", "version", "kernel_describe"):
            getattr(self.lib, "normgen_" + name).restype = ctypes.c_char_p
        self.lib.normgen_kernel_describe.argtypes = [FN, ctypes.c_size_t]
        options = Options(ctypes.sizeof(Options), store.encode() if store else None)
        self.handle = FN()
        self.check(self.lib.normgen_open(ctypes.byref(self.handle), ctypes.byref(options)))
        self.version = self.lib.normgen_version().decode()

    def check(self, status):
        if status:
            sys.exit(f"peers: normgen: {self.lib.normgen_error().decode()}")

    def kernel(self, spec):
        parsed, kernel = ctypes.create_string_buffer(1024), FN()
        self.check(self.lib.normgen_spec_parse(parsed, spec.encode()))
        self.check(self.lib.normgen_get(self.handle, parsed, ctypes.byref(kernel)))
        return kernel

    def describe(self, kernel, rows):
        return self.lib.normgen_kernel_describe(kernel, rows).decode()

    def caller(self, kernel, operands):
        """A call as it is made from Python."""
        a = Args(ctypes.sizeof(Args), operands.point.rows, address(operands.x[0]), address(operands.y[0]),
                 address(operands.weight), address(operands.bias))
        if operands.residual:
            a.residual, a.sum = address(operands.residual[0]), address(operands.sum[0])
        call, at = self.lib.normgen_run, ctypes.byref(a)
        return lambda: call(kernel, at)


class Limits:
    """The kernels that move a spec's bytes, from the build's generator."""

    def __init__(self, build):
        try:
            self.lib = ctypes.CDLL(os.path.join(build, "libbench_peers_limits.so"))
        except OSError as e:
            raise Absent(str(e)) from e
        self.lib.peers_limits_error.restype = ctypes.c_char_p
        self.lib.peers_limits_name_bytes.restype = ctypes.c_size_t
        self.made = {}

    def of(self, point):
        """[(name, code)]"""
        k = (point.spec, point.regime)
        if k not in self.made:
            name = ctypes.c_char * self.lib.peers_limits_name_bytes()
            codes, names = (FN * MOST_LIMITS)(), (name * MOST_LIMITS)()
            regime = "l1" if point.regime == "one" else point.regime
            n = self.lib.peers_limits(point.spec.encode(), regime.encode(),
                                      ctypes.c_size_t(point.rows * point.slices), point.threads,
                                      MOST_LIMITS, codes, names)
            if n < 0:
                raise Absent(self.lib.peers_limits_error().decode())
            self.made[k] = [(names[i].value.decode(), codes[i]) for i in range(n)]
        return self.made[k]


def compile_c(source, out, *flags):
    """Builds a shared object; Absent with the compiler's first words when it does not."""
    made = subprocess.run(["cc", "-shared", "-fPIC", "-O3", "-march=native", "-fopenmp", "-std=gnu17",
                           os.path.join(HERE, source), "-o", out, *flags, "-lm"],
                          capture_output=True, text=True)
    if made.returncode:
        raise Absent(" ".join(made.stderr.split())[:200] or "cc failed")
    return ctypes.CDLL(out)


def maker(lib, name):
    make = getattr(lib, name)
    make.restype = FN
    make.argtypes = [ctypes.POINTER(Job), ctypes.POINTER(FN)]
    return make


class Plain:
    name = "plain C"

    def __init__(self, work):
        self.make = maker(compile_c("plain.c", os.path.join(work, "plain.so")), "peers_plain")
        self.version = subprocess.run(["cc", "--version"], capture_output=True,
                                      text=True).stdout.split("\n")[0] + " -O3 -march=native"

    def prepare(self, shim, operands):
        return shim.runner(operands, self.make)


def dnnl_places():
    """(library, folder of headers): $NORMGEN_BENCH_DNNL first, then pip's, then the system's."""
    headers = glob.glob(os.path.join(sys.prefix, "include"))
    for lib in [os.environ.get("NORMGEN_BENCH_DNNL"), os.path.join(sys.prefix, "lib", "libdnnl.so.3"),
                "/usr/lib/x86_64-linux-gnu/libdnnl.so.3", "/usr/lib64/libdnnl.so.3"]:
        if lib and os.path.exists(lib):
            yield lib, headers


class Onednn:
    name = "oneDNN"

    def __init__(self, work):
        reason = "no libdnnl.so.3 (pip install onednn-cpu-gomp onednn-devel-cpu-gomp, or NORMGEN_BENCH_DNNL=FILE)"
        for lib, headers in dnnl_places():
            try:
                made = compile_c("onednn.c", os.path.join(work, "onednn.so"), lib,
                                 "-Wl,-rpath," + os.path.dirname(lib), *["-I" + h for h in headers])
            except (Absent, OSError) as e:
                reason = str(e)
                continue
            made.peers_onednn_version.restype = ctypes.c_char_p
            self.version = made.peers_onednn_version().decode()
            self.make = maker(made, "peers_onednn")
            return
        raise Absent(reason)

    def prepare(self, shim, operands):
        if operands.point.norm != "layer":
            raise Absent("layer normalization only")
        run = shim.runner(operands, self.make)
        if not run:
            raise Absent("declined by oneDNN")
        return run
