"""What a run under a budget decides, by hand: prices, margins, rounds that a budget bears."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
from forged import forge

from traitscope.errors import TraitscopeError
from traitscope.store.models import ModelSource
from traitscope.study import Study
from traitscope.study.costs import load_tokenizer
from traitscope.study.deciding import Belief, Planner
from traitscope.study.prices import Prices, find_prices
from traitscope.study.rounds import Round, read_rounds, write_rounds
from traitscope.tasks.encode import training_rows


def planner(rounds: list[Round], **parts: Any) -> Planner:
    """Three sources and two targets of 1,000 rows; a training costs 10, a row 0.01."""
    found = object.__new__(Planner)
    prices = Prices(np.full(3, 10.0), np.full(3, 2.0), np.full(2, 0.01), np.full(2, 1000))
    settings = {"sources": ["a", "b", "c"], "targets": ["t", "u"], "prices": prices, "rounds": rounds, "share": 1.0}
    vars(found).update({**settings, "margin": 0.01, **parts})
    return found


def belief(mean_IN: list[list[float]], deviation: float, trained: tuple[bool, ...]) -> Belief:
    mean = np.array(mean_IN)
    known_IN = np.isfinite(mean) & np.array(trained)[:, None]
    return Belief(mean, np.full(mean.shape, deviation**2), np.array(trained), known_IN, np.full(2, 0.01))


def test_rows_grow_only_where_two_are_close_and_as_far_as_the_budget_goes() -> None:
    latest = Round("train", ("a", "b", "c"), {}, {source: {"t": 128, "u": 128} for source in "abc"})
    plan = planner([latest])
    known = belief([[0.50, 0.9], [0.49, 0.1], [0.1, 0.1]], 0.02, (True, True, True))
    more = plan._grow_round(known, left=100.0)
    assert more is not None and more.sources == ("a", "b", "c")
    assert more.rows == {"a": {"t": 256, "u": 128}, "b": {"t": 256, "u": 128}, "c": {"t": 128, "u": 128}}
    # 128 rows of one cell cost 1.28: there is enough for one of the two, and for none.
    one = plan._grow_round(known, left=1.5)
    assert one is not None
    assert sorted(rows["t"] for rows in one.rows.values()) == [128, 128, 256]
    assert plan._grow_round(known, left=1.0) is None
    # Half of a target's rows are for the claims.
    full = Round("train", ("a", "b", "c"), {}, {source: {"t": 500, "u": 500} for source in "abc"})
    assert planner([full])._grow_round(known, left=100.0) is None


def test_the_first_trainings_leave_a_fifth_of_the_budget_for_the_second() -> None:
    rows = {source: {"t": 24, "u": 24} for source in "abc"}
    looked = Round("probe", (), rows, {})
    hoped = belief([[0.5, -0.5], [-0.5, 0.5], [-0.5, -0.5]], 0.05, (False, False, False))
    cost = 10 + 0.01 * 128  # a training, and the rows of the one target that each may better
    two = planner([looked])._train_round(hoped, left=2 * cost / 0.8 + 0.1)
    one = planner([looked])._train_round(hoped, left=2 * cost + 0.1)
    assert two is not None and set(two.sources) >= {"a", "b"}
    assert one is not None and len(one.sources) == 1


def test_a_margin_without_a_range_is_a_twentieth_of_the_gains_spread() -> None:
    tasks = {
        "t": SimpleNamespace(metrics=("accuracy",), answer=SimpleNamespace(form="choice")),
        "u": SimpleNamespace(metrics=(), answer=SimpleNamespace(form="loss")),
    }
    plan = planner([], study=SimpleNamespace(config=SimpleNamespace(tasks=tasks)))
    gains = np.array([[0.1, 0.0], [0.2, 2.0], [0.3, 4.0]])
    np.testing.assert_allclose(plan._margins(gains), [0.01, 0.05 * gains[:, 1].std()])
    np.testing.assert_allclose(plan._margins(np.zeros((3, 2))), [0.01, 1e-4])


def test_a_training_token_costs_twice_an_evaluation_token(base: Path, tmp_path: Path) -> None:
    """4 and 2 operations per parameter; tokens counted as the trainer reads them."""
    study = Study.open(tiny.make_study(tmp_path / "study", base))
    prices, tokenizer = find_prices(study), load_tokenizer(ModelSource(str(base)))
    for i, source in enumerate(("tone", "sums")):
        rows = training_rows(
            study.data.tasks[source],
            study.data.train(next(s for s in study.config.resolved_sources() if s.name == source)),
            tokenizer,
            64,
        )
        assert prices.train_I[i] == 4 * 2 * sum(len(row.ids) for row in rows)
    n = study.config.target_names().index("story")
    read = [len(tokenizer(example.answer)["input_ids"]) for example in study.data.load("story").eval]
    assert prices.row_N[n] * prices.rows_N[n] == pytest.approx(2 * sum(read), rel=0.1)


def test_rounds_are_read_as_they_were_written_and_nonsense_is_named(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    one = Round("probe", ("a",), {"b": {"t": 24}}, {"a": {"t": 24}})
    write_rounds(path, [one], ["a", "b"], ["t"], 0.25, 0.01)
    assert read_rounds(path, ["a", "b"], {"t": 30}) == [one]
    content = json.loads(path.read_text())
    rows = [{"a": {"t": 0}}, {"a": {"v": 3}}, {"b": {"t": 3}}, {"a": {"t": "3"}}, {"a": {"t": True}}]
    for change in (*({"rows": given} for given in rows), {"sources": ["a", "a"]}, {"kind": "look"}):
        forge(path, rounds=[{**content["rounds"][0], **change}])
        with pytest.raises(TraitscopeError, match="names what the study has not"):
            read_rounds(path, ["a", "b"], {"t": 30})


def test_rounds_that_rest_on_rows_of_the_claims_are_refused(tmp_path: Path) -> None:
    """A study with fewer eval rows than when it was decided: what chose would judge."""
    path = tmp_path / "budget.json"
    write_rounds(path, [Round("probe", (), {"b": {"t": 24}}, {})], ["a", "b"], ["t"], 0.25, 0.01)
    assert read_rounds(path, ["a", "b"], {"t": 24})
    with pytest.raises(TraitscopeError, match="rests on rows that are for the claims now"):
        read_rounds(path, ["a", "b"], {"t": 23})


@pytest.mark.parametrize("share", ["25%", None, float("nan"), True])
def test_a_budget_is_a_number(base: Path, tmp_path: Path, share: Any) -> None:
    study = Study.open(tiny.make_study(tmp_path / "study", base))
    with pytest.raises(TraitscopeError, match="budget"):
        study.decide(share)
    with pytest.raises(TraitscopeError, match="margin"):
        study.decide(0.5, margin="x" if share is not None else None)
    shutil.rmtree(tmp_path / "study")
