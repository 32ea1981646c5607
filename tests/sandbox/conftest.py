"""Every way to keep programs apart that works on this machine."""

from __future__ import annotations

import shutil
from functools import cache

import pytest

from traitscope.sandbox import Isolation
from traitscope.sandbox import run as run_module

WAYS = [Isolation("namespaces"), *([Isolation("bubblewrap", found)] if (found := shutil.which("bwrap")) else [])]


fault_of = cache(run_module.fault_of)


@pytest.fixture(params=WAYS, ids=[way.kind for way in WAYS])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Isolation:
    found: Isolation = request.param
    if fault_of(found) is not None:
        pytest.skip(f"no {found.kind} on this machine")
    monkeypatch.setattr(run_module, "PATIENCE", 1.7)
    return found
