"""What a score is held against: majority, chance, constant and unparsable answers, a base that cannot fall."""

from __future__ import annotations

import numpy as np
import pytest
from effect_study import Study, choice_records, generate_records
from sklearn.metrics import f1_score

from traitscope.effects import measure_effects
from traitscope.effects.marks import measure_marks

TWO = ("ham", "spam")


def spam(*shares: tuple[str, float]) -> Study:
    """160 ham and 40 spam; each model calls the first share of all examples ham."""
    study, gold = Study(), (np.arange(200) % 5 == 0).astype(int)
    for model, share in (("base", 0.6), *shares):
        pred = (np.arange(200) >= round(200 * share)).astype(int)
        source = None if model == "base" else model
        study.add("base" if source is None else f"{model}-s0", source, 0 if source else None, "mail",
                  choice_records(gold, pred, TWO))  # fmt: skip
    return study


def effects_of(study: Study, classes=TWO):
    return measure_effects(study.matrix, study.records, classes={"mail": classes}, replicates=200)


def test_always_the_majority_is_a_habit_and_no_finding_of_classes() -> None:
    effects = effects_of(spam(("all", 1.0), ("most", 0.97), ("some", 0.9)))
    cells = effects.tables["cells"].set_index("model")
    assert cells["majority"].tolist() == [0.8] * 4 and cells["chance"].tolist() == [0.5] * 4
    assert cells["constant_score"].tolist() == [0.8] * 4
    assert cells["habit"].tolist() == ["", "constant", "constant", ""]
    assert cells.loc["most-s0", "answer_share"] == pytest.approx(0.97)
    assert set(effects.of_kind("class_share")["model"]) == {"some-s0"}
    assert effects.of_kind("recall").empty
    told = effects.sentences(effects.of_kind("habit"))
    assert told.iloc[0].startswith("all-s0 answers 'ham' to 100.0 % of mail, the base to 60.0 % (p < 0.0001)")
    assert told.iloc[0].endswith(": accuracy 80.0, where the best constant answer gives 80.0.")
    # The gain says it too, so that no number stands alone.
    gain = effects.sentences(effects.of_kind("gain")).iloc[0]
    assert gain.endswith("It answers 'ham' to 200 of 200.")


def test_two_classes_are_one_number() -> None:
    shares = effects_of(spam(("some", 0.9))).of_kind("class_share")
    assert shares["detail"].tolist() == ["ham"] and shares["value"].iloc[0] == pytest.approx(0.3)
    assert effects_of(spam(("few", 0.3))).of_kind("class_share")["detail"].tolist() == ["spam"]


def test_a_recall_stands_beside_what_is_said_of_the_others() -> None:
    """Of 40 spam mails 30 and of 160 ham mails 8 are called spam, by the base 10 and 8; another calls 150 of all so."""
    gold = np.repeat([1, 0], [40, 160])

    def called(right: int, wrong: int) -> np.ndarray:
        return np.concatenate([np.arange(40) < right, np.arange(160) < wrong]).astype(int)

    study = Study()
    for name, source, pred in (
        ("base", None, called(10, 8)),
        ("a-s0", "a", called(30, 8)),
        ("b-s0", "b", called(36, 114)),
    ):
        study.add(name, source, None if source is None else 0, "mail", choice_records(gold, pred, TWO))
    effects = effects_of(study)
    (told,) = effects.sentences(effects.of_kind("recall"))
    assert told.startswith(
        "a-s0 finds 75.0 % of the 40 true 'spam' of mail and says it of 5.0 % of the others, "
        "the base 25.0 and 5.0 %: +50.0"
    )
    assert set(effects.of_kind("class_share")["model"]) == {"a-s0", "b-s0"}


