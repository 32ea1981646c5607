"""What a quarter of the cells decides: regret of the chosen source per target, by how the cells were chosen.

    python -m benchmarks.budget matrix.csv --rows data_name --family model_name --where lora=true ... [--seeds 50]

A matrix is taken as the truth, base model by base model; cells are revealed a few at a time and the best source of each
target is named from what was revealed and what ``residual gp`` expects of the rest. Regret is that of the named source,
in shares of the column's range. ``random`` reveals cells at random. Without a file a matrix is generated: two
directions that six base models have in common, one of their own, noise.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.matrix import ScoreMatrix
from traitscope.matrix.options import read_typed
from traitscope.predict.acquire import balanced_start, choose_cells
from traitscope.predict.predictor import Predictor
from traitscope.predict.problem import Problem
from traitscope.registry import registry

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SHARE = 0.25
# Cells between two fits; with other base models known, the first cells are chosen as well.
BATCH = 3
START = {"others": 0.0, "alone": 0.05}
RULES = ("random", "expected improvement", "knowledge gradient")


def regret(truth_IN: Floats, belief_IN: Floats) -> float:
    """Mean over targets of what the named source lacks to the best one, in shares of the column's range."""
    named_N = belief_IN.argmax(axis=0)
    lack_N = truth_IN.max(axis=0) - truth_IN[named_N, np.arange(truth_IN.shape[1])]
    return float(np.mean(lack_N / np.ptp(truth_IN, axis=0)))


def decide(problem: Problem, predictor: Predictor, rule: str, start: float, seed: int) -> float:
    """Regret after ``SHARE`` of the cells."""
    truth_IN, rng = problem.values_IN, np.random.default_rng(seed)
    count = round(SHARE * truth_IN.size)
    if rule == "random":
        known_IN = np.zeros(truth_IN.shape, dtype=bool)
        known_IN.ravel()[rng.choice(truth_IN.size, count, replace=False)] = True
    else:
        known_IN = balanced_start(np.ones(truth_IN.shape, dtype=bool), round(start * truth_IN.size), rng)
    while True:
        prediction = predictor(problem.hide(~known_IN), rng)
        left = count - int(known_IN.sum())
        if left <= 0:
            break
        for i, n in choose_cells(prediction, ~known_IN, min(BATCH, left), rule):
            known_IN[i, n] = True
    measured_IN = (truth_IN - prediction.centre_N) / prediction.spread_N
    return regret(truth_IN, np.where(known_IN, measured_IN, prediction.z_IN))


def generated(seed: int = 0) -> ScoreMatrix:
    """Six base models, ten sources, twelve tasks; what is shared, what is a base's own, noise: 50, 30 and 20 %."""
    rng = np.random.default_rng(seed)
    shared_IN = rng.normal(size=(10, 2)) @ rng.normal(size=(2, 12)) / np.sqrt(2)
    rows = []
    for b in range(6):
        own_IN = rng.normal(size=(10, 1)) @ rng.normal(size=(1, 12))
        values_IN = np.sqrt(0.5) * shared_IN + np.sqrt(0.3) * own_IN + np.sqrt(0.2) * rng.normal(size=(10, 12))
        for i, n in np.ndindex(10, 12):
            rows.append({"base": f"b{b}", "model": f"b{b}/s{i}", "source": f"s{i}", "task": f"t{n}"})
            rows[-1]["value"] = 50 + 8 * values_IN[i, n]
    return ScoreMatrix.from_long(pd.DataFrame(rows), units="percent")


def table(scores: ScoreMatrix, seeds: int, rules: tuple[str, ...] = RULES) -> pd.DataFrame:
    """Mean regret over base models and seeds, by rule, other base models known and not."""
    bases = list(dict.fromkeys(str(base) for base in scores.rows["base"]))
    predictor = registry("predictor").get("residual gp").value
    first = Problem.from_scores(scores, bases[0])
    rows = []
    for known in ("others", "alone"):
        for rule in rules:
            begun, found = time.perf_counter(), []
            for b in range(len(bases)):
                problem = first.for_base(b)
                flat_N = problem.scale.flat_BN[b] | ~problem.known_IN.all(axis=0)
                problem = problem.with_tasks(tuple(np.flatnonzero(~flat_N)))
                if known == "alone":
                    problem = problem.alone()
                found += [decide(problem, predictor, rule, START[known], seed) for seed in range(seeds)]
            spent = time.perf_counter() - begun
            error = float(np.std(found) / np.sqrt(len(found)))
            rows.append({"known": known, "rule": rule, "regret@1": float(np.mean(found)), "se": error, "s": spent})
            print(f"{known:7s} {rule:22s} regret@1 {rows[-1]['regret@1']:.3f} ± {error:.3f}  {spent:.0f} s", flush=True)
    frame = pd.DataFrame(rows)
    random = frame[frame["rule"] == "random"].set_index("known")["regret@1"]
    frame["of random"] = frame["regret@1"] / frame["known"].map(random)
    return frame


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__.split("\n")[0])
    parser.add_argument("matrix", nargs="?", type=Path)
    parser.add_argument("--rows")
    parser.add_argument("--family")
    parser.add_argument("--values")
    parser.add_argument("--base")
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--own-pairs")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--rules", default=",".join(RULES), help="with commas; random among them")
    given = vars(parser.parse_args())
    path, seeds, where = given.pop("matrix"), given.pop("seeds"), given.pop("where")
    rules = tuple(rule.strip() for rule in given.pop("rules").split(","))
    scores = generated() if path is None else read_typed(path, n=(), where=where, **given)
    print(table(scores, seeds, rules).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
