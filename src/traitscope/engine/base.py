"""The frozen base model: loading, its parts, and the runtime that attention and linear layers consult."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from traitscope.engine.attention import ACTIVE_PASSES
from traitscope.engine.fused import fused_rotary
from traitscope.engine.layout import Layout
from traitscope.engine.linear import original_linear, shape_of
from traitscope.engine.positions import Sides, tables_by_row
from traitscope.engine.quantised import NF4, is_quantised, nf4_options
from traitscope.engine.runtime import Runtime
from traitscope.engine.structure import sparse_beyond
from traitscope.errors import TraitscopeError
from traitscope.store.fingerprints import fingerprint_folder
from traitscope.store.models import cached_folder, resolve_model

log = logging.getLogger(__name__)

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

    @property
    def max_positions(self) -> int:
        """Tokens of the longest row; where a learnt sparse attention would leave tokens out, those that it keeps.

        What such an attention leaves out depends on tokens that come later: longer rows have no value of their own.
        """
        places = getattr(self.config, "max_position_embeddings", None) or 1 << 30
        return min(int(places), sparse_beyond(self.model.config) or 1 << 30)

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


def pick_device(device: str) -> torch.device:
    """``auto`` is the first CUDA device, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise TraitscopeError(
            f"device {device} asked for, but torch sees no GPU", where="compute.device", fix="use cpu or auto"
        )
    return chosen


def pick_dtype(dtype: str, config_dtype: Any, device: torch.device) -> torch.dtype:
    """``auto`` is the checkpoint's own dtype on a GPU and fp32 on a CPU."""
    if dtype == "auto":
        return config_dtype if device.type == "cuda" and isinstance(config_dtype, torch.dtype) else torch.float32
    if dtype not in DTYPES:
        raise TraitscopeError(
            f"unknown dtype {dtype!r}", where="base.dtype", fix=f"use one of {', '.join(DTYPES)}, {NF4} or auto"
        )
    return DTYPES[dtype]


def load_base(model: str | Path, *, revision: str | None = None, dtype: str = "auto", device: str = "auto") -> Base:
    """Load a base model from a folder, the Hub (only when a Hub id is named) or the embedded one.

    Args:
        model: ``"embedded"``, a local folder or a Hub id.
        revision: commit, tag or branch of a Hub model.
        dtype: ``fp32``, ``bf16``, ``fp16``, ``fp64``, ``nf4`` (4 bits, through bitsandbytes) or ``auto``.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.

    Raises:
        TraitscopeError: the model is missing, is no causal LM, or needs code that does not ship with transformers.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from traitscope.engine.wrap import wrap_model

    target = resolve_model(model)
    local = isinstance(target, Path)
    fingerprint = fingerprint_folder(target) if isinstance(target, Path) else ""
    where = f"base model {model}"
    try:
        config = AutoConfig.from_pretrained(target, revision=revision or "main", local_files_only=local)
        torch_device = pick_device(device)
        options = (
            nf4_options(torch_device)
            if dtype == NF4
            else {"dtype": pick_dtype(dtype, getattr(config, "dtype", None), torch_device)}
        )
        hf_model = AutoModelForCausalLM.from_pretrained(
            target,
            revision=revision or "main",
            local_files_only=local,
            use_safetensors=True,
            **options,
        )
        tokenizer = AutoTokenizer.from_pretrained(target, revision=revision or "main", local_files_only=local)
    except TraitscopeError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        fix = "check the folder" if local else "check the Hub id, the revision, the network and your access token"
        raise TraitscopeError(f"could not be loaded: {first_line}", where=where, fix=fix) from error
    commit = None
    if not isinstance(target, Path):
        folder = cached_folder(target, revision)
        assert folder is not None, "it was just loaded from there"
        commit = fingerprint = folder.name
    # On a CPU element-wise work is faster in fp32 than in bf16, and products are twice as fast in bf16: the weights are
    # rounded to bf16, activations stay fp32 between the products.
    mixed = options["dtype"] == torch.bfloat16 and torch_device.type == "cpu"
    if not is_quantised(hf_model):
        hf_model = hf_model.float() if mixed else hf_model.to(torch_device)
    base = wrap_model(hf_model, tokenizer, name=str(model), revision=commit or revision, fingerprint=fingerprint)
    base.product_dtype = torch.bfloat16 if mixed else None
    return base


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
