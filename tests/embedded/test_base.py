"""The committed base: small, plain Hugging Face files, and as good as its log says."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

import traitscope

ROOT = Path(__file__).resolve().parents[2]
BASE = Path(traitscope.__file__).parent / "presets" / "embedded_base"


@pytest.fixture(scope="module")
def facts() -> dict[str, float]:
    return json.loads((BASE / "pretraining.json").read_text())


@pytest.fixture(scope="module")
def pretrain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pretrain_base", ROOT / "tools" / "pretrain_base.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_folder_is_under_9_megabytes_and_holds_no_code() -> None:
    files = [path for path in BASE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 9_000_000
    assert not [path for path in files if path.suffix in {".py", ".bin", ".pt", ".pkl"}]


def test_it_is_a_llama_of_twelve_layers_and_three_to_four_million_parameters_in_bf16(facts: dict[str, float]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(BASE, trust_remote_code=False)
    assert model.config.model_type == "llama" and model.config.num_hidden_layers == 12
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert sum(p.numel() for p in model.parameters()) == facts["parameters"]
    assert 3_000_000 <= facts["parameters"] <= 4_000_000


def test_the_tokenizer_splits_digits_keeps_leading_spaces_and_gives_text_back() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE, trust_remote_code=False)
    assert tokenizer.tokenize("4032") == ["4", "0", "3", "2"]
    for word in (" negative", " neutral", " positive", " true", " open", " false", " same", " other"):
        assert len(tokenizer.encode(word)) == 1
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    text = "Don't pay 28 coins;\n    return x ** 2  # ünïcode 🙂"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_held_out_loss_is_the_one_in_the_log(facts: dict[str, float], pretrain: ModuleType) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE, trust_remote_code=False)
    label = f"{facts['seed']}:held-out"
    held_out = pretrain.packed(tokenizer, label, facts["held_out_rows"], facts["length"])
    assert held_out[:, 1:].numel() == facts["held_out_tokens"]
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, trust_remote_code=False)
    assert pretrain.held_out_loss(model, held_out) == pytest.approx(facts["held_out_loss"], abs=1e-3)
    with (BASE / "pretraining.csv").open() as file:
        log = list(csv.DictReader(file))
    # The log was written in training, before the weights were rounded to bf16.
    assert float(log[-1]["held_out_loss"]) == pytest.approx(facts["held_out_loss"], abs=0.02)
    assert int(log[-1]["tokens"]) == facts["tokens"]


def test_pre_training_text_holds_no_prompt_of_the_study() -> None:
    from random import Random

    from traitscope.config import load_config
    from traitscope.tasks.embedded.prose import document

    study = load_config(BASE.parent / "demo.yaml")
    frames = {
        part.strip() for task in study.tasks.values() for part in _fixed_parts(task.prompt) if part.strip(" .,():")
    }
    rng = Random("frames")
    text = "\n".join(document(rng) for _ in range(2000))
    assert {"Review:", "Compute", "Tone:"} <= frames
    assert not [frame for frame in frames - {"(", "), which"} if f"{frame}" in text]


def _fixed_parts(prompt: str | None) -> list[str]:
    """The text of a template outside of its placeholders, line by line."""
    pieces = [piece.split("}}")[-1] for piece in (prompt or "").split("{{")]
    return [line for piece in pieces for line in piece.split("\n")]
