"""Rows of several models brought together: ids, non-finite values, equal n."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.layers import Acts, align, per_model


def acts(n: int = 10, d: int = 4, layers: int = 3, seed: int = 0) -> Acts:
    states = np.random.default_rng(seed).standard_normal((layers, n, d)).astype(np.float32)
    return Acts(tuple(f"e{i}" for i in range(n)), states)


def test_a_non_finite_row_of_one_model_leaves_all_models() -> None:
    a, b = acts(), acts(d=6, seed=1)
    a.acts_LSD[1, 3, 0] = np.nan
    b.acts_LSD[2, 7, 5] = np.inf
    found = align("t", {"a": a, "b": b})
    assert found.n_nonfinite == 2
    assert found.ids == tuple(f"e{i}" for i in range(10) if i not in (3, 7))
    np.testing.assert_array_equal(found.models["b"], b.acts_LSD[:, [0, 1, 2, 4, 5, 6, 8, 9]])


def test_large_finite_values_are_kept() -> None:
    a = acts(d=2)
    a.acts_LSD[:, 0] = np.finfo(np.float32).max
    assert align("t", {"a": a}).n_nonfinite == 0


def test_every_model_gets_the_same_seeded_rows_in_the_given_order() -> None:
    given = {"a": acts(50), "b": acts(50, seed=1)}
    first, again = (align("t", given, n=20, seed=3) for _ in range(2))
    assert first.ids == again.ids
    assert first.n == 20
    positions = [int(i[1:]) for i in first.ids]
    assert positions == sorted(positions)
    for name in given:
        np.testing.assert_array_equal(first.models[name], given[name].acts_LSD[:, positions])
    assert align("t", given, n=20, seed=4).ids != first.ids
    assert align("other", given, n=20, seed=3).ids != first.ids
    assert first.n_over_d == 5.0


def test_another_order_of_examples_is_an_error_that_names_the_place() -> None:
    a, b = acts(), acts(seed=1)
    swapped = Acts((*b.ids[:4], b.ids[5], b.ids[4], *b.ids[6:]), b.acts_LSD)
    with pytest.raises(TraitscopeError, match=r"layers: t: b: example 4 is 'e5', but 'e4' for a"):
        align("t", {"a": a, "b": swapped})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (acts(9), "9 examples, but a has 10"),
        (acts(layers=4), "4 layers, but a has 3"),
        (Acts(("x",), np.zeros((3, 2, 4))), "for 1 ids"),
    ],
)
def test_shapes_that_do_not_fit_are_errors(other: Acts, words: str) -> None:
    with pytest.raises(TraitscopeError, match=words):
        align("t", {"a": acts(), "b": other})


def test_repeated_ids_and_too_few_rows_are_errors() -> None:
    a = acts()
    with pytest.raises(TraitscopeError, match="repeat"):
        align("t", {"a": Acts(("e0",) * 10, a.acts_LSD)})
    with pytest.raises(TraitscopeError, match=r"10 of 10 rows remain \(0 not finite\), 11 are needed"):
        align("t", {"a": a}, n=11)
    with pytest.raises(TraitscopeError, match="no hidden states"):
        align("t", {})


def test_a_function_of_model_and_task_becomes_a_provider() -> None:
    provider = per_model(lambda model, task: acts(seed=len(model) + len(task)))
    assert set(provider("t", ("a", "bb"))) == {"a", "bb"}
