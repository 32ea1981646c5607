"""Adapters that a study names and that do not fit: ``check`` tells it in the words of the engine that loads them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_unfit_bases import adapter

from traitscope.engine import Adapter, Base, load_base
from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.study.checking import check_study

QUERY = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
BOMB = "(.*.*.*.*.*)*x"
SLOW = r"(.|\w)+(?<=5)"


@pytest.fixture(scope="module")
def loaded(base: Path) -> Base:
    return load_base(base, device="cpu")


def says(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: adapter(folder, **changes)


def holds(change: Callable[[dict[str, torch.Tensor]], object], **changes: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        adapter(folder, **changes)
        path = folder / "adapter_model.safetensors"
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(tensors)
        path.unlink()
        save_file(tensors, path)

    return act


def everything(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    return holds(lambda t: t.update({name: change(tensor) for name, tensor in t.items()}))


def deep(tensors: dict[str, torch.Tensor]) -> None:
    tensors.update({QUERY.format(9, "A"): torch.ones(2, 32), QUERY.format(9, "B"): torch.ones(32, 2)})


def pipe(folder: Path) -> None:
    adapter(folder)
    (folder / "adapter_model.safetensors").unlink()
    os.mkfifo(folder / "adapter_model.safetensors")


NOT_A_NUMBER = "is {}, and not a number of 1e-06 to 1e+06"
UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a rank that the tensors do not have": (says(r=4), "have rank 2, the configuration says 4"),
    "a rank of none": (says(r=0), "r is 0, and not a whole number of 1 to 65536"),
    "a rank of a half": (says(r=2.5), "r is 2.5, and not a whole number"),
    "a rank that is true": (says(r=True), "r is True, no number"),
    "another rank in one layer": (says(rank_pattern={"layers.0.self_attn.q_proj": 7}), "configuration says 7"),
    "a rank below zero in one layer": (says(rank_pattern={"q_proj": -2}), "rank_pattern q_proj is -2, and not"),
    "a list of ranks": (says(rank_pattern=[2]), "rank_pattern is [2], which cannot be"),
    "an alpha that is no number": (says(lora_alpha=float("nan")), "lora_alpha " + NOT_A_NUMBER.format("nan")),
    "an alpha without end": (says(lora_alpha=float("inf")), "lora_alpha " + NOT_A_NUMBER.format("inf")),
    "an alpha below all ends": (says(lora_alpha=float("-inf")), "lora_alpha " + NOT_A_NUMBER.format("-inf")),
    "an alpha of zero": (says(lora_alpha=0), "lora_alpha " + NOT_A_NUMBER.format(0)),
    "a huge alpha": (says(lora_alpha=1e30), "lora_alpha " + NOT_A_NUMBER.format("1e+30")),
    "an alpha in words": (says(alpha_pattern={"q_proj": "4"}), "alpha_pattern q_proj is '4', no number"),
    "no alpha in one layer": (says(alpha_pattern={"q_proj": float("nan")}), "alpha_pattern q_proj is nan"),
    "a dropout of all": (says(lora_dropout=1.0), "lora_dropout is 1.0"),
    "other modules": (says(target_modules=["v_proj"]), "which its configuration does not target"),
    "modules in a mapping": (says(target_modules={"q_proj": 1}), "target_modules is {'q_proj': 1}, which cannot be"),
    "one layer of two": (says(layers_to_transform=[0]), "layers.1.self_attn.q_proj, which its configuration"),
    "a layer in words": (says(layers_to_transform=["0"]), "layers_to_transform is ['0'], which cannot be"),
    "a pattern of layers": (says(layers_to_transform=[0], layers_pattern=BOMB), "layers_pattern is"),
    "modules that no search finds": (says(target_modules=BOMB), "which its configuration does not target"),
    "a search of a name's beginning": (says(target_modules=".*self_attn"), "which its configuration does not target"),
    "a search without end": (says(target_modules=SLOW), "takes too long on the model's"),
    "a rank by a search without end": (says(rank_pattern={SLOW: 2}), "takes too long"),
    "no regular expression": (says(target_modules="q_proj("), "is no regular expression"),
    "no regular expression of a rank": (says(rank_pattern={"(": 2}), "is no regular expression"),
    "A alone": (holds(lambda t: [t.pop(QUERY.format(n, "B")) for n in (0, 1)]), "has only one of A and B"),
    "a layer that the base lacks": (holds(deep), "layers.9.self_attn.q_proj, which is no linear layer"),
    "whole numbers": (everything(lambda x: x.to(torch.int8)), "torch.int8"),
    "another width": (everything(lambda x: x.repeat(2, 2)), "do not fit a 32 -> 32 layer"),
    "weights that are no numbers": (everything(lambda x: x * float("nan")), "NaN or infinite"),
    "weights of 10^38": (everything(lambda x: x.sign() * 1e38), "weights beyond 10^12"),
    "weights of zero": (everything(torch.zeros_like), "changes nothing: every update B A is zero"),
    "a pipe": (pipe, "no adapter_model.safetensors"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_check_says_what_the_engine_says(
    name: str, loaded: Base, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it, told = UNFIT[name]
    folder = tmp_path / "adapter"
    folder.mkdir()
    break_it(folder)
    monkeypatch.setattr("traitscope.store.patterns.SECONDS", 0.2)
    study_file.write_text(f"{study_file.read_text()}models: {{other: {folder}}}\n")
    start = time.monotonic()
    with pytest.raises(TraitscopeError) as engines:
        Adapter.load(folder, loaded)
    with pytest.raises(TraitscopeError) as checks:
        check_study(Study.open(study_file))
    assert time.monotonic() - start < 8
    assert told in checks.value.what, checks.value
    assert checks.value.what.replace(loaded.name, "") == engines.value.what.replace(loaded.name, "")
    assert checks.value.fix and str(folder) in str(checks.value.where)
    # Before anything is made: a pipe would be waited for when the study asks what its models are.
    with pytest.raises(TraitscopeError):
        Study.open(study_file).run()
    assert not (study_file.parent / "runs").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target_modules": r".*\.self_attn\.(q|k)_proj"},
        {"lora_alpha": -4},
        {"r": 2.0},
        {"rank_pattern": {r"self_attn\..*": 2}},
        {"exclude_modules": ".*v_proj"},
        {"layers_to_transform": [0, 1], "layers_pattern": "layers"},
    ],
    ids=str,
)
def test_what_peft_takes_is_taken(changes: dict[str, Any], study_file: Path, tmp_path: Path, loaded: Base) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "adapter"
    folder.mkdir()
    adapter(folder, **changes)
    study_file.write_text(f"{study_file.read_text()}models: {{other: {folder}}}\n")
    check_study(Study.open(study_file))
    if "r" not in changes:  # PEFT makes no layer of 2.0 rows
        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(loaded.name), folder)
        layers = {n for n, m in theirs.base_model.model.named_modules() if hasattr(m, "lora_A")}
        ours = {piece.name for piece in Adapter.load(folder, loaded).pieces}
        assert ours == {name for name in layers if "q_proj" in name}
