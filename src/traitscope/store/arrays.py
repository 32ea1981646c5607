"""Arrays of a dataset in one safetensors file, with a mark of what they were made from and a hash over both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.store.checked import Checked
from traitscope.store.fingerprints import canonical, fingerprint

MARK = "traitscope"
_WHOLE, _DAMAGED = "whole", "damaged"


def arrays_bytes(name: str, array: NDArray[np.float32], inputs: Mapping[str, Any], **told: Any) -> bytes:
    """A safetensors file of one array.

    Args:
        name: the tensor's name. array: the tensor.
        inputs: what it was made from; its fingerprint is the file's.
        told: numbers that go with it.
    """
    from safetensors.numpy import save

    mark = {"fingerprint": fingerprint(inputs), **told, "inputs": dict(inputs)}
    mark["sha256"] = _hash({name: array}, mark)
    # One key alone: the order of several is not the same in every file.
    return save({name: array}, {MARK: json.dumps(mark, sort_keys=True)})


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of a file and its mark.

    Raises:
        OSError: it cannot be read. ValueError: it is damaged.
    """
    return _read(path.read_bytes())


def arrays_fault(path: Path, checked: Checked) -> str | None:
    """What is wrong with a file that ``arrays_bytes`` gave; None where it is whole."""

    def look(data: bytes) -> str:
        try:
            _read(data)
        except ValueError:
            return _DAMAGED
        return _WHOLE

    return checked.fault(path, _WHOLE, look)


def read_mark(path: Path) -> dict[str, Any]:
    """The mark alone, of a file that is whole."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return dict(json.loads(header["__metadata__"][MARK]))


def _read(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    from safetensors.numpy import load

    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        mark = dict(json.loads(header["__metadata__"][MARK]))
        told = mark.pop("sha256")
        arrays = load(data)
        whole = told == _hash(arrays, mark) and mark["fingerprint"] == fingerprint(mark["inputs"])
    except Exception as error:  # safetensors raises errors of its own
        raise ValueError(f"it cannot be read ({error})") from error
    if not whole:
        raise ValueError("it is not what was written (sha256 differs)")
    return arrays, mark


def _hash(arrays: Mapping[str, NDArray[Any]], mark: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(canonical(mark))
    for name, array in sorted(arrays.items()):
        digest.update(canonical([name, array.dtype.str, list(array.shape)]))
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
