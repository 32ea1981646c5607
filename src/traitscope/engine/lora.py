"""A LoRA adapter: its specification and its weights in one flat buffer.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models". Initialisation and file layout are PEFT's, so that
what is trained here loads there and the other way round.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from traitscope.engine.base import Base
from traitscope.engine.linear import original_linear, shape_of
from traitscope.engine.peft_config import peft_config
from traitscope.engine.peft_folder import PREFIX, read_folder
from traitscope.errors import TraitscopeError
from traitscope.store.adapters import write_adapter
from traitscope.store.patterns import Patterns, value_of
from traitscope.store.targets import Decoder, resolve_targets


@dataclass(frozen=True)
class LoraSpec:
    """What an adapter looks like.

    Attributes:
        rank: rank R of the update.
        alpha: the update is scaled by alpha / R (alpha / sqrt(R) with ``rslora``).
        targets: ``"all-linear"`` (every linear layer but the head) or module-name suffixes such as ``q_proj``.
        layers: first and last decoder layer (0-based, inclusive) that carry the adapter; None means all.
        rslora: rank-stabilised scaling (Kalajdzievski 2023).
        dropout: share of the inputs of A that are zeroed in training (the others are divided by 1 - dropout).
        rank_pattern, alpha_pattern: (pattern, value) of modules with another rank or alpha; the first pattern that
            matches a module's name, or the end of it behind a dot, holds, as in PEFT.
    """

    rank: int
    alpha: float
    targets: str | tuple[str, ...] = "all-linear"
    layers: tuple[int, int] | None = None
    rslora: bool = False
    dropout: float = 0.0
    rank_pattern: Patterns = ()
    alpha_pattern: Patterns = ()

    def __post_init__(self) -> None:
        for name in ("targets", "layers"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.rank < 1:
            raise TraitscopeError(f"rank is {self.rank}", where="recipe.rank", fix="use a rank of at least 1")
        if not 0 <= self.dropout < 1:
            raise TraitscopeError(
                f"dropout is {self.dropout}", where="recipe.dropout", fix="use a share of at least 0 and less than 1"
            )

    def rank_of(self, name: str) -> int:
        """Rank of the module ``name``."""
        return int(value_of(self.rank_pattern, name, self.rank, "rank_pattern"))

    def alpha_of(self, name: str) -> float:
        """Alpha of the module ``name``."""
        return float(value_of(self.alpha_pattern, name, self.alpha, "alpha_pattern"))

    def scale(self, rank: int | None = None, alpha: float | None = None) -> float:
        rank = self.rank if rank is None else rank
        alpha = self.alpha if alpha is None else alpha
        return alpha / math.sqrt(rank) if self.rslora else alpha / rank

    def resolve(self, base: Decoder) -> list[str]:
        """Names of the modules of ``base`` that this adapter targets, in the model's order.

        Raises:
            TraitscopeError: a target matches no linear layer, or the layers lie outside the model.
        """
        return resolve_targets(base, self.targets, self.layers)


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
            linear = original_linear(modules[name])
            assert linear is not None
            d_in, d_out = shape_of(linear)
            rank = spec.rank_of(name)
            piece = Piece(name, rank, spec.scale(rank, spec.alpha_of(name)), d_in, d_out, start)
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
        """The fields of PEFT's ``adapter_config.json``, under which PEFT adapts these modules of ``base`` alone."""
        spec = self.spec
        alphas = {piece.name: spec.alpha_of(piece.name) for piece in self.pieces}
        return peft_config(
            base,
            [piece.name for piece in self.pieces],
            rank=spec.rank,
            alpha=spec.alpha,
            ranks={piece.name: piece.rank for piece in self.pieces if piece.rank != spec.rank},
            alphas={name: alpha for name, alpha in alphas.items() if alpha != spec.alpha},
            rslora=spec.rslora,
            dropout=spec.dropout,
        )

    @classmethod
    def load(cls, folder: Path, base: Decoder) -> Adapter:
        """Read a PEFT LoRA folder for ``base``.

        Raises:
            TraitscopeError: not a LoRA folder, made for another base, an option that is not implemented, or an
                adapter that changes nothing.
        """
        where = f"adapter {folder}"
        saved = read_folder(Path(folder), base)
        config = saved.config
        chosen = config.target_modules or ()
        spec = LoraSpec(
            rank=config.r,
            alpha=config.lora_alpha,
            targets=chosen if isinstance(chosen, str) else tuple(sorted(chosen)),
            rslora=bool(config.use_rslora),
            dropout=float(config.lora_dropout),
            rank_pattern=tuple((config.rank_pattern or {}).items()),
            alpha_pattern=tuple((config.alpha_pattern or {}).items()),
        )
        modules = dict(base.model.named_modules())
        pieces: list[Piece] = []
        parts: list[torch.Tensor] = []
        start = 0
        for name, (a_RD, b_OR) in saved.pairs.items():
            linear = original_linear(modules[name])
            assert linear is not None
            d_in, d_out = shape_of(linear)
            if a_RD.shape[1] != d_in or b_OR.shape[0] != d_out or a_RD.shape[0] != b_OR.shape[1]:
                raise TraitscopeError(
                    f"{name}: A {tuple(a_RD.shape)} and B {tuple(b_OR.shape)} do not fit a {d_in} -> {d_out} layer",
                    where=where,
                    fix=f"use the base that the adapter was trained on ({config.base_model_name_or_path})",
                )
            rank = spec.rank_of(name)
            if a_RD.shape[0] != rank:
                raise TraitscopeError(
                    f"{name}: A and B have rank {a_RD.shape[0]}, the configuration says {rank} (r, rank_pattern)",
                    where=where,
                    fix="save the adapter again in PEFT",
                )
            piece = Piece(name, rank, spec.scale(rank, spec.alpha_of(name)), d_in, d_out, start)
            pieces.append(piece)
            parts += [a_RD.reshape(-1), b_OR.reshape(-1)]
            start += piece.size
        # Each in full first: weights of two precisions would else be put together in the lower one's.
        flat = torch.cat([part.to(adapter_dtype(base)) for part in parts])
        adapter = cls(spec, tuple(pieces), flat)
        if (fault := adapter.fault()) is not None:
            raise TraitscopeError(fault, where=where, fix="train it again, and save it after training")
        return adapter

    def fault(self) -> str | None:
        """What makes of it no adapter: weights that are no numbers, or none that change anything; else None."""
        if not torch.isfinite(self.flat).all():
            return "holds NaN or infinite weights"
        if not any(piece.scale and all(view.any() for view in piece.views(self.flat)) for piece in self.pieces):
            return "changes nothing: every update B A is zero"
        return None


def adapter_dtype(base: Decoder) -> torch.dtype:
    """Adapters are kept in fp32 whatever the base; in fp64 on an fp64 base."""
    return torch.float64 if base.dtype == torch.float64 else torch.float32
