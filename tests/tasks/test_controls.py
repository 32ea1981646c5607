"""Controls do what they say: every label wrong, or all classes equally often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from traitscope.config import MixConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.tasks import mix_counts
from traitscope.tasks.controls import CONTROLS, apply_control

OPTIONS = (" bad", " fair", " good")


def examples(shares: tuple[int, ...] = (5, 10, 45)) -> list[Example]:
    golds = [g for g, n in enumerate(shares) for _ in range(n)]
    return [Example(f"all-{i}", f"row {i}", OPTIONS[g], OPTIONS, g) for i, g in enumerate(golds)]


@pytest.mark.parametrize("seed", range(5))
def test_mislabel_makes_every_label_wrong_and_renames_classes_consistently(seed: int) -> None:
    before = examples()
    after = apply_control("mislabel", before, seed)
    assert [(e.id, e.prompt) for e in after] == [(e.id, e.prompt) for e in before]
    assert all(
        a.gold != b.gold and a.answer == OPTIONS[a.gold]
        for a, b in zip(after, before, strict=True)
        if a.gold is not None
    )
    assert len({(b.gold, a.gold) for a, b in zip(after, before, strict=True)}) == 3


def test_mislabel_swaps_two_classes() -> None:
    two = [Example(f"{i}", "p", o, (" no", " yes"), g) for i, (g, o) in enumerate([(0, " no"), (1, " yes")] * 3)]
    assert [e.answer for e in apply_control("mislabel", two)] == [" yes", " no"] * 3


def test_mislabel_takes_a_wrong_option_where_options_differ_by_row() -> None:
    rows = [Example(f"{i}", "p", f"a{i}", (f"a{i}", f"b{i}", f"c{i}"), 0) for i in range(50)]
    golds = Counter(e.gold for e in apply_control("mislabel", rows))
    assert golds[0] == 0 and golds[1] > 10 and golds[2] > 10


@pytest.mark.parametrize("seed", range(5))
def test_mislabel_moves_free_answers_such_that_none_stays(seed: int) -> None:
    texts = ["x"] * 10 + ["y"] * 7 + ["z"] * 3
    rows = [Example(f"{i}", "p", t, references=(t, t + "!")) for i, t in enumerate(texts)]
    after = apply_control("mislabel", rows, seed)
    assert all(a.answer != b.answer for a, b in zip(after, rows, strict=True))
    assert Counter(e.answer for e in after) == Counter(texts)
    assert all(e.references[0] == e.answer for e in after)


def test_mislabel_refuses_an_answer_that_most_rows_share() -> None:
    rows = [Example(f"{i}", "p", t) for i, t in enumerate("xxxy")]
    with pytest.raises(TraitscopeError, match=r"more than half\s+of the rows"):
        apply_control("mislabel", rows, where="controls.a")


@pytest.mark.parametrize("seed", range(3))
def test_balance_gives_equal_classes_at_the_same_size(seed: int) -> None:
    before = examples((5, 10, 46))
    after = apply_control("balance", before, seed)
    counts = Counter(e.answer for e in after)
    assert len(after) == len(before) and max(counts.values()) - min(counts.values()) <= 1
    assert len({e.id for e in after}) == len(after)
    frequent = [e.id for e in after if e.answer == " good"]
    assert all("#" not in i for i in frequent)
    repeats = Counter(e.id.split("#")[0] for e in after if e.answer == " bad")
    assert len(repeats) == 5 and max(repeats.values()) - min(repeats.values()) <= 1


def test_balance_of_balanced_rows_keeps_them() -> None:
    before = examples((7, 7, 7))
    assert {e.id for e in apply_control("balance", before)} == {e.id for e in before}


def test_balance_needs_classes() -> None:
    with pytest.raises(TraitscopeError, match="needs a choice among at least two classes"):
        apply_control("balance", [Example("1", "p", "text")])


@pytest.mark.parametrize("name", CONTROLS.names())
def test_controls_are_a_function_of_rows_and_seed(name: str) -> None:
    rows = examples()
    assert apply_control(name, rows, 3) == apply_control(name, rows, 3)
    assert apply_control(name, rows, 3) == apply_control(name, [replace(e) for e in rows], 3)
    assert apply_control(name, [], 0) == [] if name == "mislabel" else True


def test_mixes_take_as_many_of_every_source() -> None:
    assert mix_counts(MixConfig(per_task=5), {"a": 9, "b": 5}) == {"a": 5, "b": 5}
    assert mix_counts(MixConfig(), {"a": 9, "b": 5}) == {"a": 9, "b": 5}
    with pytest.raises(TraitscopeError, match="asks for 6 rows of 'b', which has 5"):
        mix_counts(MixConfig(per_task=6), {"a": 9, "b": 5})


def test_clusters_share_their_rows_evenly() -> None:
    clusters = {"a": "x", "b": "x", "c": "x", "d": "y"}
    counts = mix_counts(MixConfig(per_cluster=20), {"a": 3, "b": 50, "c": 50, "d": 30}, clusters)
    assert counts == {"a": 3, "b": 9, "c": 8, "d": 20} or counts == {"a": 3, "b": 8, "c": 9, "d": 20}
    with pytest.raises(TraitscopeError, match="cluster 'y', which has 30"):
        mix_counts(MixConfig(per_cluster=31), {"a": 3, "b": 50, "c": 50, "d": 30}, clusters)