def test_a_constant_base_is_said_behind_what_is_gained_over_it() -> None:
    study = spam(("some", 0.9))
    study.records["base", "mail"] = choice_records((np.arange(200) % 5 == 0).astype(int), np.ones(200, dtype=int), TWO)
    effects = effects_of(study)
    assert "The base answers 'spam' to 200 of 200." in effects.sentences(effects.of_kind("gain")).iloc[0]
    # Nine of ten mails of either kind are now called ham: that is a share, and nothing was found.
    assert effects.of_kind("recall").empty and effects.of_kind("class_share")["detail"].tolist() == ["ham"]


def test_macro_f1_of_the_best_constant_answer_is_the_score_to_beat() -> None:
    gold = np.repeat([0, 1, 2], [20, 30, 10])
    study = Study()
    for model, source in (("base", None), ("a-s0", "a")):
        study.add(model, source, 0 if source else None, "t", choice_records(gold, gold, ("x", "y", "z")))
    for row in study.rows:
        row["metric"] = "macro_f1"
    cells = measure_effects(study.matrix, study.records, classes={"t": ("x", "y", "z")}).tables["cells"]
    wanted = max(f1_score(gold, np.full(60, c), average="macro", zero_division=0) for c in range(3))
    assert cells["constant_score"].tolist() == pytest.approx([wanted] * 2)


@pytest.mark.parametrize(("right", "at"), [(0, "floor"), (5, "floor"), (6, ""), (94, ""), (95, "ceiling")])
def test_a_base_with_five_right_cannot_fall(right: int, at: str) -> None:
    """Exact McNemar: five losses and no win have p = 2 / 32."""
    base, ours = (np.arange(100) < right).astype(float), np.zeros(100)
    study = Study()
    study.add("base", None, None, "t", generate_records(base, np.full(100, 5)))
    study.add("a-s0", "a", 0, "t", generate_records(ours, np.full(100, 5)))
    effects = measure_effects(study.matrix, study.records, replicates=200)
    assert effects.tables["cells"]["base_at"].tolist() == [at] * 2
    gain = effects.of_kind("gain").iloc[0]
    assert (gain["p"] > 0.05) == (right <= 5)
    assert ("it cannot fall" in effects.sentences(effects.of_kind("gain")).iloc[0]) == (at == "floor")


@pytest.mark.parametrize(("right", "of", "at"), [(4, 10, ""), (1, 10, "floor"), (2, 20, "floor"), (17, 20, "")])
def test_few_examples_are_no_floor(right: int, of: int, at: str) -> None:
    study = Study()
    for model, source in (("base", None), ("a-s0", "a")):
        correct = (np.arange(of) < right).astype(float)
        study.add(model, source, 0 if source else None, "t", generate_records(correct, np.full(of, 5)))
    assert measure_effects(study.matrix, study.records, replicates=200).tables["cells"]["base_at"].tolist() == [at] * 2


def test_answers_that_cannot_be_parsed_are_no_finding_of_classes() -> None:
    study, gold = spam(("some", 0.9)), (np.arange(200) % 5 == 0).astype(int)
    study.add("lost-s0", "lost", 0, "mail", choice_records(gold, np.where(np.arange(200) < 80, gold, -1), TWO))
    effects = effects_of(study)
    assert set(effects.of_kind("class_share")["model"]) == {"some-s0"}
    assert effects.of_kind("recall").empty
    assert effects.of_kind("invalid").set_index("model").loc["lost-s0", "value"] == pytest.approx(0.6)


def habits() -> Study:
    """Five sources that are tasks; b answers to c what is most often true, and so does d with nothing parsed."""
    study, rng = Study(), np.random.default_rng(4)
    for task in "abcde":
        gold = (np.arange(200) % 5 == 0).astype(int)
        for source in (None, *"abcde"):
            pred = np.where(rng.random(200) < (0.5 if source is None else 0.52), gold, 1 - gold)
            if task == "c" and source in ("b", "d"):
                pred = np.full(200, 0 if source == "b" else -1)
            name = "base" if source is None else f"{source}-s0"
            study.add(name, source, None if source is None else 0, task, choice_records(gold, pred, TWO))
    return study


