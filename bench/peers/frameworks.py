# SPDX-License-Identifier: Apache-2.0
"""Contenders that are called from Python: PyTorch, ONNX Runtime, JAX. They get the shared buffers without
a copy where they can; the loop around them is Python's, as for those who use them."""
import os
import time

from compiled import Absent, address, reads_back

EPS = 1e-5


class Subject:
    """calls[i]() does slice i and returns its output, which is kept until slice i has its turn again:
    outputs go round through as much memory as inputs do, also where each call allocates its own."""

    def __init__(self, shim, point, calls, pointer):
        self.calls, self.held = calls, [None] * point.slices
        self.read = None
        if reads_back(point):
            size = point.rows * point.hidden * (4 if point.type == "f32" else 2)
            self.read = lambda out, i: shim.lib.peers_read(pointer(out, i), size)

    def __call__(self, count, start):
        calls, read, held, at = self.calls, self.read, self.held, start
        slices = len(held)
        begin = time.perf_counter_ns()
        for _ in range(count):
            held[at] = None
            held[at] = calls[at]()
            if read:
                read(held[at], at)
            at += 1
            if at == slices:
                at = 0
        return time.perf_counter_ns() - begin


class Torch:
    name = "torch"

    def __init__(self, work, threads):
        try:
            import torch
        except ImportError as e:
            raise Absent(f"{e} (pip install torch==2.13.0+cpu)") from e
        self.torch, self.version = torch, torch.__version__
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)

    def tensor(self, array):
        t = self.torch.from_numpy(array)
        return t.view(self.torch.bfloat16) if array.dtype.itemsize == 2 else t

    def norm(self, operands):
        """f(x, residual, sum) on tensors."""
        fn = self.torch.nn.functional
        shape = (operands.point.hidden,)
        w, b = self.tensor(operands.weight), self.tensor(operands.bias)
        add = self.torch.add
        if operands.point.norm == "layer":
            return lambda x, r, s: fn.layer_norm(x, shape, w, b, EPS)
        if operands.point.norm == "rms":
            return lambda x, r, s: fn.rms_norm(x, shape, w, EPS)

        def both(x, r, s):
            add(x, r, out=s)
            return fn.rms_norm(s, shape, w, EPS)
        return both

    def prepare(self, shim, operands):
        return self.subject(shim, operands, self.norm(operands))

    def subject(self, shim, operands, f):
        p = operands.point
        xs = [self.tensor(x) for x in operands.x]
        rs = [self.tensor(r) for r in operands.residual or []] or [None] * p.slices
        ss = [self.tensor(s) for s in operands.sum or []] or [None] * p.slices
        calls = [lambda x=x, r=r, s=s: f(x, r, s) for x, r, s in zip(xs, rs, ss)]
        made = Subject(shim, p, calls, lambda out, i: first(out).data_ptr())
        made.result = lambda out, i: (self.array(first(out)),
                                      self.array(out[1] if isinstance(out, tuple) else ss[i]))
        return made

    def array(self, t):
        return None if t is None else t.float().numpy()


def first(out):
    return out[0] if isinstance(out, tuple) else out


class TorchCompiled(Torch):
    """Compiled once for each norm, type and hidden, for any number of rows; once more for one row."""
    name = "torch.compile"

    def __init__(self, work, threads):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(work, "inductor"))
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        super().__init__(work, threads)
        self.made = (None, None)

    def prepare(self, shim, operands):
        p = operands.point
        # The weights are arguments, as in a model, so that one compilation serves all regimes.
        shape, k = (p.hidden,), (p.norm, p.type, p.hidden)
        fn = self.torch.nn.functional
        if self.made[0] != k:
            self.torch._dynamo.reset()
            self.made = (k, self.torch.compile(compiled_norm(fn, p.norm, shape), dynamic=False))
        w, b = self.tensor(operands.weight), self.tensor(operands.bias)
        f = self.made[1]
        made = self.subject(shim, operands, lambda x, r, s: f(x, r, w, b))
        if p.rows > 1:
            for i in range(p.slices):
                for t in made.calls[i].__defaults__:
                    if t is not None:
                        self.torch._dynamo.mark_dynamic(t, 0)
        made.calls[0]()
        return made


def compiled_norm(fn, norm, shape):
    if norm == "layer":
        return lambda x, r, w, b: fn.layer_norm(x, shape, w, b, EPS)
    if norm == "rms":
        return lambda x, r, w, b: fn.rms_norm(x, shape, w, EPS)

    def both(x, r, w, b):
        s = x + r
        return fn.rms_norm(s, shape, w, EPS), s
    return both


