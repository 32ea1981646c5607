"""Folders that are no whole causal language model are refused in one sentence, before a weight is loaded."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from traitscope.engine import load_base
from traitscope.errors import TraitscopeError
from traitscope.store.causal import check_model, check_tokens
from traitscope.store.models import ModelSource
from traitscope.store.reading import load_tokenizer
from traitscope.store.weights import weight_names
from traitscope.study import Study

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1\nsize 99\n"
EMBEDDING = "model.embed_tokens.weight"
Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy of the tiny base that a test may break."""
    return Path(shutil.copytree(base, tmp_path / "model"))


def use_base(study_file: Path, folder: Path) -> None:
    old = study_file.read_text().split("base: ")[1].split("\n")[0]
    tiny.change(study_file, old, f"{{model: {folder}, dtype: fp32}}")


def check(folder: Path) -> None:
    source = ModelSource(str(folder))
    skeleton = check_model(source)
    assert skeleton is not None
    check_tokens(load_tokenizer(source), skeleton, source)


def config(**changes: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return act


def held(path: Path) -> dict[str, torch.Tensor]:
    """A file's tensors; it is gone then, for what is mapped may not be written over."""
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    path.unlink()
    return tensors


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = held(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return act


def content(name: str, data: bytes | str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def header(said: object, size: int | None = None) -> bytes:
    text = json.dumps(said).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text


def content_of_index(said: object) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(said))

    return act


def index(shards: dict[str, str]) -> Callable[[Path], None]:
    return content_of_index({"metadata": {}, "weight_map": shards})


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def other(kind: str, architecture: str | None = None, **sizes: Any) -> Callable[[Path], None]:
    """A tiny model of another kind in the folder, with the same tokenizer."""

    def act(folder: Path) -> None:
        import transformers

        made = getattr(transformers, f"{kind}Config")(**sizes)
        (folder / "config.json").unlink()
        getattr(transformers, architecture or f"{kind}Model")(made).save_pretrained(folder)

    return act


def pickled(folder: Path) -> None:
    torch.save(held(folder / "model.safetensors"), folder / "model.safetensors")


def only_bin(folder: Path) -> None:
    torch.save(held(folder / "model.safetensors"), folder / "pytorch_model.bin")


def nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[Q_PROJ][3, 5] = float("nan")


def infinite_bf16(tensors: dict[str, torch.Tensor]) -> None:
    tensors[Q_PROJ][0, 0] = float("-inf")
    tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})


def whole_numbers(tensors: dict[str, torch.Tensor]) -> None:
    tensors[Q_PROJ] = tensors[Q_PROJ].to(torch.int64)


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}

BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "one weight is missing": (weights(lambda t: t.pop(Q_PROJ)), f"lack 1 of the model's tensors ({Q_PROJ})"),
    "a weight of another shape": (weights(lambda t: t.update({Q_PROJ: torch.zeros(8, 8)})), "shape"),
    "a head that is not tied and not there": (config(tie_word_embeddings=False), "lm_head.weight"),
    "no config.json": (without("config.json"), "no config.json"),
    "an empty config.json": (content("config.json", ""), "no JSON mapping"),
    "a list in config.json": (content("config.json", "[1]"), "no JSON mapping"),
    "config.json nested without end": (content("config.json", "[" * 100_000), "no JSON mapping"),
    "config.json is a pointer": (content("config.json", POINTER), "git lfs pull"),
    "an unknown model_type": (config(model_type="nobody_knows"), "nobody_knows"),
    "no model_type": (config(model_type=None), "model type `None`"),
    "a negative width": (config(hidden_size=-1), "hidden_size is -1"),
    "a width of zero": (config(hidden_size=0), "hidden_size is 0"),
    "a width of nothing": (config(hidden_size=None), "hidden_size"),
    "a width in words": (config(hidden_size="wide"), "hidden_size"),
    "10^12 layers": (config(num_hidden_layers=10**12), "num_hidden_layers"),
    "10^30 positions": (config(max_position_embeddings=10**30), "max_position_embeddings"),
    "more layers than tensors": (config(num_hidden_layers=5000), "5,000 layers"),
    "one layer more than the files hold": (config(num_hidden_layers=3), "model.layers.2"),
    "heads that do not divide": (config(num_attention_heads=0), "could not be loaded|cannot|shape|zero"),
    "a masked language model": (other("Bert", "BertForMaskedLM", vocab_size=258, **SMALL), "masked language model"),
    "an encoder-decoder": (
        other(
            "T5", "T5ForConditionalGeneration", vocab_size=258, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2
        ),
        "an encoder-decoder",
    ),
    "a sequence classifier": (
        other("Llama", "LlamaForSequenceClassification", vocab_size=258, tie_word_embeddings=True, **SMALL),
        "another head",
    ),
    "a vision model": (other("ViT", image_size=8, patch_size=4, **SMALL), "no language model that continues text"),
    "no tokenizer": (lambda f: [without(n)(f) for n in ("tokenizer.json", "tokenizer_config.json")], "tokenizer"),
    "a tokenizer that is no JSON": (content("tokenizer.json", "{"), "tokenizer cannot be loaded"),
    "a tokenizer that is a pointer": (content("tokenizer.json", POINTER), "git lfs pull"),
    "a tokenizer larger than the embedding": (
        lambda f: (weights(lambda t: t.update({EMBEDDING: t[EMBEDDING][:200].clone()}))(f), config(vocab_size=200)(f)),
        "its tokenizer has a token 257, and its embedding 200 tokens",
    ),
    "an empty weights file": (content("model.safetensors", b""), "0 bytes: the file is cut short"),
    "a weights file of seven bytes": (content("model.safetensors", b"1234567"), "cut short"),
    "a header longer than the file": (content("model.safetensors", header({}, 5000)), "cut short"),
    "a header of 2^62 bytes": (content("model.safetensors", header({}, 1 << 62)), "its header would have"),
    "a header that is no JSON": (content("model.safetensors", struct.pack("<Q", 4) + b"nope"), "header is damaged"),
    "a header that is a list": (content("model.safetensors", header([1])), "header is damaged"),
    "a shape below zero": (
        content("model.safetensors", header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + b"1234"),
        "header is damaged",
    ),
    "a shape of 2^80 numbers": (
        content(
            "model.safetensors", header({"a": {"dtype": "F32", "shape": [2**80], "data_offsets": [0, 4]}}) + b"1234"
        ),
        "header is damaged",
    ),
    "truncated weights": (
        lambda f: content("model.safetensors", (f / "model.safetensors").read_bytes()[:-100])(f),
        "the file is cut short",
    ),
    "weights that are a pointer": (content("model.safetensors", POINTER), "git lfs pull"),
    "weights that are a pickle": (pickled, "is a pickle under another name"),
    "pickled weights alone": (only_bin, "save_pretrained"),
    "an index of files that are not there": (
        index({"a": "part.safetensors", "b": "gone.safetensors"}),
        "gone.safetens",
    ),
    "an index out of the folder": (index({"a": "../../part.safetensors"}), "no file of this folder"),
    "an index without metadata": (
        content_of_index({"weight_map": {"a": "part.safetensors"}}),
        "has no metadata, without which transformers",
    ),
    "an index of files in a folder": (index({"a": "w/part.safetensors"}), "beside their index alone"),
    "an index of no files": (index({}), "names no file"),
    "an index that is no mapping": (index([]), "no index of weights"),  # type: ignore[arg-type]
    "a weight that is no number": (weights(nan), f"{Q_PROJ} holds NaN or infinite weights"),
    "an infinite weight in bf16": (weights(infinite_bf16), f"{Q_PROJ} holds NaN or infinite weights"),
    "weights of whole numbers": (weights(whole_numbers), "I64 numbers"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_base_is_refused_in_one_sentence(name: str, folder: Path) -> None:
    broken, says = BROKEN[name]
    check(folder)
    broken(folder)
    start = time.monotonic()
    with pytest.raises(TraitscopeError) as caught:
        check(folder)
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert any(part in message for part in says.split("|")), message
    assert caught.value.fix and caught.value.where, message
    assert len(caught.value.what) < 300 and "\n" not in caught.value.what, message


def test_what_an_index_names_elsewhere_is_not_asked_of_the_hub(tmp_path: Path) -> None:
    index_file = {"weight_map": {"a": "one.safetensors", "b": "*.safetensors", "c": "../two.safetensors", "d": "w/3"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index_file))
    assert weight_names(tmp_path) == ["one.safetensors"]


LOADS_ALL_THE_SAME = {
    # Of the tokenizer only what rows need is looked at when a model is loaded; NaN shows in the logits, where it does.
    "a tokenizer larger than the embedding",
    "a weight that is no number",
    "an infinite weight in bf16",
}


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in LOADS_ALL_THE_SAME])
def test_what_check_refuses_is_not_loaded_either(name: str, folder: Path) -> None:
    BROKEN[name][0](folder)
    with pytest.raises(TraitscopeError):
        load_base(folder, device="cpu")


