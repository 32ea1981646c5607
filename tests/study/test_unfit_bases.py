"""Bases that load and compute something else than they seem to: refused by ``check``, and by whatever loads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import save_file
from test_broken_bases import EMBEDDING, LOADS_ALL_THE_SAME, Q_PROJ, check, config, folder, use_base, weights

from traitscope.engine import load_base
from traitscope.errors import TraitscopeError
from traitscope.store.causal import check_model
from traitscope.store.models import ModelSource
from traitscope.study import Study
from traitscope.study.checking import check_study

_ = folder
BIAS = "model.layers.0.self_attn.q_proj.bias"


def adapter(folder: Path, **changes: Any) -> None:
    """A LoRA of rank 2 on the query projections, as PEFT saves it."""
    said = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(said | changes))
    torch.manual_seed(1)
    shapes = {"A": (2, 32), "B": (32, 2)}
    prefix = "base_model.model.model.layers"
    save_file(
        {f"{prefix}.{n}.self_attn.q_proj.lora_{k}.weight": torch.randn(s) for n in (0, 1) for k, s in shapes.items()},
        folder / "adapter_model.safetensors",
    )


def file(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def pipe(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return act


def two_of_one_number(folder: Path) -> None:
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text())
    said["model"]["vocab"]["a"] = said["model"]["vocab"]["b"]
    path.write_text(json.dumps(said))


def without_embedding(tensors: dict[str, torch.Tensor]) -> None:
    """And a header whose length begins with the byte that a pickle begins with."""
    del tensors[EMBEDDING]


def header_like_a_pickle(folder: Path) -> None:
    weights(without_embedding)(folder)
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    longer = length + (0x80 - length) % 256
    padded = data[8 : 8 + length].ljust(longer)
    path.write_bytes(longer.to_bytes(8, "little") + padded + data[8 + length :])
    assert path.read_bytes()[0] == 0x80


def quantised(**said: Any) -> Callable[[Path], None]:
    return config(quantization_config=said)


YARN = {"rope_type": "yarn", "factor": 0.0, "rope_theta": 10000.0, "original_max_position_embeddings": 64}
EVIL = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}

UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "an adapter beside the weights": (adapter, "holds an adapter too (adapter_config.json)"),
    "fewer layers than the files": (config(num_hidden_layers=1), "9 tensors that the model of its configuration"),
    "a bias that no layer takes": (weights(lambda t: t.update({BIAS: torch.ones(32)})), BIAS),
    "a layer too many": (weights(lambda t: t.update({Q_PROJ.replace("1", "5"): torch.ones(32, 32)})), "layers.5"),
    "a tensor of nothing": (weights(lambda t: t.update({"foo.weight": torch.ones(3)})), "foo.weight"),
    "4 bits that are not there": (quantised(quant_method="bitsandbytes", load_in_4bit=True), "its files hold none"),
    "8 bits": (quantised(quant_method="bitsandbytes", load_in_8bit=True), "quant_method bitsandbytes"),
    "a package that is not here": (quantised(quant_method="gptq", bits=4, group_size=128), "quant_method gptq"),
    "a quantisation nobody knows": (quantised(quant_method="nobody"), "quant_method nobody"),
    "a part of an unknown kind": (config(text_config=EVIL), "no number of layers"),
    "no layers": (config(num_hidden_layers=0), "0 layers"),
    "a rope of factor 0": (config(rope_parameters=YARN), "factor is 0.0, which cannot be"),
    "an epsilon below zero": (config(rms_norm_eps=-1.0), "rms_norm_eps is -1.0, which cannot be"),
    "an epsilon that is no number": (config(rms_norm_eps=float("nan")), "rms_norm_eps is nan, which cannot be"),
    "a number that is none": (config(initializer_range=float("nan")), "initializer_range is nan"),
    "generation settings in a list": (
        lambda f: (f / "generation_config.json").write_text("[1]"),
        "its generation_config.json cannot be read",
    ),
    "a byte order mark": (file("config.json", lambda data: b"\xef\xbb\xbf" + data), "begins with a byte order mark"),
    "a mark in the tokenizer": (file("tokenizer.json", lambda data: b"\xef\xbb\xbf" + data), "byte order mark"),
    "no embedding": (header_like_a_pickle, "lack 2 of the model's tensors"),
    "weights of 10^30": (weights(lambda t: t.update({Q_PROJ: t[Q_PROJ] * 1e32})), "weights beyond 10^12"),
    "weights of 10^30 in bf16": (
        weights(lambda t: t.update({Q_PROJ: (t[Q_PROJ] * 1e32).bfloat16()})),
        "weights beyond 10^12",
    ),
    "two tokens of one number": (two_of_one_number, "two tokens "),
    "weights that are a pipe": (pipe("model.safetensors"), "is no regular file"),
    "a tokenizer that is a pipe": (pipe("tokenizer.json"), "is no regular file"),
    "a width in words": (config(hidden_size="wide"), "expected int, got str"),
}
AFTER_LOADING = LOADS_ALL_THE_SAME | {"weights of 10^30 in bf16", "weights of 10^30", "two tokens of one number"}


@pytest.mark.parametrize("name", UNFIT)
def test_an_unfit_base_is_refused_in_one_sentence_wherever_it_is_read(
    name: str, folder: Path, study_file: Path
) -> None:
    broken, says = UNFIT[name]
    broken(folder)
    use_base(study_file, folder)
    reads: list[Callable[[], object]] = [
        lambda: check(folder),
        lambda: check_study(Study.open(study_file)),
        lambda: Study.open(study_file).run(),
    ]
    if name not in AFTER_LOADING:
        reads.append(lambda: load_base(folder, device="cpu"))
    for read in reads:
        with pytest.raises(TraitscopeError) as caught:
            read()
        message = str(caught.value)
        assert says in message, message
        assert caught.value.fix and caught.value.where and caught.value.fix != "check the folder", message
        assert len(caught.value.what) < 350 and "\n" not in caught.value.what, message


@pytest.mark.parametrize("which", ["base", "models"])
def test_a_tokenizer_of_another_model_is_refused(which: str, folder: Path, study_file: Path) -> None:
    weights(lambda t: t.update({EMBEDDING: t[EMBEDDING][:200].clone()}))(folder)
    config(vocab_size=200)(folder)
    if which == "base":
        use_base(study_file, folder)
    else:
        study_file.write_text(f"{study_file.read_text()}models: {{other: {folder}}}\n")
    with pytest.raises(TraitscopeError, match="has a token 257, and its embedding 200 tokens"):
        check_study(Study.open(study_file))


def test_of_embedding_and_head_the_smaller_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    made = AutoModelForCausalLM.from_config

    def with_small_head(*args: Any, **kwargs: Any) -> Any:
        model = made(*args, **kwargs)
        model.lm_head = torch.nn.Linear(32, 200, bias=False, device="meta")
        return model

    monkeypatch.setattr(AutoModelForCausalLM, "from_config", with_small_head)
    skeleton = check_model(ModelSource(str(folder)))
    assert skeleton is not None and skeleton.tokens == 200


def tall(folder: Path) -> None:
    """As a model for pictures and text names itself; its file holds the picture's part too."""
    weights(lambda t: t.update({"model.vision_tower.proj.weight": torch.ones(3)}))(folder)
    config(architectures=["TallForConditionalGeneration"])(folder)


