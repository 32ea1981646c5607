"""The public names exist, are documented, and cost nothing until used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import traitscope


@pytest.mark.parametrize("name", traitscope.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    thing = getattr(traitscope, name)
    assert inspect.getdoc(thing), f"{name} has no docstring"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, traitscope; "
        "print([m for m in ('torch', 'transformers', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = traitscope.nonsense
