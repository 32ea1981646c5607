"""The headers of a model's safetensors files: whether the files are whole, what they hold, whether all are numbers."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError
from traitscope.store.fingerprints import BLOCK_BYTES, BLOCKS, FULL_HASH_BYTES

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# As the format's own readers have it.
MOST_HEADER_BYTES = 100_000_000
LFS = b"version https://git-lfs"
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
# Products of larger weights overflow. Masks that lie among the weights of old files hold up to 1e9.
_LARGEST_EXPONENT = 40
_SAVE_AGAIN = "copy or download the file again, or write it anew with save_pretrained"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file: its number format as safetensors names it, its shape, where its bytes lie in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def refuse_pointer(path: Path) -> None:
    """Raises TraitscopeError where a file is not what its name says.

    Git leaves a pointer in a large file's place, as a clone without Git LFS does; some editors put a mark before JSON.
    """
    with path.open("rb") as file:
        start = file.read(len(LFS))
    if path.suffix == ".json" and start.startswith(BOM_UTF8):
        raise TraitscopeError(
            "begins with a byte order mark, which is no JSON", where=str(path), fix="save it as UTF-8 without the mark"
        )
    if start == LFS:
        raise TraitscopeError(
            "is a pointer of Git LFS, not the file itself",
            where=str(path),
            fix="name another revision or copy: the Hub holds the pointer in the file's place"
            if "snapshots" in path.parts
            else "run `git lfs pull` in its folder",
        )


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a safetensors file by name; nothing of them is read.

    Raises:
        TraitscopeError: the file is none, is cut short, or says of itself what cannot be.
    """
    where, size = str(path), path.stat().st_size
    refuse_pointer(path)
    with path.open("rb") as file:
        first = file.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8:
            raise TraitscopeError(f"has {size} bytes: the file is cut short", where=where, fix=_SAVE_AGAIN)
        if length > MOST_HEADER_BYTES and (first[:2] == b"PK" or first[:1] == b"\x80"):
            raise TraitscopeError(
                "is a pickle under another name, which is not read",
                where=where,
                fix="write the weights with save_pretrained",
            )
        if length > MOST_HEADER_BYTES:
            raise TraitscopeError(
                f"is no safetensors file: its header would have {length:,} bytes", where=where, fix=_SAVE_AGAIN
            )
        if length > size - 8:
            raise TraitscopeError(
                f"has {size:,} bytes and needs more: the file is cut short", where=where, fix=_SAVE_AGAIN
            )
        text = file.read(length)
    try:
        said = json.loads(text)
        said.pop("__metadata__", None)
        found = {name: _entry(entry, 8 + length) for name, entry in said.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TraitscopeError("is no safetensors file: its header is damaged", where=where, fix=_SAVE_AGAIN) from error
    needs = max((entry.end for entry in found.values()), default=8 + length)
    if needs > size:
        raise TraitscopeError(f"has {size:,} of {needs:,} bytes: the file is cut short", where=where, fix=_SAVE_AGAIN)
    return found


def _entry(said: Mapping[str, Any], start: int) -> Entry:
    shape, (first, last) = tuple(said["shape"]), said["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, first, last)) or first > last:
        raise ValueError("no shape, or no place")
    wanted = math.prod(shape) * _BYTES.get(said["dtype"], 0)
    if said["dtype"] in _BYTES and wanted != last - first:
        raise ValueError("the shape has another size than the place")
    return Entry(str(said["dtype"]), shape, start + first, start + last)


def weight_names(folder: Path) -> list[str]:
    """The names of a folder's weight files, whether or not they are in it; what its index names elsewhere is none."""
    if not (folder / INDEX).is_file():
        return [WEIGHTS]
    try:
        named = set(json.loads((folder / INDEX).read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Whoever reads the index says what is wrong with it.
        return [INDEX]
    return sorted(one for one in named if isinstance(one, str) and Path(one).name == one and "*" not in one)


def has_weights(folder: Path) -> bool:
    """Whether a folder's weight files are in it: a Hub model's index is here with its configuration, before them."""
    return (folder / WEIGHTS).is_file() or all((folder / name).is_file() for name in weight_names(folder))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads of a model folder.

    Raises:
        TraitscopeError: there are none, or the index names files that are not in the folder.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index, where = folder / INDEX, str(folder / INDEX)
    if not index.is_file():
        raise TraitscopeError(
            f"no {WEIGHTS} and no {INDEX}", where=str(folder), fix="write the weights with save_pretrained"
        )
    refuse_pointer(index)
    try:
        said = json.loads(index.read_bytes())
        names = sorted(set(said["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TraitscopeError("is no index of weights", where=where, fix=_SAVE_AGAIN) from error
    if not isinstance(said.get("metadata"), dict):
        raise TraitscopeError(
            "has no metadata, without which transformers does not read it",
            where=where,
            fix='add "metadata": {} to it, or write the weights anew with save_pretrained',
        )
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise TraitscopeError(
                f"names {name!r}, which is no file of this folder: weight files are read beside their index alone",
                where=where,
                fix="load the model in transformers and write its weights anew with save_pretrained",
            )
        if not (folder / name).is_file():
            raise TraitscopeError(f"names {name}, which is not there", where=where, fix=_SAVE_AGAIN)
    if not names:
        raise TraitscopeError("names no file", where=where, fix=_SAVE_AGAIN)
    return [folder / name for name in names]


def refuse_no_numbers(path: Path, entries: Mapping[str, Entry]) -> None:
    """Raises TraitscopeError where a weight is NaN, infinite or beyond 2^40: nothing can be computed with it.

    Above 1 GiB of a file evenly spaced blocks are read.
    """
    parts = [(name, entry) for name, entry in entries.items() if entry.dtype in _BYTES and entry.end > entry.start]
    if path.stat().st_size > FULL_HASH_BYTES:
        parts = _sampled(parts)
    # Read, not mapped: a file that is cut short meanwhile would end the process.
    with path.open("rb") as file:
        for name, entry in parts:
            file.seek(entry.start)
            for start in range(entry.start, entry.end, BLOCK_BYTES):
                block = np.frombuffer(file.read(min(BLOCK_BYTES, entry.end - start)), dtype=np.uint8)
                if not _is_below(block, entry.dtype, _LARGEST_EXPONENT):
                    finite = _is_below(block, entry.dtype, None)
                    raise TraitscopeError(
                        f"{name} holds {'weights beyond 10^12' if finite else 'NaN or infinite weights'}",
                        where=str(path),
                        fix="take another copy of the model: nothing can be computed with it",
                    )


def _sampled(parts: list[tuple[str, Entry]]) -> list[tuple[str, Entry]]:
    """One block of each of some tensors, evenly spaced among them."""
    chosen = parts[:: -(-len(parts) // BLOCKS)]
    return [(n, Entry(e.dtype, e.shape, e.start, min(e.end, e.start + BLOCK_BYTES))) for n, e in chosen]


def _is_below(block: NDArray[np.uint8], dtype: str, exponent: int | None) -> bool:
    """Whether all numbers are below 2 to the exponent, or finite where none is given."""
    if dtype == "BF16":
        # numpy has no such format: eight bits of exponent lie behind the sign; all ones are what is not finite.
        most = 0x7F80 if exponent is None else (127 + exponent) << 7
        return bool(((block.view(np.uint16) & 0x7F80) < most).all())
    numbers = block.view({"F64": np.float64, "F32": np.float32, "F16": np.float16}[dtype])
    bound = np.inf if exponent is None or dtype == "F16" else 2.0**exponent
    return bool((np.abs(numbers) < bound).all())
