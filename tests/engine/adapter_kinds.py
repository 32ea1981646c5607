"""Adapters made and saved by PEFT, read by it and by the engine."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TinyTokenizer, known_model, tiny_model
from peft import LoraConfig, PeftModel, get_peft_model

from traitscope.engine import Adapter, Bank, score_options
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow

ROW = OptionRow((7, 8, 9, 3, 1), ((11, 12, 40), (13,), (60, 2)))
ARCHITECTURES = ("llama", "gpt2")
SOME = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn", "mlp.c_proj"]}
ONE = {"llama": "q_proj", "gpt2": "c_attn"}
LAYERS = {"llama": "layers", "gpt2": "h"}
FIRST = {"llama": "model.layers.0.self_attn.q_proj", "gpt2": "transformer.h.0.attn.c_attn"}


def made(architecture: str, **given: Any) -> tuple[torch.nn.Module, PeftModel]:
    """A base and an adapter on a copy of it whose update is large: logits move by nats."""
    model = tiny_model(architecture, torch.float32)
    given = {"target_modules": SOME[architecture], "r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", **given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = get_peft_model(copy.deepcopy(model), LoraConfig(**given)).eval()
    enlarge(peft)
    return model, peft


def enlarge(peft: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)


def logprobs(model: torch.nn.Module) -> list[float]:
    """Log-likelihoods of the options' tokens, each option a row of its own."""
    out: list[float] = []
    for option in ROW.options:
        ids = torch.tensor([[*ROW.context, *option]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0].log_softmax(-1)
        out += [float(logits[len(ROW.context) - 1 + i, token]) for i, token in enumerate(option)]
    return out


def ours(model: torch.nn.Module, folder: Path, name: str = "") -> tuple[list[float], list[float]]:
    """The same of the engine, for the adapter and for the base."""
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=name or type(model).__name__)
    with Bank(base, {"a": Adapter.load(folder, base), "base": None}) as bank:
        scores = score_options(bank, [ROW])
    return tuple([float(x) for option in scores[who][0] for x in option] for who in ("a", "base"))  # type: ignore


def agree(model: torch.nn.Module, folder: Path) -> None:
    """The engine computes what PEFT computes after loading the folder, which is far from the base."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = logprobs(PeftModel.from_pretrained(copy.deepcopy(model), folder).eval())
    mine, alone = ours(model, folder)
    assert mine == pytest.approx(theirs, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(mine, alone, strict=True)) > 0.3
    # Loaded and saved again, PEFT computes the same.
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="tiny")
    Adapter.load(folder, base).save(folder / "again", base)
    again = logprobs(PeftModel.from_pretrained(copy.deepcopy(model), folder / "again").eval())
    assert again == pytest.approx(theirs, abs=1e-4)
    assert Adapter.load(folder / "again", base).fingerprint == Adapter.load(folder, base).fingerprint


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(model: torch.nn.Module, folder: Path, key: str, fix: str) -> None:
    """The error names the key that asks for what is not done, and says what to do instead."""
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="tiny")
    with pytest.raises(TraitscopeError) as caught:
        Adapter.load(folder, base)
    assert key in caught.value.what
    assert fix in caught.value.fix
    assert str(folder) in caught.value.where
