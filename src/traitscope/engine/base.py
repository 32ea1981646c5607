"""The frozen base model: loading, its parts, and the runtime that attention and linear layers consult."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from traitscope.engine.attention import ACTIVE_PASSES
from traitscope.engine.fused import fused_rotary
from traitscope.engine.layout import Layout
from traitscope.engine.linear import original_linear, shape_of
from traitscope.engine.positions import Sides, tables_by_row
from traitscope.engine.quantised import NF4, is_quantised
from traitscope.engine.runtime import Runtime
from traitscope.errors import TraitscopeError
from traitscope.store.reading import positions_of

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


@dataclass(frozen=True)
class Paths:
    """How the rows of a model may be computed without changing what any of them gives alone.

    Attributes:
        packed: rows lie in one sequence, answers in trees, common prefixes are computed once, through our attention.
        batched: else, whether rows can be right-padded to one batch; if not, each runs alone.
        decoded: whether prompts can be left-padded to one batch in generation.
        caches: whether generation may use the model's own cache.
        plain_head: logits are the plain product of the last hidden states and the head's weight.
        trunk: whether the lower layers' result can be handed to models that differ in upper layers only.
        merges: whether an adapter merged into a copy of the weights acts as it does beside them.
        routers: modules that are linear layers by class only; no adapter goes there.
        routed: linear layers that see other tokens than those of the pass; one adapter at a time acts there.
        hidden: why hidden states cannot be captured; empty where they can.
        why: why the faster paths are not taken; empty for packed.
        kv_width: numbers that all keys and values of a token take.
    """

    packed: bool = False
    batched: bool = False
    decoded: bool = False
    caches: bool = True
    plain_head: bool = False
    trunk: bool = False
    merges: bool = False
    routers: frozenset[str] = frozenset()
    routed: frozenset[str] = frozenset()
    hidden: str = ""
    why: str = ""
    kv_width: int = 0


@dataclass
class Base:
    """A frozen causal language model and its tokenizer.

    Attributes:
        model: the Hugging Face model, in eval mode, no parameter requiring gradients.
        tokenizer: its tokenizer.
        name: Hub id or folder as the user wrote it.
        revision: commit of a Hub model, else None.
        fingerprint: 32 hex digits that identify weights, architecture and tokenizer.
        paths: what ``prove`` found the engine to compute exactly.
        runtime: the pass under way.
        layers: the decoder layers, lowest first.
        sides: the position tables that change with a row's length; None where they do not.
        rotary_modules: modelling files whose rotary embedding is done in fewer passes (``fused.py``).
        product_dtype: bf16 where only the frozen products run in bf16 and everything between them in fp32, else None.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str | None
    fingerprint: str
    device: torch.device
    dtype: torch.dtype
    paths: Paths
    runtime: Runtime
    layers: nn.ModuleList
    sides: Sides | None = None
    rotary_modules: tuple[str, ...] = ()
    product_dtype: torch.dtype | None = None

    @property
    def precision(self) -> str:
        """How the weights are kept, as ``load_base`` takes it; the number format itself for a rare one."""
        if is_quantised(self.model):
            return NF4
        kept = self.product_dtype or self.dtype
        return next((name for name, dtype in DTYPES.items() if dtype == kept), str(kept))

    @property
    def mergeable(self) -> bool:
        """Whether an adapter merged into a copy of the weights acts as it does beside them.

        In half precision merging would round the update away, and 4-bit weights cannot take it up.
        """
        return self.paths.merges and self.precision in ("fp32", "fp64")

    @property
    def config(self) -> Any:
        return self.model.config.get_text_config()

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def hidden_size(self) -> int:
        return int(self.config.hidden_size)

    @property
    def vocab_size(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[0])

    @cached_property
    def max_positions(self) -> int:
        """Tokens of the longest row."""
        return positions_of(self.model.config) or 1 << 30

    def check_tokens(self, rows: Iterable[Sequence[int]]) -> None:
        """Raises TraitscopeError where a row has a token that the model has no embedding for."""
        size = min(self.vocab_size, self.model.get_input_embeddings().weight.shape[0])
        for number, row in enumerate(rows):
            if min(row, default=0) < 0:
                raise TraitscopeError(f"token {min(row)}", where=f"row {number}", fix="tokens are 0 or more")
            if max(row, default=0) >= size:
                raise TraitscopeError(
                    f"token {max(row)} of the tokenizer, where {self.name} has {size} tokens",
                    where=f"row {number}",
                    fix="take the tokenizer that belongs to the model, or a model whose embedding was resized for it",
                )

    @property
    def backbone(self) -> nn.Module:
        """The model without its head; returns the hidden states after the final norm."""
        named = getattr(self.model, self.model.base_model_prefix, None)
        return self.model.model if named is None else named

    @property
    def head(self) -> nn.Module:
        return self.model.get_output_embeddings()

    @property
    def packed(self) -> bool:
        return self.paths.packed

    @property
    def plain_head(self) -> bool:
        return self.paths.plain_head

    def batch_of(self, length: int) -> object:
        """Equal for rows that one right-padded batch can hold; None where a row of this length runs alone."""
        if not self.paths.batched:
            return None
        return self.sides(length) if self.sides else True

    def decoded_with(self, length: int, max_new: int) -> object:
        """As ``batch_of``, for prompts that are continued by up to ``max_new`` tokens."""
        whole = length + max_new
        if not self.paths.decoded or whole > self.max_positions:
            return None
        return None if self.crosses(length, whole) else self.batch_of(whole)

    def crosses(self, length: int, whole: int) -> bool:
        """Whether a row that grows from ``length`` to ``whole`` tokens changes its position tables on the way."""
        return self.sides is not None and self.sides(length) != self.sides(whole)

    @cached_property
    def n_parameters(self) -> int:
        """Parameters that take part in a matrix product per token: all but the input embedding (unless tied)."""
        inside = {
            name: shape_of(module)
            for name, module in self.model.named_modules()
            if type(module).__name__ == "Linear4bit"
        }
        packed = {f"{name}.weight" for name in inside}
        total = sum(p.numel() for name, p in self.model.named_parameters() if name not in packed)
        total += sum(d_in * d_out for d_in, d_out in inside.values())
        embedding = self.model.get_input_embeddings().weight
        tied = embedding is self.head.weight
        return int(total - (0 if tied else embedding.numel()))

    @cached_property
    def linear_names(self) -> list[str]:
        """Names of all linear modules inside the decoder layers (PEFT's ``all-linear``: no head, no embedding)."""
        prefix = _layers_prefix(self)
        return [
            name
            for name, module in self.model.named_modules()
            if name.startswith(prefix) and original_linear(module) is not None and name not in self.paths.routers
        ]

    def layer_of(self, name: str) -> int:
        """Index of the decoder layer (0-based) that a module belongs to."""
        prefix = _layers_prefix(self)
        return int(name[len(prefix) :].split(".", 1)[0])


def _layers_prefix(base: Base) -> str:
    layers = base.layers
    for name, module in base.model.named_modules():
        if module is layers:
            return name + "."
    raise AssertionError("layers are part of the model")


@contextmanager
def use_layout(base: Base, layout: Layout) -> Iterator[None]:
    """The passes inside it run under ``layout``."""
    outer, base.runtime.layout = base.runtime.layout, layout
    base.runtime.counts = {}
    ACTIVE_PASSES.append(layout)
    try:
        with fused_rotary(base.rotary_modules), tables_by_row(base.sides, layout):
            yield
    finally:
        base.runtime.layout = outer
        ACTIVE_PASSES.pop()
