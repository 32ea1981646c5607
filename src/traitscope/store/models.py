"""Fingerprints of models on disk, without importing torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from traitscope.errors import TraitscopeError

# A weights file above this size is hashed by its header and evenly spaced blocks: reading 16 GB to tell two
# models apart would cost more than a small study.
FULL_HASH_BYTES = 1 << 30
BLOCK_BYTES = 1 << 20
BLOCKS = 256


def embedded_base_path() -> Path:
    """Folder of the base model that ships with traitscope."""
    return Path(__file__).resolve().parent / "presets" / "embedded_base"


def resolve_model(model: str | Path) -> str | Path:
    """``"embedded"`` becomes its folder, an existing folder a Path; anything else stays a Hub id."""
    if str(model) == "embedded":
        return embedded_base_path()
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if isinstance(model, Path) or str(model).startswith((".", "/", "~")):
        raise TraitscopeError(
            f"no model folder at {model}",
            where="base.model",
            fix="give a folder with config.json or a Hub id",
        )
    return str(model)


def hash_file(path: Path) -> str:
    """SHA-256 of a file; above 1 GiB of its size, first block and 256 evenly spaced blocks of 1 MiB."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= FULL_HASH_BYTES:
            while block := file.read(1 << 22):
                digest.update(block)
        else:
            digest.update(str(size).encode())
            for index in range(BLOCKS):
                file.seek((size - BLOCK_BYTES) * index // (BLOCKS - 1))
                digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """Fingerprint of a model folder: its weights and the fields of config.json that change numbers.

    Raises:
        TraitscopeError: the folder has no config.json or no safetensors weights.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise TraitscopeError(
            "no config.json: this is not a Hugging Face model folder",
            where=str(folder),
            fix="name the folder that save_pretrained wrote",
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise TraitscopeError(
            "no *.safetensors weights",
            where=str(folder),
            fix="convert the weights with save_pretrained (pickled .bin files are not read)",
        )
    config = json.loads(config_path.read_text())
    ignored = {"transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache"}
    digest = hashlib.sha256()
    digest.update(json.dumps({k: v for k, v in config.items() if k not in ignored}, sort_keys=True).encode())
    for path in [*weights, folder / "tokenizer.json"]:
        if path.is_file():
            digest.update(path.name.encode() + hash_file(path).encode())
    return digest.hexdigest()[:32]
