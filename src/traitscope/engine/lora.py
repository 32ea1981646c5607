"""A LoRA adapter: its specification, its weights in one flat buffer, and PEFT's folder format.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models". Initialisation and file layout are PEFT's, so that
what is trained here loads there and the other way round.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from traitscope.engine.base import Base
from traitscope.engine.linear import original_linear, shape_of
from traitscope.errors import TraitscopeError
from traitscope.store.adapters import CONFIG, WEIGHTS, write_adapter

PREFIX = "base_model.model."

# PEFT options that change what an adapter computes and that the engine does not implement.
REFUSED = {
    "use_dora": "DoRA",
    "modules_to_save": "fully trained modules (modules_to_save)",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trainable tokens",
    "target_parameters": "adapters on bare parameters (target_parameters)",
    "alora_invocation_tokens": "activated LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "arrow_config": "Arrow routing",
    "lora_bias": "biases inside the adapter (lora_bias)",
}


@dataclass(frozen=True)
class LoraSpec:
    """What an adapter looks like.

    Attributes:
        rank: rank R of the update.
        alpha: the update is scaled by alpha / R (alpha / sqrt(R) with ``rslora``).
        targets: ``"all-linear"`` (every linear layer but the head) or module-name suffixes such as ``q_proj``.
        layers: first and last decoder layer (0-based, inclusive) that carry the adapter; None means all.
        rslora: rank-stabilised scaling (Kalajdzievski 2023).
    """

    rank: int
    alpha: float
    targets: str | tuple[str, ...] = "all-linear"
    layers: tuple[int, int] | None = None
    rslora: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise TraitscopeError(f"rank is {self.rank}", where="recipe.rank", fix="use a rank of at least 1")

    def scale(self, rank: int | None = None, alpha: float | None = None) -> float:
        rank = self.rank if rank is None else rank
        alpha = self.alpha if alpha is None else alpha
        return alpha / math.sqrt(rank) if self.rslora else alpha / rank

    def resolve(self, base: Base) -> list[str]:
        """Names of the modules of ``base`` that this adapter targets, in the model's order.

        Raises:
            TraitscopeError: a target matches no linear layer, or the layers lie outside the model.
        """
        names = base.linear_names
        if self.layers is not None:
            first, last = self.layers
            if not 0 <= first <= last < base.n_layers:
                raise TraitscopeError(
                    f"layers {first}-{last} are not inside the model's 0-{base.n_layers - 1}",
                    where="recipe.layers",
                    fix=f"give [first, last] with 0 <= first <= last <= {base.n_layers - 1}",
                )
            names = [name for name in names if first <= base.layer_of(name) <= last]
        if self.targets == "all-linear":
            return names
        targets = (self.targets,) if isinstance(self.targets, str) else self.targets
        for target in targets:
            if not any(_matches(name, target) for name in names):
                known = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names}))
                raise TraitscopeError(
                    f"target module {target!r} matches no linear layer of {base.name}",
                    where="recipe.targets",
                    fix=f"use all-linear or some of: {known}",
                )
        return [name for name in names if any(_matches(name, target) for target in targets)]


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith("." + target)


@dataclass(frozen=True)
class Piece:
    """One module's pair inside the flat buffer: A [rank, d_in] at ``start``, B [d_out, rank] right behind it."""

    name: str
    rank: int
    scale: float
    d_in: int
    d_out: int
    start: int

    @property
    def size(self) -> int:
        return self.rank * (self.d_in + self.d_out)

    def views(self, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        middle = self.start + self.rank * self.d_in
        a_RD = flat[self.start : middle].view(self.rank, self.d_in)
        b_OR = flat[middle : self.start + self.size].view(self.d_out, self.rank)
        return a_RD, b_OR


@dataclass
class Adapter:
    """A LoRA adapter on a base: pieces and one flat buffer that holds all of their weights.

    Attributes:
        spec: rank, alpha, targets.
        pieces: where each module's A and B lie.
        flat: [P] weights; fp32, or fp64 on an fp64 base.
    """

    spec: LoraSpec
    pieces: tuple[Piece, ...]
    flat: torch.Tensor

    @classmethod
    def init(cls, base: Base, spec: LoraSpec, seed: int) -> Adapter:
        """A new adapter: A uniform as PEFT's kaiming_uniform(a=sqrt(5)), B zero; a function of ``seed`` alone."""
        modules = dict(base.model.named_modules())
        pieces, start = [], 0
        for name in spec.resolve(base):
            d_in, d_out = shape_of(_linear(modules[name]))
            piece = Piece(name, spec.rank, spec.scale(), d_in, d_out, start)
            pieces.append(piece)
            start += piece.size
        flat = torch.zeros(start, dtype=adapter_dtype(base))
        generator = torch.Generator().manual_seed(seed)
        for piece in pieces:
            a_RD, _ = piece.views(flat)
            # kaiming_uniform with a = sqrt(5) has the bound 1 / sqrt(fan_in).
            bound = 1.0 / math.sqrt(piece.d_in)
            a_RD.copy_((torch.rand(a_RD.shape, generator=generator) * 2 - 1) * bound)
        return cls(spec, tuple(pieces), flat)

    @property
    def n_parameters(self) -> int:
        return self.flat.numel()

    @property
    def fingerprint(self) -> str:
        """32 hex digits over the specification and the weights."""
        digest = hashlib.sha256(repr([(p.name, p.rank, p.scale) for p in self.pieces]).encode())
        digest.update(self.flat.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights under PEFT's names."""
        out = {}
        for piece in self.pieces:
            a_RD, b_OR = piece.views(self.flat.detach().cpu())
            out[f"{PREFIX}{piece.name}.lora_A.weight"] = a_RD.clone()
            out[f"{PREFIX}{piece.name}.lora_B.weight"] = b_OR.clone()
        return out

    def save(self, folder: Path, base: Base, *, card: str | None = None) -> None:
        """Write ``adapter_model.safetensors``, ``adapter_config.json`` and ``README.md`` as PEFT does."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.numpy() for name, tensor in self.tensors().items()}
        card = card or f"LoRA adapter for {base.name}, trained with traitscope.\n"
        write_adapter(folder, self.peft_config(base), tensors, card)

    def peft_config(self, base: Base) -> dict[str, Any]:
        """The fields of PEFT's ``adapter_config.json``."""
        from peft import LoraConfig

        suffixes = sorted({piece.name.rsplit(".", 1)[-1] for piece in self.pieces})
        config = LoraConfig(
            r=self.spec.rank,
            lora_alpha=self.spec.alpha,
            target_modules=suffixes,
            layers_to_transform=None
            if self.spec.layers is None
            else list(range(self.spec.layers[0], self.spec.layers[1] + 1)),
            use_rslora=self.spec.rslora,
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
            base_model_name_or_path=base.name,
            revision=base.revision,
            inference_mode=True,
            fan_in_fan_out=any(type(_linear(m)).__name__ == "Conv1D" for m in _targets(base, self)),
        )
        fields = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
        return dict(json.loads(json.dumps(fields, default=str)))

    @classmethod
    def load(cls, folder: Path, base: Base) -> Adapter:
        """Read a PEFT LoRA folder for ``base``.

        Raises:
            TraitscopeError: not a LoRA folder, made for another base, an option that is not implemented, or an
                adapter that changes nothing.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        where = f"adapter {folder}"
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise TraitscopeError(f"no {name}", where=where, fix="name a folder that PEFT's save_pretrained wrote")
        try:
            config = json.loads((folder / CONFIG).read_text())
            tensors = load_file(folder / WEIGHTS)
        except Exception as error:
            raise TraitscopeError(f"cannot be read: {error}", where=where, fix="save the adapter again") from error
        spec = _spec_of(config, where)
        modules = dict(base.model.named_modules())
        pieces: list[Piece] = []
        parts: list[torch.Tensor] = []
        start = 0
        names = _paired_names(tensors, where)
        order = {name: number for number, name in enumerate(base.linear_names)}
        for name in sorted(names, key=lambda n: (order.get(n, len(order)), n)):
            module = modules.get(name)
            linear = None if module is None else original_linear(module)
            if linear is None or name not in order:
                raise TraitscopeError(
                    f"it adapts {name}, which is no linear layer inside the decoder of {base.name}",
                    where=where,
                    fix="use the base that the adapter was trained on "
                    f"({config.get('base_model_name_or_path')}); heads and embeddings are not supported",
                )
            a_RD, b_OR = tensors[f"{PREFIX}{name}.lora_A.weight"], tensors[f"{PREFIX}{name}.lora_B.weight"]
            d_in, d_out = shape_of(linear)
            if a_RD.shape[1] != d_in or b_OR.shape[0] != d_out or a_RD.shape[0] != b_OR.shape[1]:
                raise TraitscopeError(
                    f"{name}: A {tuple(a_RD.shape)} and B {tuple(b_OR.shape)} do not fit a {d_in} -> {d_out} layer",
                    where=where,
                    fix=f"use the base that the adapter was trained on ({config.get('base_model_name_or_path')})",
                )
            rank = int(a_RD.shape[0])
            alpha = float(_pattern(config.get("alpha_pattern") or {}, name, spec.alpha))
            piece = Piece(name, rank, spec.scale(rank, alpha), d_in, d_out, start)
            pieces.append(piece)
            parts += [a_RD.reshape(-1), b_OR.reshape(-1)]
            start += piece.size
        flat = torch.cat(parts).to(adapter_dtype(base))
        if not torch.isfinite(flat).all():
            raise TraitscopeError("holds NaN or infinite weights", where=where, fix="train it again, with a lower lr")
        adapter = cls(spec, tuple(pieces), flat)
        if all(not piece.views(flat)[1].any() or not piece.views(flat)[0].any() for piece in pieces):
            raise TraitscopeError(
                "changes nothing: every update B A is zero",
                where=where,
                fix="check that it was trained and saved after training",
            )
        return adapter


def adapter_dtype(base: Base) -> torch.dtype:
    """Adapters are kept in fp32 whatever the base; in fp64 on an fp64 base."""
    return torch.float64 if base.dtype == torch.float64 else torch.float32


def _linear(module: Any) -> Any:
    linear = original_linear(module)
    assert linear is not None
    return linear


def _targets(base: Base, adapter: Adapter) -> list[Any]:
    modules = dict(base.model.named_modules())
    return [modules[piece.name] for piece in adapter.pieces]


def _spec_of(config: dict[str, Any], where: str) -> LoraSpec:
    if config.get("peft_type") != "LORA":
        raise TraitscopeError(
            f"is of PEFT type {config.get('peft_type')}", where=where, fix="only LoRA adapters can be loaded"
        )
    for option, what in REFUSED.items():
        if config.get(option):
            raise TraitscopeError(f"uses {what}, which is not supported", where=where, fix="train a plain LoRA")
    if config.get("bias", "none") != "none":
        raise TraitscopeError("trains biases, which is not supported", where=where, fix="train with bias: none")
    targets = config.get("target_modules")
    return LoraSpec(
        rank=int(config["r"]),
        alpha=float(config["lora_alpha"]),
        targets=targets if isinstance(targets, str) else tuple(sorted(targets or ())),
        rslora=bool(config.get("use_rslora")),
    )


def _paired_names(tensors: dict[str, torch.Tensor], where: str) -> list[str]:
    ends = (".lora_A.weight", ".lora_B.weight")
    names: dict[str, int] = {}
    for key in tensors:
        end = next((e for e in ends if key.endswith(e)), None)
        if end is None or not key.startswith(PREFIX):
            raise TraitscopeError(
                f"holds {key}, which is no LoRA weight of a linear layer",
                where=where,
                fix="train a plain LoRA",
            )
        name = key[len(PREFIX) : -len(end)]
        names[name] = names.get(name, 0) + 1
    broken = [name for name, count in names.items() if count != 2]
    if broken or not names:
        what = f"{broken[0]} has only one of A and B" if broken else "holds no weights"
        raise TraitscopeError(what, where=where, fix="save the adapter again")
    return list(names)


def _pattern(patterns: dict[str, Any], name: str, default: float) -> float:
    import re

    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return float(value)
    return default