HARMLESS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "a buffer of frequencies": weights(
        lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    ),
    "a buffer of masks": weights(lambda t: t.update({"model.layers.0.self_attn.masked_bias": torch.tensor(-1e9)})),
    "a head that is the embedding": weights(lambda t: t.update({"lm_head.weight": t[EMBEDDING].clone()})),
    "parts that are not for text": tall,
    "another file's pipe-like name": lambda folder: (folder / "notes.txt").write_text("|"),
    "limits without end": config(time_step_limit=[0.0, float("inf")]),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_lies_beside_the_weights_and_changes_nothing_is_let_be(name: str, folder: Path, base: Path) -> None:
    HARMLESS[name](folder)
    check(folder)
    ours, sound = (load_base(one, device="cpu").model.state_dict() for one in (folder, base))
    assert ours.keys() == sound.keys() and all(torch.equal(ours[name], sound[name]) for name in sound)


def test_an_adapter_in_a_folder_of_its_own_is_evaluated(study_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "adapter"
    place.mkdir()
    adapter(place)
    study_file.write_text(f"{study_file.read_text()}models: {{other: {place}}}\n")
    tiny.change(study_file, "controls: {tone: [mislabel]}\nmixes: {all: {of: sources, per_task: 6}}", "sources: []")
    study = Study.open(study_file)
    check_study(study)
    study.run(limit=2)
    losses = {model: [row.loss for row in study.read_records(model, "tone")] for model in ("base", "other")}
    assert losses["base"] != pytest.approx(losses["other"], abs=1e-3)
