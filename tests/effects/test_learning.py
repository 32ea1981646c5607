"""Did training work: gains on own tasks beside steps and losses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, choice_records, generate_records

from traitscope.effects import measure_effects
from traitscope.effects.learning import MOST_POINTS, TrainingLog
from traitscope.matrix import ScoreMatrix
from traitscope.report.words import taught


def study() -> Study:
    """Four sources of 60 examples: one learns, one does not, one falls, one has nothing left to learn."""
    found, lengths = Study(), np.full(60, 4)
    base = {"learns": 20, "stays": 20, "falls": 40, "full": 58}
    after = {"learns": 50, "stays": 22, "falls": 10, "full": 59}
    for task, right in base.items():
        found.add("base", None, None, task, generate_records((np.arange(60) < right).astype(float), lengths))
        for source in base:
            moved = after[task] if source == task else right
            records = generate_records((np.arange(60) < moved).astype(float), lengths)
            found.add(f"{source}-s0", source, 0, task, records)
    return found


def test_what_was_not_learnt_is_said_with_steps_and_losses() -> None:
    made = study()
    losses = {f"{name}-s0": list(np.linspace(4.0, 1.0, 30)) for name in ("learns", "stays", "falls", "full")}
    effects = measure_effects(made.matrix, made.records, training=losses, replicates=200)
    table = effects.tables["learning"].set_index("model")
    assert table["verdict"].to_dict() == {
        "learns-s0": "learnt", "stays-s0": "not told", "falls-s0": "fell", "full-s0": "no room",
    }  # fmt: skip
    assert (table["task"] == table["source"]).all() and table["steps"].tolist() == [30] * 4
    assert table.loc["learns-s0", "gain"] == pytest.approx(0.5)
    # The first and the last tenth of thirty steps.
    assert table["loss_first"].tolist() == pytest.approx([np.mean(np.linspace(4, 1, 30)[:3])] * 4)
    assert table["loss_last"].tolist() == pytest.approx([np.mean(np.linspace(4, 1, 30)[-3:])] * 4)
    told = effects.not_learnt()
    for text, model in zip(told, ["stays-s0", "falls-s0", "full-s0"], strict=True):
        assert model in text.split()[:2]
    # Not seen is not "did not".
    assert told[0].startswith("Whether stays-s0 learnt its own task stays cannot be told: accuracy +3.3 points [")
    assert told[0].endswith("after 30 steps, loss 3.90 to 1.10.")
    assert "What training did not teach" in effects.render()


def test_one_answer_to_everything_is_not_learning() -> None:
    """Always the majority: 30 points above a base that is wrong, and what no training is needed for."""
    found, gold = Study(), (np.arange(200) % 5 == 0).astype(int)
    preds = {"base": 1 - gold, "mail": np.zeros(200, dtype=int), "news": gold}
    for task in ("mail", "news"):
        for model, pred in preds.items():
            source = None if model == "base" else model
            records = choice_records(gold, pred if source in (None, task) else 1 - gold, ("ham", "spam"))
            found.add("base" if source is None else f"{model}-s0", source, 0 if source else None, task, records)
    effects = measure_effects(found.matrix, found.records, replicates=200)
    verdicts = effects.tables["learning"].set_index("source")["verdict"].to_dict()
    assert verdicts == {"mail": "one answer", "news": "learnt"}
    (told,) = effects.not_learnt()
    assert told.startswith("mail-s0 learnt one answer for its own task mail: accuracy +80.0 points [")
    assert told.endswith("It answers 'ham' to 200 of 200. The best constant answer gives 80.0.")
    group, unlearnt = taught(effects)
    assert (group.tested, group.verdict[:6], len(group.sentences), unlearnt) == (2, "1 of 2", 1, [told])


def test_what_cannot_be_tested_is_not_said_to_be_unlearnt() -> None:
    """Without any error nothing is said; where the deviation between runs is known, it is what tells."""
    rows = {"base": [50.0, 50.0, 40.0], "a": [77.0, 50.0, 41.0], "b": [51.0, 50.5, 40.0], "c": [50.0, 51.0, 9.0]}
    frame = pd.DataFrame(rows.values(), index=list(rows), columns=list("abc"))
    scores = ScoreMatrix.from_wide(frame, units="percent")
    effects = measure_effects(scores)
    assert set(effects.tables["learning"]["verdict"]) == {"not tested"} and effects.not_learnt() == []
    assert "What training did not teach" not in effects.render()
    effects = measure_effects(scores, run_sd=2.0)
    table = effects.tables["learning"].set_index("source")
    assert table["verdict"].to_dict() == {"a": "learnt", "b": "not told", "c": "fell"}
    assert table.loc["a", ["lo", "hi"]].tolist() == pytest.approx([27 - 1.96 * 2, 27 + 1.96 * 2], abs=0.01)
    assert [text[:10] for text in effects.not_learnt()] == ["Whether b ", "c fell on "]


def test_without_a_log_the_gain_alone_is_told() -> None:
    made = study()
    effects = measure_effects(made.matrix, made.records, replicates=200)
    assert "curves" not in effects.tables and "steps" not in " ".join(effects.not_learnt())
    assert len(effects.not_learnt()) == 3


def test_curves_keep_their_ends_and_means() -> None:
    log = TrainingLog(list(np.arange(601.0)))
    points = list(log.points())
    assert len(points) == MOST_POINTS and points[-1][0] == 601
    assert np.average([loss for _, loss in points], weights=np.diff([0, *(step for step, _ in points)])) == 300.0
    assert list(TrainingLog([2.0, 1.0]).points()) == [(1, 2.0), (2, 1.0)]
    assert TrainingLog([2.0]).ends == (2.0, 2.0)
