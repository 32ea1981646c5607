"""An adapter's folder in PEFT's format, written file by file the same way for everybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.store.checked import sha256_of
from traitscope.store.seal import sealed

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class AdapterHead:
    """What ``adapters/<name>/unit.json`` says: the commit mark of a trained adapter.

    ``files`` holds the sha256 of every other file of the folder; ``inputs`` is what ``fingerprint`` was
    computed from; ``card`` is the model card, which people edit.
    """

    name: str
    source: str
    seed: int
    base: str
    fingerprint: str
    inputs: dict[str, Any]
    files: dict[str, str]
    card: str = ""


def write_adapter(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, NDArray[np.floating]], card: str
) -> None:
    """Writes weights, ``adapter_config.json`` and the model card as PEFT's ``save_pretrained`` lays them out.

    Args:
        folder: an existing folder.
        config: the fields of ``adapter_config.json``.
        tensors: the weights under PEFT's names.
        card: the text of ``README.md``.
    """
    from safetensors.numpy import save

    (folder / WEIGHTS).write_bytes(save(dict(tensors), metadata={"format": "pt"}))
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / CARD).write_text(card)


def mark_adapter(made: Path, head: AdapterHead) -> None:
    """Writes an adapter's mark over the files that lie beside it."""
    paths = [path for path in sorted(made.rglob("*")) if path.is_file()]
    files = {path.relative_to(made).as_posix(): sha256_of(path.read_bytes()) for path in paths}
    mark = {**{key: getattr(head, key) for key in AdapterHead.__slots__}, "files": files}
    (made / "unit.json").write_bytes(sealed(mark, "unit.json"))
