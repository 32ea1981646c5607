"""Mixes that say the rows of every source."""

from __future__ import annotations

import pytest

from traitscope.config import MixConfig
from traitscope.errors import TraitscopeError
from traitscope.tasks.mix import mix_counts


def test_rows_are_those_that_are_named() -> None:
    assert mix_counts(MixConfig(rows={"a": 3, "b": 7}), {"a": 9, "b": 7}) == {"a": 3, "b": 7}


def test_more_than_there_are_is_refused_with_the_number_that_there_are() -> None:
    with pytest.raises(TraitscopeError, match="asks for 8 rows of 'b', which has 7") as error:
        mix_counts(MixConfig(rows={"a": 3, "b": 8}), {"a": 9, "b": 7})
    assert "b: 7" in str(error.value.fix)


def test_bounds_take_all_of_what_has_fewer_rows() -> None:
    available = {"a": 9, "b": 4, "c": 30, "d": 2}
    assert mix_counts(MixConfig(per_task=5, at_most=True), available) == {"a": 5, "b": 4, "c": 5, "d": 2}
    clusters = {"a": "one", "b": "one", "c": "two", "d": "three"}
    bounded = MixConfig(per_cluster=12, at_most=True)
    # Of cluster one twelve of thirteen rows, the smaller source whole; of three both that there are.
    assert mix_counts(bounded, available, clusters) == {"a": 8, "b": 4, "c": 12, "d": 2}
    with pytest.raises(TraitscopeError, match="asks for 12 rows of the cluster 'three', which has 2"):
        mix_counts(MixConfig(per_cluster=12), available, clusters)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"at_most": True}, "at_most bounds nothing here"),
        ({"at_most": True, "rows": {"a": 1}}, "at_most bounds nothing here"),
        ({"rows": {"a": 1}, "per_task": 2}, "per_task and rows are given together"),
        ({"rows": {"a": 1}, "of": ["a"]}, "of and rows both name the sources"),
        ({"rows": {}}, "made of nothing"),
        ({"rows": None}, "made of nothing"),
        ({"rows": {"a": 0}}, "greater than or equal to 1"),
        ({"rows": {"a": True}}, "whole number"),
        ({"rows": {"a": "4"}}, "whole number"),
    ],
)
def test_what_contradicts_itself_is_refused(given, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MixConfig(**given)
