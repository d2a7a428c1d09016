# SPDX-License-Identifier: Apache-2.0
"""normgen beside PyTorch, ONNX Runtime, JAX, oneDNN and a plain C loop, in one run: `./dev bench peers`.

One process for each number of threads (frameworks read theirs from the environment when they load); in
it all contenders of a point are measured in turns. Results go to a CSV as they come; a run that was
stopped goes on where it was. Whatever is not installed is printed as absent.
"""
import argparse
import os
import subprocess
import sys

import docs
import grid
import report
import results

HERE = os.path.dirname(os.path.abspath(__file__))


def environment(threads):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
               OPENBLAS_NUM_THREADS=str(threads), JAX_PLATFORMS="cpu", PYTHONDONTWRITEBYTECODE="1")
    env.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # large pages for what frameworks allocate
    if threads == 1:
        env["XLA_FLAGS"] = env.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    return env


def words(choices):
    def parse(text):
        for word in text.split(","):
            if word not in choices:
                raise argparse.ArgumentTypeError(f"{word} is none of {' '.join(choices)}")
        return text
    return parse


def options():
    p = argparse.ArgumentParser(prog="./dev bench peers", description=__doc__.split("\n")[0])
    p.add_argument("--full", action="store_true", help="every hidden size of the grid (default: %s)"
                   % " ".join(map(str, grid.QUICK)))
    p.add_argument("--hidden", help="these hidden sizes, with commas")
    p.add_argument("--norms", type=words(grid.NORMS), default=",".join(grid.NORMS), help="rms,layer,add")
    p.add_argument("--types", type=words(grid.TYPES), default=",".join(grid.TYPES), help="f32,bf16")
    p.add_argument("--regimes", type=words(grid.REGIMES), default=",".join(grid.REGIMES),
                   help="one,l1,l2,llc,dram")
    p.add_argument("--threads", default=None,
                   help="numbers of threads, with commas (default: 1; with --full 1 and all)")
    p.add_argument("--csv", help="results, resumed (default: build-peers/results.csv)")
    p.add_argument("--db", help="normgen's store (default: the user's)")
    p.add_argument("--seconds", type=float, help="stop before the next point after so many; run it again")
    p.add_argument("--prepare", action="store_true", help="compile everything, measure nothing")
    p.add_argument("--specs", action="store_true", help="only print the specs, for normgen tune")
    p.add_argument("--report", action="store_true", help="only write tables and plots of what is there")
    p.add_argument("--docs", metavar="HOW", help="only write what is there into docs/ and README.md, and HOW it was tuned")
    p.add_argument("--plots", help="folder of the plots (default: beside the CSV)")
    p.add_argument("--build", default="build", help=argparse.SUPPRESS)
    p.add_argument("--work", default="build-peers", help=argparse.SUPPRESS)
    return p.parse_args()


def print_specs(a):
    for norm in a.norms.split(","):
        for type_ in a.types.split(","):
            for hidden in a.hidden.split(","):
                print(grid.NORMS[norm].text.format(h=hidden, t=type_))


def measure(a):
    """True when every point is there."""
    hidden = a.hidden
    cores = len(os.sched_getaffinity(0))
    threads = a.threads or ("1" if not a.full or cores == 1 else f"1,{cores}")
    for n in map(int, threads.split(",")):
        command = [sys.executable, os.path.join(HERE, "run.py"), "--threads", str(n), "--hidden", hidden]
        for name in ("build", "work", "csv", "db", "norms", "types", "regimes", "seconds"):
            value = getattr(a, name)
            if value is not None:
                command += ["--" + name, str(value)]
        if a.prepare:
            command.append("--prepare")
        code = subprocess.run(command, env=environment(n), check=False).returncode
        if code:
            return code == 3 and None  # stopped in time: not complete, and no failure
    return True


def main():
    a = options()
    a.hidden = a.hidden or ",".join(map(str, grid.FULL if a.full else grid.QUICK))
    if a.specs:
        print_specs(a)
        return 0
    a.build, a.work = os.path.abspath(a.build), os.path.abspath(a.work)
    os.makedirs(a.work, exist_ok=True)
    a.csv = os.path.abspath(a.csv or os.path.join(a.work, "results.csv"))
    if a.docs:
        facts, lines = results.read(a.csv)
        for path in docs.write(facts, report.points_of(lines), a.docs, os.path.dirname(os.path.dirname(HERE))):
            print(path)
        return 0
    complete = True if a.report else measure(a)
    if complete is False:
        return 1
    if complete and not a.prepare:
        report.write(a.csv, a.plots or os.path.dirname(a.csv), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
