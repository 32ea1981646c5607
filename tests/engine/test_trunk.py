"""Layers that a model leaves to the base are computed once for all models, with the same result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from helpers import CONFIGS, TinyTokenizer, known_model, random_adapters, tiny_model
from test_inference_exact import option_rows

from traitscope.engine import Bank, Gated, capture, score, score_options, trunk
from traitscope.records import PromptRow


@pytest.mark.parametrize("architecture", [name for name in CONFIGS if name != "bloom"])
def test_shared_layers_change_no_score(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = known_model(tiny_model(architecture, torch.float32), TinyTokenizer(), name=architecture)
    wide = random_adapters(base)["wide"]
    models = {
        "base": None, "wide": wide, "top": Gated(wide, on=(2, 2)), "upper": Gated(wide, on=(1, 2)),
        "not low": Gated(wide, off=(0, 1)), "low": Gated(wide, on=(0, 0)), "not mid": Gated(wide, off=(1, 1)),
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
    # Layers with the adapter: base ---, wide xxx, top --x, upper -xx, not low --x, low x--, not mid x-x.
    assert made[0].starts == [0, 0, 2, 1, 3, 1, 2]
    assert made[0].keeps == [[2, 1], [1], [3], [], [], [2], []]
    assert made[0].skipped_layers > 0
    assert not made[1].stems
    assert made[1].skipped_layers == 0
    for name in models:
        for a, b in zip(shared[name], whole[name], strict=True):
            assert np.concatenate(a) == pytest.approx(np.concatenate(b), abs=1e-6)
    assert all("forward" not in vars(layer) for layer in base.layers)


@pytest.mark.parametrize("shared", [0, 20])
def test_shared_layers_change_no_hidden_state(shared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base = known_model(tiny_model("llama", torch.float64), TinyTokenizer(), name="llama")
    wide = random_adapters(base)["wide"]
    models = {
        "wide": wide, "low": Gated(wide, on=(0, 0)), "upper": Gated(wide, on=(1, 2)), "base": None,
        "top": Gated(wide, on=(2, 2)), "not top": Gated(wide, off=(2, 2)),
    }  # fmt: skip
    prompts = [PromptRow(row.context) for row in option_rows(shared)]
    skipped: list[int] = []
    whole_model = trunk.Trunk.model

    @contextmanager
    def counted(self: trunk.Trunk, lowest: int, rows: tuple[int, ...]) -> Iterator[int]:
        with whole_model(self, lowest, rows) as first:
            skipped.append(first)
            yield first

    monkeypatch.setattr(trunk.Trunk, "model", counted)
    with Bank(base, models) as bank:
        found = capture(bank, prompts, tokens_per_pass=60, merge=True, normed=True)
        in_slots = capture(bank, prompts, tokens_per_pass=60, merge=False, normed=True)
    assert max(skipped) == 2
    for name in models:
        assert found[name] == pytest.approx(in_slots[name], abs=1e-6, rel=1e-6)
    assert np.abs(found["top"][3] - found["base"][3]).max() > 1e-3


def test_what_no_later_model_needs_is_dropped_and_what_would_not_fit_is_never_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")
    wide = random_adapters(base)["wide"]
    models = {
        f"{side} {layer}": Gated(wide, **{side: (layer, layer)}) for layer in range(3) for side in ("off", "on")
    }  # fmt: skip
    with Bank(base, models) as bank:
        stems = [bank.stem(slot) for slot in range(6)]
        made = trunk.Trunk(base, stems, n_tokens=10)
        # Layers with the adapter: -xx, x--, x-x, -x-, xx-, --x.
        assert made.starts == [0, 0, 2, 2, 1, 1]
        assert made.last_use == {stems[1][:2]: 2, stems[0][:2]: 3, stems[1][:1]: 4, stems[0][:1]: 5}
        most = 4 * 10 * base.hidden_size * 4
        monkeypatch.setattr(trunk, "KEEP_BYTES", most)
        assert trunk.Trunk(base, stems, n_tokens=10).stems
        monkeypatch.setattr(trunk, "KEEP_BYTES", most - 1)
        assert not trunk.Trunk(base, stems, n_tokens=10).stems
        held = []
        for slot in range(6):
            with bank.merged(slot), made.model([slot], (0,)), torch.no_grad():
                base.model(torch.arange(10)[None] % base.vocab_size)
            held.append(len(made.kept))
    assert held == [2, 4, 4, 3, 2, 1]
