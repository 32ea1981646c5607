"""An adapter's folder in PEFT's format, written file by file the same way for everybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"


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
