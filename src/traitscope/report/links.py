"""Addresses inside the page."""

from __future__ import annotations

from urllib.parse import quote

from traitscope.texts import safe


def address(model: str, task: str) -> str:
    """Where a cell's panel opens in the page: ``#cell/model/task``, each as encodeURIComponent writes it."""
    return "#cell/" + "/".join(quote(safe(name), safe="!'()*-._~") for name in (model, task))