class Onnx:
    name = "onnxruntime"
    OPS = {"layer": ("LayerNormalization", ""), "rms": ("SimplifiedLayerNormalization", ""),
           "add": ("SkipSimplifiedLayerNormalization", "com.microsoft")}

    def __init__(self, work, threads):
        try:
            import onnx
            import onnxruntime
        except ImportError as e:
            raise Absent(f"{e} (pip install onnx onnxruntime)") from e
        self.onnx, self.rt, self.version, self.threads = onnx, onnxruntime, onnxruntime.__version__, threads
        onnxruntime.set_default_logger_severity(4)

    def model(self, p):
        helper, types = self.onnx.helper, self.onnx.TensorProto
        t = types.FLOAT if p.type == "f32" else types.BFLOAT16
        rows = lambda n: helper.make_tensor_value_info(n, t, ["rows", p.hidden])
        one = lambda n: helper.make_tensor_value_info(n, t, [p.hidden])
        op, domain = self.OPS[p.norm]
        ins = {"layer": ["x", "w", "b"], "rms": ["x", "w"], "add": ["x", "r", "w"]}[p.norm]
        outs = ["y", "", "", "s"] if p.norm == "add" else ["y"]
        more = {} if p.norm == "add" else {"axis": -1}
        node = helper.make_node(op, ins, outs, epsilon=EPS, domain=domain, **more)
        graph = helper.make_graph([node], "norm", [rows(n) if n in "xr" else one(n) for n in ins],
                                  [rows(n) for n in outs if n])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9), t

    def session(self, p):
        options = self.rt.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        model, t = self.model(p)
        try:
            return self.rt.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]), t
        except Exception as e:  # the module has no public base class for its errors
            raise Absent("no CPU kernel for " + p.type if "NOT_IMPLEMENTED" in str(e)
                         else " ".join(str(e).split())[:160]) from e

    def prepare(self, shim, operands):
        p = operands.point
        session, t = self.session(p)
        calls = []
        for i in range(p.slices):
            b = session.io_binding()
            rows, one = (p.rows, p.hidden), (p.hidden,)
            arrays = {"x": (operands.x[i], rows), "w": (operands.weight, one), "b": (operands.bias, one)}
            outputs = {"y": operands.y[i]}
            if operands.residual:
                arrays["r"], outputs["s"] = (operands.residual[i], rows), operands.sum[i]
            for value in session.get_inputs():
                array, shape = arrays[value.name]
                b.bind_input(value.name, "cpu", 0, t, shape, address(array))
            for name, array in outputs.items():
                b.bind_output(name, "cpu", 0, t, rows, address(array))
            calls.append(lambda run=session.run_with_iobinding, b=b: run(b))
        made = Subject(shim, p, calls, lambda out, i: address(operands.y[i]))
        made.keep = session
        return made


class Jax:
    name = "jax"

    def __init__(self, work, threads):
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(work, "jax"))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        try:
            import jax
            import ml_dtypes
        except ImportError as e:
            raise Absent(f"{e} (pip install jax)") from e
        self.jax, self.version = jax, jax.__version__
        # Half of the time of a small call: to hand it to another thread and wait for that.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        self.bf16 = ml_dtypes.bfloat16

    def array(self, a):
        a = a.view(self.bf16) if a.dtype.itemsize == 2 else a
        return self.jax.device_put(a)

    def norm(self, norm, type_):
        jnp, lax = self.jax.numpy, self.jax.lax
        dtype = jnp.float32 if type_ == "f32" else jnp.bfloat16

        def rms(x, w):
            v = x.astype(jnp.float32)
            r = lax.rsqrt(jnp.mean(v * v, axis=-1, keepdims=True) + EPS)
            return (v * r * w.astype(jnp.float32)).astype(dtype)

        def layer(x, w, b):
            v = x.astype(jnp.float32)
            v = v - jnp.mean(v, axis=-1, keepdims=True)
            r = lax.rsqrt(jnp.mean(v * v, axis=-1, keepdims=True) + EPS)
            return (v * r * w.astype(jnp.float32) + b.astype(jnp.float32)).astype(dtype)

        def add(x, r, w):
            s = x + r
            return rms(s, w), s
        return self.jax.jit({"rms": rms, "layer": layer, "add": add}[norm])

    def prepare(self, shim, operands):
        p = operands.point
        f, w, b = self.norm(p.norm, p.type), self.array(operands.weight), self.array(operands.bias)
        more = {"rms": (w,), "layer": (w, b), "add": (w,)}[p.norm]
        wait = self.jax.block_until_ready
        calls = []
        for i in range(p.slices):
            ins = (self.array(operands.x[i]),)
            if operands.residual:
                ins += (self.array(operands.residual[i]),)
            calls.append(lambda ins=ins + more: wait(f(*ins)))
        calls[0]()
        made = Subject(shim, p, calls, lambda out, i: first(out).unsafe_buffer_pointer())
        made.result = lambda out, i: tuple(
            self.jax.numpy.asarray(o, dtype="float32") for o in (out if isinstance(out, tuple) else (out, )))
        return made


ALL = (Torch, TorchCompiled, Onnx, Jax)
