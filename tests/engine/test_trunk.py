"""Layers that a model leaves to the base are computed once for all models, with the same result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import CONFIGS, TinyTokenizer, random_adapters, tiny_model
from test_inference_exact import option_rows

from traitscope.engine import Bank, Gated, score, score_options, trunk, wrap_model


@pytest.mark.parametrize("architecture", [name for name in CONFIGS if name != "bloom"])
def test_shared_layers_change_no_score(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = wrap_model(tiny_model(architecture, torch.float32), TinyTokenizer(), name=architecture)
    wide = random_adapters(base)["wide"]
    models = {
        "base": None, "wide": wide, "top": Gated(wide, on=(2, 2)), "upper": Gated(wide, on=(1, 2)),
        "not low": Gated(wide, off=(0, 1)), "low": Gated(wide, on=(0, 0)),
    }  # fmt: skip
    made = []

    class Counting(trunk.Trunk):
        def __init__(self, *args) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(score, "Trunk", Counting)
    with Bank(base, models) as bank:
        shared = score_options(bank, option_rows(20), tokens_per_pass=150, merge=True)
        monkeypatch.setattr(trunk, "KEEP_BYTES", 0)
        whole = score_options(bank, option_rows(20), tokens_per_pass=150, merge=True)
    assert made[0].boundaries == [1, 2]
    assert made[0].skipped_layers > 0
    assert made[1].skipped_layers == 0
    for name in models:
        for a, b in zip(shared[name], whole[name], strict=True):
            assert np.concatenate(a) == pytest.approx(np.concatenate(b), abs=1e-6)
    assert all("forward" not in vars(layer) for layer in base.layers)