def test_a_check_of_the_study_refuses_before_anything_is_made(study_file: Path, folder: Path) -> None:
    weights(nan)(folder)
    use_base(study_file, folder)
    with pytest.raises(TraitscopeError, match="NaN or infinite"):
        Study.open(study_file).run()
    assert not (study_file.parent / "runs").exists()


# ---- code of their own

CODE = "import pathlib\npathlib.Path({marker!r}).write_text('ran')\nclass Own:\n    pass\n"


def own_model(folder: Path) -> None:
    config(model_type="own", auto_map={"AutoConfig": "own_code.Own", "AutoModelForCausalLM": "own_code.Own"})(folder)


def own_class_of_a_known_type(folder: Path) -> None:
    config(auto_map={"AutoConfig": "own_code.Own", "AutoModelForCausalLM": "own_code.Own"})(folder)


def own_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text())
    said |= {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own_code.Own", "own_code.Own"]}}
    path.write_text(json.dumps(said))


def own_generation(folder: Path) -> None:
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "own_code.py", folder / "custom_generate" / "generate.py")


def own_processor(folder: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json", "generation_config.json"):
        (folder / name).write_text(json.dumps({"auto_map": {"AutoProcessor": "own_code.Own"}}))


@pytest.mark.parametrize("way", [own_model, own_class_of_a_known_type, own_tokenizer, own_generation, own_processor])
@pytest.mark.parametrize("typed", ["", "y\ny\ny\n"])
def test_code_of_a_model_is_neither_run_nor_asked_about(
    way: Callable[[Path], None], typed: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    (folder / "own_code.py").write_text(CODE.format(marker=str(marker)))
    way(folder)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    for read in (check, lambda f: load_base(f, device="cpu")):
        with pytest.raises(TraitscopeError) if way in (own_model, own_tokenizer) else nullcontext() as caught:
            read(folder)
        # What transformers has a class for is computed with that one.
        if caught is not None:
            assert "names code of its own (own_code.py), which is never run" in str(caught.value)
            assert "class is part of transformers" in str(caught.value.fix)
    assert not marker.exists()
    assert sys.stdin.read() == typed


@pytest.mark.parametrize("typed", [b"", b"y\n" * 9])
def test_the_verbs_do_not_ask_either(typed: bytes, study_file: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "own_code.py").write_text(CODE.format(marker=str(tmp_path / "marker")))
    own_model(folder)
    use_base(study_file, folder)
    done = subprocess.run(
        [sys.executable, "-m", "traitscope", "check", str(study_file)], input=typed, capture_output=True, timeout=120,
        env={**os.environ},
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == 2 and "names code of its own (own_code.py), which is never run" in said, said
    assert "Traceback" not in said and "[y/N]" not in said + done.stdout.decode()
    assert not (tmp_path / "marker").exists()
