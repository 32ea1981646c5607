"""A model's size, read from the headers of its files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from traitscope.store.models import cached_folder, resolve_model
from traitscope.store.weights import has_weights, read_header, weight_files


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's size, read from its files' headers: no weight is loaded.

    ``linear`` counts the parameters of the linear layers inside the decoder as (inputs, outputs) pairs.
    """

    parameters: int
    layers: int
    hidden: int
    linear: tuple[tuple[int, int], ...]

    def adapter_parameters(self, rank: int) -> int:
        """Parameters of a LoRA of this rank on all linear layers."""
        return sum(rank * (d_in + d_out) for d_in, d_out in self.linear)


def model_shape(model: str | Path, revision: str | None = None) -> Shape | None:
    """The shape of a model whose files are here; None for one that is still on the Hub."""
    folder = resolve_model(model)
    if not isinstance(folder, Path):
        cached = cached_folder(folder, revision)
        # The configuration may be here before the weights are.
        if cached is None or not has_weights(cached):
            return None
        folder = cached
    config = json.loads((folder / "config.json").read_text())
    parameters, linear = 0, []
    for path in weight_files(folder):
        for name, entry in read_header(path).items():
            parameters += math.prod(entry.shape)
            inside = "embed" not in name and "lm_head" not in name and "wte" not in name and "wpe" not in name
            if len(entry.shape) == 2 and inside:
                linear.append((entry.shape[1], entry.shape[0]))
    layers = int(config.get("num_hidden_layers") or config.get("n_layer") or 1)
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 1)
    return Shape(parameters, layers, hidden, tuple(linear))
