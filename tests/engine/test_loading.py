"""Folders that are no whole model are refused in a sentence, before anything is computed with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.helpers import tiny_model
from traitscope.engine import load_base
from traitscope.errors import TraitscopeError
from traitscope.store.models import embedded_base_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of our own with the embedded base's tokenizer."""
    place = tmp_path / "model"
    tiny_model("llama", torch.float32).save_pretrained(place)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(embedded_base_path() / name, place / name)
    return place


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_folder_that_lacks_a_tensor_is_refused(folder: Path) -> None:
    assert load_base(folder, device="cpu").packed
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TraitscopeError, match=r"lack 1 of the model's tensors \(model.layers.1.mlp.up_proj.weight\)"):
        load_base(folder, device="cpu")


def test_a_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TraitscopeError, match="the file is cut short"):
        load_base(folder, device="cpu")


def test_weights_that_need_a_package_are_refused(folder: Path) -> None:
    change_config(folder, quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 128})
    with pytest.raises(TraitscopeError, match="quant_method gptq"):
        load_base(folder, device="cpu")


def test_code_in_a_folder_is_neither_run_nor_asked_about(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "modeling_own.py").write_text("raise SystemExit('was run')\n")
    change_config(folder, model_type="own", auto_map={"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "m.M"})
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    with pytest.raises(TraitscopeError, match="names code of its own"):
        load_base(folder, device="cpu")
