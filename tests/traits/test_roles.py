"""Roles of rows and relations of cells in a matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix import Role, ScoreMatrix
from traitscope.matrix.roles import roles_from_pairs


def table(models: dict[str, str | None], tasks: tuple[str, ...] = ("a", "b", "c")) -> pd.DataFrame:
    rows = [{"model": m, "source": s, "task": t, "value": 0.5} for m, s in models.items() for t in tasks]
    return pd.DataFrame(rows)


def test_equal_names_are_own_and_dots_are_controls_where_nobody_says_more() -> None:
    scores = ScoreMatrix.from_long(
        table({"base": None, "a-s0": "a", "a-s1": "a", "a.mislabel-s0": "a.mislabel", "v1.5-s0": "v1.5", "chat": None})
    )
    assert [role.kind for role in scores.roles_I] == ["base", "source", "source", "control", "source", "foreign"]
    assert scores.relation_IN.tolist() == [
        ["model"] * 3, ["own", "transfer", "transfer"], ["own", "transfer", "transfer"],
        ["copy", "transfer", "transfer"], ["transfer"] * 3, ["model"] * 3,
    ]  # fmt: skip
    wanted = [[True] * 3, [False, True, True], [False, True, True], [False] * 3, [True] * 3, [False] * 3]
    assert scores.transfer_IN.tolist() == wanted
    assert scores.by_source().transfer_IN.tolist() == [wanted[0], wanted[1], *wanted[3:]]
    assert scores.select(tasks=["b", "a"]).relation_IN[1].tolist() == ["own", "transfer"]


def test_a_task_may_bear_its_sources_name_before_a_slash() -> None:
    rows = {"base": None, "imdb": "imdb", "imdb.mislabel": "imdb.mislabel", "law": "law"}
    scores = ScoreMatrix.from_long(table(rows, ("imdb/accuracy", "imdb/f1", "tax/law", "imdbs")))
    assert scores.relation_IN.tolist() == [
        ["model"] * 4,
        ["own", "own", "transfer", "transfer"],
        ["copy", "copy", "transfer", "transfer"],
        ["transfer"] * 4,
    ]


def test_a_version_is_no_control() -> None:
    scores = ScoreMatrix.from_long(table({"base": None, "llama-3": "llama-3", "llama-3.1": "llama-3.1"}))
    assert [role.kind for role in scores.roles_I] == ["base", "source", "source"]


def test_every_row_of_a_plain_table_is_a_source() -> None:
    frame = pd.DataFrame(np.ones((3, 2)), index=["base", "a", "other"], columns=["a", "b"])
    scores = ScoreMatrix.from_wide(frame)
    assert [role.kind for role in scores.roles_I] == ["base", "source", "source"]
    assert scores.relation_IN.tolist() == [["model"] * 2, ["own", "transfer"], ["transfer"] * 2]


def test_roles_that_are_given_count_alone() -> None:
    roles = {"a": Role("source", frozenset("b")), "all": Role("mix", frozenset("ab"), frozenset("bc"))}
    scores = ScoreMatrix.from_long(table({"base": None, "a-s0": "a", "all-s0": "all", "c-s0": "c"}), roles=roles)
    assert scores.relation_IN.tolist()[1:] == [
        ["transfer", "own", "transfer"], ["own", "own", "copy"], ["model"] * 3,
    ]  # fmt: skip
    assert scores.transfer_IN.sum(axis=1).tolist() == [3, 2, 0, 0]


def test_pairs_say_what_is_own() -> None:
    found = roles_from_pairs(["x", "y"], ["a", "b"], [("x", "a", "own"), ("x", "b", "copy")], "pairs.csv")
    assert found == {"x": Role("source", frozenset("a"), frozenset("b")), "y": Role("source")}
    for pair, says in ((("z", "a", "own"), "'z'"), (("x", "q", "own"), "'q'"), (("x", "a", "mine"), "'mine'")):
        with pytest.raises(TraitscopeError, match=says):
            roles_from_pairs(["x", "y"], ["a", "b"], [pair], "pairs.csv")


def test_a_known_deviation_between_runs_is_an_error_of_every_trained_row() -> None:
    data = table({"base": None, "a-s0": "a", "a-s1": "a", "b-s0": "b"})
    scores = ScoreMatrix.from_long(data.assign(stderr=0.03), units="fraction").with_run_sd(2.0)
    noise = scores.by_source().noise()
    assert noise is not None
    by_hand = np.array([0.0, 0.02**2 / 2, 0.02**2])[:, None] * np.ones(3)
    np.testing.assert_allclose(noise.seed_variance_IN, by_hand)
    drawn = noise.draw_seeds(4000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.std(axis=0), np.sqrt(by_hand), rtol=0.06, atol=1e-12)
