"""What makes a unit, a file or a model the same: sha256 over everything its numbers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.records import Example

# A weights file above this size is hashed by its header and evenly spaced blocks: reading 16 GB to tell two
# models apart would cost more than a small study.
FULL_HASH_BYTES = 1 << 30
BLOCK_BYTES = 1 << 20
BLOCKS = 256
REMEMBERED_BYTES = 1 << 26
TEMPLATES = "additional_chat_templates"
UNREAD_SUFFIXES = frozenset(
    [
        *(".md", ".rst", ".html", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".py", ".ipynb", ".log"),
        *(".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".tflite", ".ot", ".mlmodel", ".zip"),
    ]
)
UNREAD_NAMES = frozenset(
    ["LICENSE", "LICENSE.txt", "NOTICE", "NOTICE.txt", "README", "README.txt", "USE_POLICY.txt", "trainer_state.json"]
)


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, tuples as lists, 2.0 as 2.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value has no JSON form.
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def fingerprint(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value)).hexdigest()


class RowsHash:
    """Fingerprints of every prefix of a task's rows: a cell of n rows keeps the n-th and may grow."""

    def __init__(self, examples: Iterable[Example]) -> None:
        running = hashlib.sha256()
        self._prefix = [running.hexdigest()]
        for example in examples:
            running.update(canonical(_content(example)))
            running.update(b"\n")
            self._prefix.append(running.hexdigest())

    def __len__(self) -> int:
        return len(self._prefix) - 1

    def prefix(self, n: int) -> str | None:
        """Fingerprint of the first ``n`` rows, or None where there are fewer."""
        return self._prefix[n] if 0 <= n <= len(self) else None

    @property
    def whole(self) -> str:
        """Fingerprint of all rows."""
        return self._prefix[-1]


def _content(example: Example) -> dict[str, Any]:
    """An example without how it is judged, and without what came later and is not used."""
    found = asdict(example)
    del found["program"]
    if not example.requests:
        del found["requests"]
    return found


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Which keys of two nested JSON values differ, one line each: ``recipe.lr: 0.0002 -> 0.0001``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines: list[str] = []
        for key in [*old, *(key for key in new if key not in old)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in old:
                lines.append(f"{where}: (absent) -> {_short(new[key])}")
            elif key not in new:
                lines.append(f"{where}: {_short(old[key])} -> (absent)")
            else:
                lines.extend(differences(old[key], new[key], where))
        return lines
    return [] if _plain(old) == _plain(new) else [f"{path}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def refuse_pipe(path: Path) -> None:
    """Raises TraitscopeError where a pipe, a socket or a device stands in a file's place: it would be waited for."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise TraitscopeError("is no regular file", where=str(path), fix="put the file itself in its place")


def hash_file(path: Path) -> str:
    """SHA-256 of a file; above 1 GiB of its size, first block and 256 evenly spaced blocks of 1 MiB.

    Raises:
        TraitscopeError: it is no regular file.
    """
    refuse_pipe(path)
    stat = path.stat()
    if stat.st_size < REMEMBERED_BYTES:
        return _hash(path, stat.st_size)
    return _remembered_hash(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=256)
def _remembered_hash(path: Path, size: int, changed: int, inode: int) -> str:
    """Weights are asked for several times in a run, and change under another name or time."""
    return _hash(path, size)


def _hash(path: Path, size: int) -> str:
    digest = hashlib.sha256()
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


def model_files(folder: Path, *, weights: bool = True) -> dict[str, str]:
    """SHA-256 of every file of a model folder that its numbers may depend on, by name.

    That is every file that ``from_pretrained`` could read of a model with safetensors weights: configuration, weights
    and their index, generation settings, the tokenizer's files of whatever kind, chat templates. Left out are hidden
    files, texts and pictures, weights in other formats, and what a training run leaves behind; without ``weights``
    the safetensors files as well.

    Raises:
        TraitscopeError: a pipe or a device lies among them.
    """
    for path in folder.iterdir():
        refuse_pipe(path)
    found = [path for path in folder.iterdir() if path.is_file() and _is_read(path)]
    found = [path for path in found if weights or path.suffix != ".safetensors"]
    found += (folder / TEMPLATES).glob("*.jinja")
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in sorted(found)}


def _is_read(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix.lower() in UNREAD_SUFFIXES:
        return False
    return path.name not in UNREAD_NAMES and not path.name.endswith("_results.json")


def fingerprint_folder(folder: Path) -> str:
    """Fingerprint of a model folder: of all its files that numbers may depend on, byte by byte.

    Raises:
        TraitscopeError: the folder has no config.json or no safetensors weights.
    """
    if not (folder / "config.json").is_file():
        raise TraitscopeError(
            "no config.json: this is not a Hugging Face model folder",
            where=str(folder),
            fix="name the folder that save_pretrained wrote",
        )
    if not any(folder.glob("*.safetensors")):
        raise TraitscopeError(
            "no *.safetensors weights",
            where=str(folder),
            fix="convert the weights with save_pretrained (pickled .bin files are not read)",
        )
    return fingerprint(model_files(folder))[:32]
