"""The packages that a number depends on: written into ``lock.json``, and the same wherever a run's work is done."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "transformers", "tokenizers", "peft", "safetensors", "datasets", "numpy", "pyarrow")


def packages() -> dict[str, str | None]:
    """The version of each of ``PACKAGES``; None where it is not installed."""
    return {name: _version(name) for name in PACKAGES}


def unlike(ours: Mapping[str, str | None], theirs: Mapping[str, str | None]) -> list[str]:
    """What differs, as ``peft 0.21.2 here, 0.20.0 there``.

    What stands behind a ``+`` is left out: a run may be led from a machine whose torch was built without CUDA.
    """
    found = []
    for name, here in ours.items():
        there = theirs.get(name)
        if (here or "").partition("+")[0] != (there or "").partition("+")[0]:
            found.append(f"{name} {here or 'not installed'} here, {there or 'not installed'} there")
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
