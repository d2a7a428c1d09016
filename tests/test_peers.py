# SPDX-License-Identifier: Apache-2.0
"""The pure half of bench/peers: standard library only."""
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "peers"))
import docs  # noqa: E402
import figures  # noqa: E402
import grid  # noqa: E402
import marks  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
from turns import Turns  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
ZEN4 = grid.Caches(32 * KIB, MIB, 32 * MIB, 24 << 30)


class Figures(unittest.TestCase):
    def test_quantiles_lie_between_the_two_nearest(self):
        self.assertEqual(figures.median([3, 1, 2]), 2)
        self.assertEqual(figures.median([4, 1, 2, 3]), 2.5)
        self.assertEqual(figures.quantile([0, 10], 0.25), 2.5)
        self.assertEqual(figures.spread([1, 2, 3, 4, 5]), 2 / 3)

    def test_factor_pairs_passes(self):
        # The machine halves its speed in the second pass: quotients do not see it.
        self.assertEqual(figures.factor([20, 40, 20], [10, 20, 10]), 2)

    def test_noise_is_the_larger_of_shift_and_scatter(self):
        self.assertAlmostEqual(figures.noise([11, 11, 11], [10, 10, 10]), 0.1)
        self.assertAlmostEqual(figures.noise([8, 10, 12], [10, 10, 10]), 0.1)

    def test_behind_needs_more_than_the_noise_floor(self):
        self.assertTrue(figures.behind(0.94, 0.05))
        self.assertFalse(figures.behind(0.96, 0.05))
        self.assertFalse(figures.behind(1.5, 0.05))

    def test_geometric_mean(self):
        self.assertAlmostEqual(figures.geomean([2, 8]), 4)


class Docs(unittest.TestCase):
    def test_only_what_is_between_the_marks_changes(self):
        text = "a\n<!-- peers -->\nold\nold\n<!-- /peers -->\nb\n"
        self.assertEqual(marks.replaced(text, "peers", ["new", ""], "f"), "a\n<!-- peers -->\nnew\n<!-- /peers -->\nb\n")

    def test_a_backslash_is_a_backslash(self):
        text = "<!-- peers -->\n<!-- /peers -->\n"
        self.assertIn("\\1 \\n", marks.replaced(text, "peers", ["\\1 \\n"], "f"))

    def test_missing_marks_are_said(self):
        with self.assertRaises(SystemExit):
            marks.replaced("no marks", "peers", ["new"], "f")

    def test_documents_have_their_marks(self):
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
        machine = "sapphire-rapids"
        for name, mark in (("README.md", "peers"), ("docs/performance.md", "peers"),
                           ("docs/performance.md", "reach " + machine), ("docs/performance.md", "floors " + machine),
                           ("docs/performance.md", "fusions " + machine)):
            with open(os.path.join(root, name), encoding="utf-8") as f:
                marks.replaced(f.read(), mark, [], name)


