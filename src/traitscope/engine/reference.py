"""What a model gives for a few rows, one at a time, by its own forward alone: the yardstick of ``proof``.

Adapters act here as in PEFT, beside the linear layers, through hooks: nothing of the engine is involved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from traitscope.engine.base import Base
from traitscope.engine.lora import Adapter, LoraSpec

RANK = 2
# Size of an adapter's update beside the frozen weight: large enough to matter in every layer.
UPDATE = 0.3

# Tokens that all prompts share, behind it, of an answer, and generated.
SHARED, TAILS, NEW = 16, (3, 1, 6, 4), 3


@dataclass(frozen=True)
class Rows:
    """Prompts that share a prefix, each with two answers that share their first token."""

    contexts: list[tuple[int, ...]]
    options: list[tuple[tuple[int, ...], tuple[int, ...]]]

    @classmethod
    def draw(cls, vocabulary: int, longest: int, special: Sequence[int] = ()) -> Rows:
        """Rows of random tokens; shorter where the model has few positions.

        The tokens ``special`` stand in the third prompt, as models may treat them, and all behind them, otherwise.
        """
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(0, vocabulary, (200,), generator=generator).tolist()
        shared = max(1, min(SHARED, longest - max(TAILS) - 4))
        contexts: list[tuple[int, ...]] = []
        options: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        at = shared
        for number, tail in enumerate(TAILS):
            own = ids[at : at + tail]
            if number == 2:
                kept = [token for token in special if 0 <= token < vocabulary][: tail - 1]
                own[: len(kept)] = kept
            contexts.append((*ids[:shared], *own))
            first, *more = ids[at + tail : at + tail + 4]
            options.append(((first, *more[:2]), (first, more[2])))
            at += tail + 4
        return cls(contexts, options)

    @property
    def wholes(self) -> list[tuple[int, ...]]:
        """Every prompt with its first answer."""
        return [context + pair[0] for context, pair in zip(self.contexts, self.options, strict=True)]


@dataclass
class Reference:
    """What the model gives for the rows under each of the models (adapters, or None for itself).

    Attributes:
        logprobs: by model and row, those of both answers' tokens.
        grads: gradient of the summed log-probabilities of the first answers, by adapter.
        said, margins: by row, greedily generated tokens under the first model and by how much each was ahead.
        hidden: by row, the last token's state after every layer under the first model, [L, D]; None: not one per token.
        scale: largest logit.
        spread: by how much logits differ between a row alone and beside another of its length.
        grad_spread: in half precision, how far the model's own gradients move, as a share of their size, where the last
            bit of embeddings does.
    """

    models: dict[str, Adapter | None]
    logprobs: dict[str, list[tuple[np.ndarray, ...]]]
    grads: dict[str, torch.Tensor]
    said: list[list[int]]
    margins: list[list[float]]
    hidden: list[torch.Tensor] | None
    scale: float
    spread: float
    grad_spread: float


def probe_adapter(base: Base, seed: int) -> Adapter:
    """An adapter on every linear layer whose update is large."""
    adapter = Adapter.init(base, LoraSpec(RANK, float(RANK)), seed)
    generator = torch.Generator().manual_seed(seed)
    modules = dict(base.model.named_modules())
    for piece in adapter.pieces:
        a_RD, b_OR = piece.views(adapter.flat)
        b_OR.copy_(torch.randn(b_OR.shape, generator=generator))
        weight: Any = modules[piece.name].weight
        wanted = float(weight.float().norm()) if weight.is_floating_point() else piece.d_out**0.5
        b_OR.mul_(UPDATE * wanted / (piece.scale * float((b_OR @ a_RD).norm()) + 1e-9))
    return adapter


@contextmanager
def embedded(base: Base) -> Iterator[list[torch.Tensor]]:
    """The token embeddings of every forward inside it, [1, T, D], as leaves that take gradients."""
    leaves: list[torch.Tensor] = []

    def cut(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        leaves.append(output.detach().requires_grad_(True))
        # Some models write into it.
        return leaves[-1].clone()

    hook = base.model.get_input_embeddings().register_forward_hook(cut)
    try:
        with torch.enable_grad():
            yield leaves
    finally:
        hook.remove()


@contextmanager
def nudged(base: Base) -> Iterator[None]:
    """Token embeddings differ by about a last bit: behind them, rounding takes another course in every layer."""
    generator = torch.Generator().manual_seed(0)
    size = torch.finfo(base.dtype).eps

    def move(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        noise = 2 * torch.rand(output.shape, generator=generator) - 1
        return (output.float() * (1 + size * noise.to(output.device))).to(output.dtype)

    hook = base.model.get_input_embeddings().register_forward_hook(move)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def acting(base: Base, adapter: Adapter | None, leaf: torch.Tensor | None = None) -> Iterator[None]:
    """The adapter acts beside the base's own linear layers; with ``leaf`` as its weights, differentiably."""
    hooks = []
    if adapter is not None:
        flat = (adapter.flat if leaf is None else leaf).to(base.device)
        for piece in adapter.pieces:
            pair = (*piece.views(flat), piece.scale)
            hooks.append(base.model.get_submodule(piece.name).register_forward_hook(_beside(*pair)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _beside(a_RD: torch.Tensor, b_OR: torch.Tensor, scale: float) -> Any:
    def hook(_module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        x = args[0]
        return output + scale * (x @ a_RD.to(x.dtype).t()) @ b_OR.to(x.dtype).t()

    return hook


def logits_of(base: Base, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """The model's own logits for rows of one length, [B, T, V], fp64 on the CPU."""
    ids_BT = torch.tensor([list(row) for row in rows], device=base.device)
    output = base.model(input_ids=ids_BT, use_cache=False).logits
    return output.double().cpu()


def reference(base: Base, rows: Rows) -> Reference:
    """Run every row by itself.

    Raises:
        Exception: what the model raises for a single row.
    """
    adapters = (probe_adapter(base, seed) for seed in (1, 2))
    models: dict[str, Adapter | None] = {**dict(zip(("first", "second"), adapters, strict=True)), "base": None}
    logprobs: dict[str, list[tuple[np.ndarray, ...]]] = {}
    scale = 0.0
    with torch.no_grad():
        for name in ("first", "base"):
            logprobs[name] = []
            with acting(base, models[name]):
                for context, pair in zip(rows.contexts, rows.options, strict=True):
                    found = []
                    for option in pair:
                        # As lm-evaluation-harness: the last token of an answer is looked up and never run.
                        logits_TV = logits_of(base, [(context + option)[:-1]])[0]
                        scale = max(scale, float(logits_TV.abs().max()))
                        found.append(_logprobs(logits_TV, context, option).numpy())
                    logprobs[name].append(tuple(found))
        same = [row[: min(map(len, rows.contexts))] for row in (rows.contexts[0], rows.contexts[2])]
        same[1] = tuple(reversed(same[1]))
        alone = torch.cat([logits_of(base, [row]) for row in same])
        spread = float((logits_of(base, same) - alone).abs().max())
        with acting(base, models["first"]):
            said, margins = zip(*(_greedy(base, context) for context in rows.contexts), strict=True)
            hidden = [_hidden(base, context) for context in rows.contexts]
    grads, grad_spread = _gradients(base, rows, models), 0.0
    if torch.finfo(base.dtype).bits < 32:
        with nudged(base):
            moved = _gradients(base, rows, models)
        grad_spread = max(float((moved[name] - grads[name]).norm() / (grads[name].norm() + 1e-30)) for name in grads)
    return Reference(
        models,
        logprobs,
        grads,
        list(said),
        list(margins),
        None if any(states is None for states in hidden) else hidden,  # type: ignore[arg-type]
        scale,
        spread,
        grad_spread,
    )


def _logprobs(logits_TV: torch.Tensor, context: Sequence[int], option: Sequence[int]) -> torch.Tensor:
    n = len(context)
    picked = logits_TV.log_softmax(-1)[n - 1 : n - 1 + len(option)]
    return picked[torch.arange(len(option)), torch.tensor(option)]


def _gradients(base: Base, rows: Rows, models: dict[str, Adapter | None]) -> dict[str, torch.Tensor]:
    """Of the mean negative log-probability of the first answers: rows 0 and 1 under "first", 2 under "second"."""
    out = {}
    for name, chosen in (("first", (0, 1)), ("second", (2,))):
        adapter = models[name]
        assert adapter is not None
        leaf = adapter.flat.clone().requires_grad_(True)
        total: torch.Tensor = torch.zeros(())
        count = 0
        with torch.enable_grad(), acting(base, adapter, leaf):
            for row in chosen:
                context, option = rows.contexts[row], rows.options[row][0]
                ids = torch.tensor([context + option], device=base.device)
                logits_TV = base.model(input_ids=ids, use_cache=False).logits[0]
                total = total - _logprobs(logits_TV.float().cpu(), context, option).sum()
                count += len(option)
        (out[name],) = torch.autograd.grad(total / count, leaf)
    return out


def _greedy(base: Base, context: Sequence[int]) -> tuple[list[int], list[float]]:
    row, margins = list(context), []
    for _ in range(NEW):
        best = logits_of(base, [row])[0, -1].topk(2)
        row.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
    return row[len(context) :], margins


def _hidden(base: Base, context: Sequence[int]) -> torch.Tensor | None:
    """The last token's state after every layer, as the model itself lists them; the last one is after the norm."""
    ids = torch.tensor([context], device=base.device)
    states = base.model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
    one_each = (1, len(context), base.hidden_size)
    if states is None or len(states) != base.n_layers + 1 or any(state.shape != one_each for state in states):
        return None
    return torch.stack([state[0, -1].float().cpu() for state in states])