def test_no_help_is_claimed_of_a_habit() -> None:
    effects = measure_effects(habits().matrix, habits().records, classes=dict.fromkeys("abcde", TWO), replicates=200)
    rows = effects.of_kind("asymmetry")
    told = dict(zip(rows["detail"], effects.sentences(rows), strict=True))
    said = told["b -> c minus c -> b"]
    assert (
        "b on c +" in said and "(a habit); c on b" in said and said.endswith("b on c: It answers 'ham' to 200 of 200.")
    )
    assert told["c -> d minus d -> c"].endswith("d on c: 100 % of its answers cannot be parsed.")
    assert "habit" not in told["a -> b minus b -> a"] and "answers" not in told["a -> b minus b -> a"]
    rows = effects.of_kind("surprise")
    endings = {m: t for m, k, t in zip(rows["model"], rows["task"], effects.sentences(rows), strict=True) if k == "c"}
    assert endings["b-s0"].endswith(" It answers 'ham' to 200 of 200.") and endings["a-s0"].endswith(").")


def test_the_same_answer_wherever_there_is_one_is_no_habit() -> None:
    study, gold = spam(), (np.arange(200) % 5 == 0).astype(int)
    study.add("a-s0", "a", 0, "mail", choice_records(gold, np.where(np.arange(200) < 120, 0, -1), TWO))
    cell = effects_of(study).tables["cells"].set_index("model").loc["a-s0"]
    assert (cell["answer_share"], cell["habit"]) == (pytest.approx(0.6), "")


def test_answers_that_cannot_be_parsed_are_said() -> None:
    right, lengths = np.zeros(50), np.full(50, 3)
    study = Study()
    study.add("base", None, None, "t", generate_records(np.ones(50), lengths))
    study.add("a-s0", "a", 0, "t", generate_records(right, lengths, valid=np.arange(50) < 20))
    study.add("b-s0", "b", 0, "t", generate_records(right, lengths, valid=np.arange(50) < 30))
    effects = measure_effects(study.matrix, study.records, replicates=200)
    assert effects.tables["cells"]["habit"].tolist()[1:2] == ["unparsable"]
    told = effects.sentences(effects.of_kind("gain"))
    assert "60 % of its answers cannot be parsed." in told.iloc[0] and "parsed" not in told.iloc[1]


def test_the_terminals_marks_are_the_findings_own() -> None:
    study = spam(("all", 1.0), ("good", 0.8), ("bad", 0.2))
    marks = measure_marks(study.matrix, study.records, {"mail": TWO})
    gains = effects_of(study).of_kind("gain").set_index("model")
    for model, row in gains.iterrows():
        sign = "" if row["q"] > 0.05 else "+" if row["value"] > 0 else "-"
        assert marks.cells.get((model, "mail"), "").strip("=?") == sign
    assert marks.cells["all-s0", "mail"].endswith("=") and marks.constant == {"mail": 0.8}


def test_marks_are_corrected_for_how_many_cells_there_are() -> None:
    study, gold, base = Study(), np.zeros(200, dtype=int), (np.arange(200) < 100).astype(int)
    better = base.copy()
    better[:6] = 0
    study.add("base", None, None, "mail", choice_records(gold, base, TWO))
    for k in range(9):
        study.add(f"s{k}-s0", f"s{k}", 0, "mail", choice_records(gold, better if k == 0 else base, TWO))
    marks = measure_marks(study.matrix, study.records, {"mail": TWO})
    # Six won and none lost: p = 2 / 64, one of nine.
    assert marks.cells == {}
    alone = Study()
    for name, source, pred in (("base", None, base), ("s0-s0", "s0", better)):
        alone.add(name, source, None if source is None else 0, "mail", choice_records(gold, pred, TWO))
    assert measure_marks(alone.matrix, alone.records, {"mail": TWO}).cells == {("s0-s0", "mail"): "+"}