class Grid(unittest.TestCase):
    def test_rows_are_those_of_the_tuner(self):
        # normgen tune --hidden 4096 and --hidden 1024 on such a machine: 15, 255, 8191 and 63 rows.
        self.assertEqual(grid.all_rows(ZEN4, 32 * KIB, 16 * KIB, "l1", 1), 0)
        self.assertEqual(grid.all_rows(ZEN4, 32 * KIB, 16 * KIB, "l2", 1), 15)
        self.assertEqual(grid.all_rows(ZEN4, 32 * KIB, 16 * KIB, "llc", 1), 255)
        self.assertEqual(grid.all_rows(ZEN4, 32 * KIB, 16 * KIB, "dram", 1), 8191)
        self.assertEqual(grid.all_rows(ZEN4, 8 * KIB, 4 * KIB, "l2", 1), 63)

    def test_threads_share_l1_and_l2_each(self):
        self.assertEqual(grid.all_rows(ZEN4, 32 * KIB, 16 * KIB, "l2", 2), 30)
        self.assertEqual(grid.all_rows(ZEN4, 32 * KIB, 16 * KIB, "dram", 2), 8191)

    def test_a_call_in_dram_is_in_dram_by_itself(self):
        p = grid.point(ZEN4, "rms", "f32", 1024, "dram", 1)
        self.assertGreater(p.rows * p.row_bytes, ZEN4.llc // 2)
        self.assertGreaterEqual(p.rows * p.slices * p.row_bytes, 3 * ZEN4.llc)

    def test_a_call_in_llc_is_larger_than_l2(self):
        p = grid.point(ZEN4, "add", "bf16", 512, "llc", 1)
        self.assertGreater(p.rows * p.row_bytes, ZEN4.l2)
        self.assertLessEqual(p.rows * p.slices * p.row_bytes, ZEN4.llc // 2)

    def test_regimes_that_do_not_exist_are_left_out(self):
        self.assertIsNone(grid.point(ZEN4, "rms", "f32", 4096, "l1", 1))
        self.assertIsNone(grid.point(ZEN4, "rms", "f32", 4096, "one", 2))

    def test_every_point_lies_in_its_regime(self):
        for p in grid.points(ZEN4, grid.NORMS, grid.TYPES, grid.FULL, grid.REGIMES[1:], 1):
            row, shared = p.row_bytes, grid.NORMS[p.norm].shared * p.hidden * grid.TYPES[p.type]
            self.assertLessEqual(p.rows, grid.largest(ZEN4, row, shared, p.regime, 1), p)
            if p.regime == "dram":
                self.assertGreater(p.rows, grid.largest(ZEN4, row, shared, "llc", 1), p)

    def test_specs_are_canonical_text(self):
        p = grid.point(ZEN4, "add", "bf16", 64, "one", 1)
        self.assertEqual(p.spec, "rms hidden=64 eps=1e-05 x=bf16 y=bf16 weight=bf16 residual=bf16 sum=bf16")


def line(contender, hidden=64, ns=10.0, factor=1.0, note=""):
    return {"norm": "rms", "type": "f32", "hidden": hidden, "regime": "l2", "threads": 1, "rows": 5,
            "contender": contender, "ns_per_row": ns, "spread": 0.01, "factor": factor, "gb_s": 51.2,
            "of_limit": 0.5, "noise": 0.02, "note": note}


class Results(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "r.csv")

    def tearDown(self):
        self.folder.cleanup()

    def test_lines_come_back(self):
        lines = [line("jax", ns=None, factor=None, note="absent: a, b"), line("torch", factor=2.5), line("normgen")]
        results.append(self.path, {"machine": "A, B: C"}, lines)
        facts, back = results.read(self.path)
        self.assertEqual(facts, {"machine": "A, B: C"})
        self.assertEqual(back[1]["factor"], 2.5)
        self.assertIsNone(back[0]["ns_per_row"])
        self.assertEqual(back[0]["note"], "absent: a, b")
        self.assertEqual(results.done(back), {("rms", "f32", 64, "l2", 1)})

    def test_a_cut_off_point_is_measured_again_wherever_it_was_cut(self):
        results.append(self.path, {"machine": "m"}, [line("torch"), line("normgen")])
        first = os.path.getsize(self.path)
        results.append(self.path, {}, [line("torch", 128), line("normgen", 128)])
        with open(self.path, "rb") as f:
            whole = f.read()
        for cut in range(first, len(whole)):
            with open(self.path, "wb") as f:
                f.write(whole[:cut])
            self.assertEqual(len(results.done(results.read(self.path)[1])), 1, cut)
            results.append(self.path, {}, [line("torch", 128), line("normgen", 128)])
            lines = results.read(self.path)[1]
            self.assertEqual(sum(p["hidden"] == 128 and p["contender"] == "normgen" for p in lines), 1, cut)

    def test_the_later_measurement_of_a_point_holds(self):
        results.append(self.path, {}, [line("torch", factor=2.0), line("normgen")])
        results.append(self.path, {}, [line("torch", factor=3.0), line("normgen")])
        self.assertEqual([p["factor"] for p in results.read(self.path)[1]], [3.0, 1.0])

    def test_nothing_is_no_results(self):
        self.assertEqual(results.read(self.path), ({}, []))


class Report(unittest.TestCase):
    def test_a_peer_ahead_is_bold_and_listed(self):
        lines = [line("torch", factor=0.9), line("jax", factor=2.0), line("normgen", note="vec=512")]
        text = "\n".join(report.markdown({}, report.points_of(lines)))
        self.assertIn("**0.90** (torch)", text)
        self.assertIn("| torch | vec=512 |", text)

    def test_within_the_noise_is_not_behind(self):
        text = "\n".join(report.markdown({}, report.points_of([line("torch", factor=0.99), line("normgen")])))
        self.assertIn("behind no peer", text)


class Order(unittest.TestCase):
    def test_every_pass_measures_everybody_and_slices_go_round(self):
        seen, starts = [], []

        def contender(name):
            def run(calls, start):
                seen.append(name)
                starts.append((start, calls))
                return calls * 1e6
            return run
        turns = Turns("dram", 8, 10, random.Random(1))
        medians, every = turns.passes({n: contender(n) for n in "abc"}, 4, 3)
        self.assertEqual({n: len(v) for n, v in every.items()}, {"a": 12, "b": 12, "c": 12})
        self.assertEqual(set(medians["a"]), {1e5})
        at = 0
        for start, calls in starts:
            self.assertEqual(start, at)
            at = (at + calls) % 8
        turns_taken = seen[::4]  # a warm-up and three samples each
        passes = [turns_taken[i:i + 3] for i in range(0, 12, 3)]
        self.assertTrue(all(sorted(order) == ["a", "b", "c"] for order in passes))
        self.assertGreater(len(set(map(tuple, passes))), 1)


if __name__ == "__main__":
    unittest.main()
