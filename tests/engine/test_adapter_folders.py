"""Adapters pass between the engine and PEFT in both directions; what does not fit is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, peft_of, random_adapters, tiny_model
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from traitscope.engine import Adapter, Bank, LoraSpec, score_options
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow

ROW = torch.arange(10, 30)[None]


@pytest.fixture
def base():
    return known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi3"])
@pytest.mark.parametrize("name", ["wide", "narrow", "upper"])
def test_saved_adapters_load_in_plain_peft(architecture: str, name: str, tmp_path: Path) -> None:
    model = tiny_model(architecture, torch.float32)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=architecture)
    adapter = random_adapters(base)[name]
    adapter.save(tmp_path / "a", base)
    loaded = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "a").eval()
    with torch.no_grad():
        assert torch.allclose(loaded(input_ids=ROW).logits, peft_of(model, adapter)(input_ids=ROW).logits, atol=1e-5)
    wanted = {piece.name for piece in adapter.pieces}
    got = {
        n.split("base_model.model.")[1].rsplit(".lora_A", 1)[0] for n, _ in loaded.named_parameters() if "lora_A" in n
    }
    assert got == wanted


def test_a_saved_adapter_comes_back_the_same(base, tmp_path: Path) -> None:
    adapter = random_adapters(base)["upper"]
    adapter.save(tmp_path / "a", base)
    again = Adapter.load(tmp_path / "a", base)
    assert torch.equal(again.flat, adapter.flat)
    assert [p.name for p in again.pieces] == [p.name for p in adapter.pieces]
    assert again.fingerprint == adapter.fingerprint
    again.save(tmp_path / "b", base)
    assert (tmp_path / "a" / "adapter_model.safetensors").read_bytes() == (
        tmp_path / "b" / "adapter_model.safetensors"
    ).read_bytes()


def test_adapters_made_by_peft_load_into_a_bank(base, tmp_path: Path) -> None:
    """With ranks and alphas by pattern and rank-stabilised scaling, as PEFT allows."""
    model = tiny_model("llama", torch.float32)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], rank_pattern={"down_proj": 2},
        alpha_pattern={"layers.1.mlp.down_proj": 5}, use_rslora=True, init_lora_weights=False,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = get_peft_model(model, config).eval()
    theirs.save_pretrained(tmp_path / "a")
    adapter = Adapter.load(tmp_path / "a", base)
    with Bank(base, {"a": adapter, "base": None}) as bank:
        ours = score_options(bank, [OptionRow((7, 8, 9), ((11, 12), (13,)))])
    with torch.no_grad():
        logprobs = theirs(input_ids=torch.tensor([[7, 8, 9, 11]])).logits[0].log_softmax(-1).numpy()
    assert ours["a"][0][0] == pytest.approx([logprobs[2, 11], logprobs[3, 12]], abs=1e-4)
    assert ours["a"][0][1] == pytest.approx([logprobs[2, 13]], abs=1e-4)
    assert np.abs(ours["a"][0][0] - ours["base"][0][0]).max() > 1e-3


def spoiled(base, folder: Path, **changes: object) -> Path:
    random_adapters(base)["wide"].save(folder, base)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


REFUSALS = [
    ({"use_dora": True}, "uses DoRA"),
    ({"peft_type": "PREFIX_TUNING"}, "of PEFT type PREFIX_TUNING"),
    ({"bias": "all"}, "trains biases"),
    ({"modules_to_save": ["lm_head"]}, "fully trained modules"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSALS)
def test_what_the_engine_does_not_implement_is_refused(base, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(TraitscopeError, match=message):
        Adapter.load(spoiled(base, tmp_path / "a", **changes), base)


def test_an_adapter_of_another_base_is_refused(base, tmp_path: Path) -> None:
    other = known_model(tiny_model("gpt2", torch.float32), TinyTokenizer(), name="gpt2")
    random_adapters(other)["wide"].save(tmp_path / "a", other)
    with pytest.raises(
        TraitscopeError,
        match=r"(?s)it adapts transformer\.h\.0.*use the base that the adapter was trained on",
    ):
        Adapter.load(tmp_path / "a", base)


def test_an_adapter_of_another_width_is_refused(base, tmp_path: Path) -> None:
    folder = spoiled(base, tmp_path / "a")
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    key = next(k for k in tensors if "lora_A" in k)
    tensors[key] = torch.zeros(4, 99)
    save_file(tensors, path)
    with pytest.raises(TraitscopeError, match="do not fit a 48 -> 32 layer"):
        Adapter.load(folder, base)


def test_an_adapter_that_changes_nothing_is_refused(base, tmp_path: Path) -> None:
    Adapter.init(base, LoraSpec(4, 8.0), seed=0).save(tmp_path / "a", base)
    with pytest.raises(TraitscopeError, match="changes nothing"):
        Adapter.load(tmp_path / "a", base)


def test_an_adapter_with_nan_is_refused(base, tmp_path: Path) -> None:
    adapter = random_adapters(base)["wide"]
    adapter.flat[3] = float("nan")
    adapter.save(tmp_path / "a", base)
    with pytest.raises(TraitscopeError, match="NaN"):
        Adapter.load(tmp_path / "a", base)


def test_a_target_that_matches_nothing_is_refused(base) -> None:
    with pytest.raises(TraitscopeError, match=r"(?s)'c_attn' matches no linear layer.*q_proj"):
        Adapter.init(base, LoraSpec(4, 8.0, ("c_attn",)), seed=0)
