"""The findings as a table: corrected kind by kind, the strongest first, surprises with their own cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from effect_study import random_study
from statsmodels.stats.multitest import multipletests

from traitscope.effects import Effects
from traitscope.effects.grid import Grid
from traitscope.effects.result import findings_frame
from traitscope.report.words import effect_groups, q_text

P = {"invalid": [0.001, 0.02, 0.04, np.nan], "cut_off": [0.0004, 0.5, 0.6]}
CHANGES = {"invalid": [0.1, -0.4, 0.2, 0.3], "cut_off": [0.05, 0.0, -0.6]}


def effects(p: dict[str, list[float]] = P, changes: dict[str, list[float]] = CHANGES) -> Effects:
    """Findings of two kinds on tasks t0, t1, ..., with p and sizes as given."""
    study = random_study(("a",), [f"t{k}" for k in range(8)], 10, np.random.default_rng(0))
    rows = [
        {
            "model": "a-s0",
            "source": "a",
            "seed": 0,
            "task": f"t{k}",
            "rate": kind,
            "change": changes[kind][k],
            "p": value,
        }
        | {"lo": changes[kind][k] - 0.04, "hi": changes[kind][k] + 0.04, "mean": 0.5, "base_value": 0.5, "n": 10}
        | {"_method": "bootstrap"}
        for kind, values in p.items()
        for k, value in enumerate(values)
    ]
    return Effects(findings=findings_frame({"rates": rows}, Grid.of(study.matrix)))


def test_every_kind_is_corrected_on_its_own_without_what_was_not_tested() -> None:
    found = effects()
    for kind, values in P.items():
        tested = np.isfinite(values)
        q = found.of_kind(kind)["q"].to_numpy()
        assert q[tested] == pytest.approx(multipletests(np.array(values)[tested], method="fdr_bh")[1])
        assert np.isnan(q[~tested]).all()


def test_the_largest_change_of_every_kind_comes_first() -> None:
    kept = effects().significant(0.05)
    assert list(zip(kept["kind"], kept["value"], strict=True)) == [
        *(("cut_off", 0.05),),
        *(("invalid", -0.4), ("invalid", 0.2), ("invalid", 0.1)),
    ]


def test_a_finding_is_kept_by_its_q() -> None:
    # p of 0.02 is the second of three: q = 0.03.
    assert effects().significant(0.025)["value"].tolist() == [0.05, 0.1]


def test_surprises_are_of_the_cells_flagged_against_the_same_model() -> None:
    columns = ["kind", "model", "task", "value"]
    kinds = ("surprise", "surprise_similarity")
    rows = [(kind, "a", task, value) for kind in kinds for task, value in (("x", 0.1), ("y", 0.9), ("z", 0.5))]
    flagged = {("surprise", "y"), ("surprise", "z"), ("surprise_similarity", "x")}
    cells = [(kind, model, task, 0.1, (kind, task) in flagged) for kind, model, task, _ in reversed(rows)]
    table = pd.DataFrame(cells, columns=["against", "model", "task", "q", "surprising"])
    found = Effects(findings=pd.DataFrame(rows, columns=columns), tables={"surprises": table})
    assert found.surprising()["task"].tolist() == ["z", "y"]
    assert found.surprising("surprise_similarity")["task"].tolist() == ["x"]


def test_among_many_findings_those_that_hold_are_told_and_among_few_those_that_changed() -> None:
    values = [0.9, 0.3, -0.8, 0.1, 0.7, 0.6, 0.5, 0.4]
    many = effects({"invalid": [0.5, 1e-6, 0.004, 0.9, 0.02, 0.03, 0.6, 0.7]}, {"invalid": values})
    # By p four hold at 5 %; by q (8 p / rank) those of ranks 1 and 2, 0.016 at most, and not 8 x 0.02 / 3.
    (group,) = effect_groups(many)
    assert (group.tested, group.verdict) == (8, "2 of 8 hold at q <= 0.05")
    assert [s.text.split()[2] for s in group.sentences] == ["t2:", "t1:"]
    assert [s.q for s in group.sentences] == ["q = 0.016", "q < 0.0001"]
    few = next(g for g in effect_groups(effects()) if g.kind == "cut_off")
    assert [s.text.split()[2] for s in few.sentences] == ["t2:", "t0:"]


def test_a_tiny_q_is_never_rounded_to_zero() -> None:
    told = {3e-5: "q < 0.0001", 0.00012: "q = 0.00012", 0.0349: "q = 0.035", 1.0: "q = 1", float("nan"): "", None: ""}
    assert {q: q_text(q) for q in told} == told
