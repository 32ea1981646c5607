"""The public names exist, are documented, and cost nothing until used."""

from __future__ import annotations

import inspect

import pytest

import traitscope


@pytest.mark.parametrize("name", traitscope.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    thing = getattr(traitscope, name)
    assert inspect.getdoc(thing), f"{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = traitscope.nonsense
