"""Transfer is fitted on the sources' cells on other tasks: no own or copied task, no control, mix or foreign row."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, generate_records, stats_with

from traitscope.effects import across_bases, explain, measure_effects
from traitscope.effects.gains import source_gains
from traitscope.effects.grid import Grid
from traitscope.effects.surprises import surprise_cells
from traitscope.matrix import Role, ScoreMatrix

TASKS = ("a", "b", "c", "d", "e")
ROLES = {
    **{name: Role("source", frozenset(name)) for name in "acde"},
    "b": Role("source", frozenset("b"), frozenset("a")),
    "a.mislabel": Role("control", copies=frozenset("a"), parent="a"),
    "all": Role("mix", frozenset("abcde")),
    "some": Role("mix", frozenset("ab")),
}


def matrix() -> ScoreMatrix:
    """Small gains of sources on other tasks, and fifty points wherever nothing may be claimed."""
    rows = []
    draw = np.random.default_rng(0)
    for source in (None, *ROLES, "chat"):
        name = "base" if source is None else source if source == "chat" else f"{source}-s0"
        for task in TASKS:
            role = ROLES.get(source or "")
            moved = role is not None and role.kind == "source" and role.relation(task) == "transfer"
            gain = 0.0 if source is None else draw.normal(0, 0.02) if moved else 0.5
            trained = source if source in ROLES else None
            rows.append({"model": name, "source": trained, "task": task, "value": 0.3 + gain, "stderr": 0.02})
    return ScoreMatrix.from_long(pd.DataFrame(rows), roles=ROLES, units="fraction")


def test_nothing_else_is_fitted() -> None:
    grid = Grid.of(matrix())
    cells = surprise_cells(grid, source_gains(grid, {}, 0.95), 0.95)
    assert len(cells) == 5 * 4 - 1
    assert float(cells["value"].max()) < 0.1
    effects = measure_effects(matrix(), replicates=100, permutations=99)
    asymmetry = effects.tables["asymmetry"]
    # b saw a copy of a: the pair says nothing of transfer.
    assert len(asymmetry) == 5 * 4 // 2 - 1 and asymmetry[["i_to_j", "j_to_i"]].abs().max().max() < 0.1
    gains = effects.of_kind("gain").set_index(["source", "task"])["relation"]
    assert [gains[cell] for cell in (("all", "c"), ("some", "c"), ("b", "a"))] == ["own", "transfer", "copy"]


def runs_apart(spread: float) -> pd.DataFrame:
    """Two runs of three sources and a mix, two points apart on other tasks and ``spread`` where nothing is transfer."""
    rows = [("base", None, None, task, 0.3) for task in "abcd"]
    for source, k, task in itertools.product((*"acd", "all"), (0, 1), "abcd"):
        apart = 0.02 if ROLES[source].relation(task) == "transfer" else spread
        rows.append((f"{source}-s{k}", source, k, task, 0.4 + apart * k))
    return pd.DataFrame(rows, columns=["model", "source", "seed", "task", "value"]).assign(stderr=0.01)


def test_how_runs_differ_on_other_tasks_is_not_told_by_their_own() -> None:
    found = {}
    for spread in (0.02, 0.3):
        scores = ScoreMatrix.from_long(runs_apart(spread), roles=ROLES, units="fraction")
        assert scores.seed_variance is not None
        # Two runs 0.02 apart have a variance of 0.0002; of a, c and d two (on b three) transfer to each task.
        assert scores.seed_variance.variance_N == pytest.approx([0.0002] * 4)
        assert scores.seed_variance.df_N.tolist() == [2, 3, 2, 2]
        findings = measure_effects(scores, replicates=100, permutations=99).findings
        found[spread] = findings.set_index(["kind", "source", "task"])
    kept, moved = (found[spread].xs("gain") for spread in (0.02, 0.3))
    transfer = kept["family"] == "transfer"
    columns = ["value", "lo", "hi", "p", "q"]
    pd.testing.assert_frame_equal(kept.loc[transfer, columns], moved.loc[transfer, columns])
    # The others are pooled over all: on a two runs of each of c and d (transfer), a and the mix (own).
    assert moved.loc[("a", "a"), "numbers"]["deviation"] == pytest.approx((((2 * 0.02**2 + 2 * 0.3**2) / 2) / 4) ** 0.5)


def test_a_control_elsewhere_leaves_copies_of_its_sources_task_out() -> None:
    """b is a copy of a, so what the altered a loses there is no transfer."""
    roles = {
        "a": Role("source", frozenset("a"), frozenset("b")),
        "a.mislabel": Role("control", copies=frozenset("ab"), parent="a"),
    }
    study, right = Study(), {"a": (40, 10), "b": (40, 10), "c": (30, 27), "d": (30, 27)}
    for task, (parent, control) in right.items():
        for source, hits in ((None, 25), ("a", parent), ("a.mislabel", control)):
            name = "base" if source is None else f"{source}-s0"
            records = generate_records((np.arange(50) < hits).astype(float), np.full(50, 3))
            study.add(name, source, None if source is None else 0, task, records)
    found = measure_effects(ScoreMatrix.from_long(pd.DataFrame(study.rows), roles=roles), study.records, replicates=200)
    (row,) = found.of_kind("control_transfer").to_dict("records")
    assert row["value"] == pytest.approx(-0.06) and row["n"] == 2
    # A control's claims are corrected apart from those of the sources.
    families = found.of_kind("gain").groupby("source")["family"].unique().map(sorted).to_dict()
    assert families == {"a": ["copy", "own", "transfer"], "a.mislabel": ["control"]}


def test_runs_of_a_control_elsewhere_are_averaged_unit_by_unit() -> None:
    """Hits of tone and sums in shares, of story in nats: seeds of the one are no seeds of the other."""
    study = Study()
    hits = {"base": 25, "tone-s0": 30, "tone-s1": 32, "tone.mislabel-s0": 20, "tone.mislabel-s1": 24}
    for name, right in hits.items():
        source, _, seed = name.partition("-s")
        trained = (None, None) if name == "base" else (source, int(seed))
        for task in ("tone", "sums", "story"):
            frame = generate_records((np.arange(50) < right).astype(float), np.full(50, 3))
            if task == "story":
                frame = frame.assign(correct=np.nan, loss=2.0 + 0.01 * np.arange(50) + right / 100)
            study.add(name, *trained, task, frame)
            if task == "story":
                study.rows[-1] |= {"metric": "loss", "value": float(frame["loss"].mean()), "stderr": 0.02}
                study.rows[-1] |= {"higher_is_better": False}
    effects = measure_effects(study.matrix, study.records, replicates=200)
    rows = effects.of_kind("control_transfer").set_index("unit")
    assert rows["model"].tolist() == ["tone.mislabel"] * 2 and rows["n"].tolist() == [1, 1]
    assert rows["value"].to_dict() == pytest.approx({"share": -9 / 50, "nats per token": 0.09})
    assert across_bases({"one": effects, "two": effects}).findings["unit"].isin(["share", "nats per token"]).all()


def test_dataset_statistics_explain_transfer_alone() -> None:
    names = [*TASKS, "a.mislabel", "all", "some"]
    stats = stats_with(names, answer_length={name: 10.0 + k for k, name in enumerate(names)})
    row = explain(None, stats, matrix(), statistics=["answer_tokens_mean"]).correlations.iloc[0]
    assert row["n"] == 5
