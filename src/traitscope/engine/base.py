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

from traitscope.engine.attention import ACTIVE_PASSES, NAME, register
from traitscope.engine.fused import fuse_norms, fused_rotary, rotary_modules
from traitscope.engine.layout import CausalPack, Layout
from traitscope.engine.linear import original_linear, shape_of
from traitscope.engine.quantised import NF4, is_quantised, keep_differentiable, nf4_options
from traitscope.engine.runtime import Runtime
from traitscope.errors import TraitscopeError
from traitscope.store.fingerprints import fingerprint_folder
from traitscope.store.models import BUILT_IN, cached_folder, locate, resolve_model

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


@dataclass
class Base:
    """A frozen causal language model and its tokenizer.

    Attributes:
        model: the Hugging Face model, in eval mode, no parameter requiring gradients.
        tokenizer: its tokenizer.
        name: Hub id or folder as the user wrote it.
        revision: commit of a Hub model, else None.
        fingerprint: 32 hex digits that identify weights, architecture and tokenizer.
        packed: True where rows are concatenated without padding through our attention function; False for
            architectures that do not use transformers' attention interface (they run padded).
        runtime: the pass under way.
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
    packed: bool
    plain_head: bool
    runtime: Runtime
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
        return self.precision in ("fp32", "fp64")

    @property
    def config(self) -> Any:
        return self.model.config.get_text_config()

    @property
    def n_layers(self) -> int:
        return int(self.config.num_hidden_layers)

    @property
    def hidden_size(self) -> int:
        return int(self.config.hidden_size)

    @property
    def vocab_size(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def max_positions(self) -> int:
        return int(getattr(self.config, "max_position_embeddings", None) or 1 << 30)

    @property
    def backbone(self) -> nn.Module:
        """The model without its head; returns the hidden states after the final norm."""
        return getattr(self.model, self.model.base_model_prefix)

    @property
    def head(self) -> nn.Module:
        return self.model.get_output_embeddings()

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder layers, lowest first."""
        for module in self.backbone.modules():
            if isinstance(module, nn.ModuleList) and len(module) == self.n_layers:
                return module
        raise TraitscopeError(
            "the decoder layers could not be found",
            where=self.name,
            fix="report the architecture: " + type(self.model).__name__,
        )

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
            if name.startswith(prefix) and original_linear(module) is not None
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


def load_base(
    model: str | Path,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    root: str | Path = ".",
) -> Base:
    """Load a base model from a folder, a GGUF file, the Hub (only when a Hub id is named) or an installed package.

    Args:
        model: ``"embedded"``, ``"smollm2-135m"``, a local folder, a GGUF file (in the transformers layout it is kept
            in the user's cache from then on) or a Hub id. The base's name is its absolute path, but for the first two.
        revision: commit, tag or branch of a Hub model.
        dtype: ``fp32``, ``bf16``, ``fp16``, ``fp64``, ``nf4`` (4 bits, through bitsandbytes) or ``auto``.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        root: the folder that relative paths start from.

    Raises:
        TraitscopeError: the model is missing, is no causal LM, or needs code that does not ship with transformers.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    name = str(model) if str(model) in BUILT_IN else str(locate(model, root))
    target = resolve_model(model, root)
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
    base = wrap_model(hf_model, tokenizer, name=name, revision=commit or revision, fingerprint=fingerprint)
    base.product_dtype = torch.bfloat16 if mixed else None
    return base


def wrap_model(
    model: Any, tokenizer: Any, *, name: str = "model", revision: str | None = None, fingerprint: str = ""
) -> Base:
    """Freeze a Hugging Face causal LM and route its attention through the engine.

    The model's own output on a short random row is compared with the engine's; where the packed path does not
    reproduce it (an architecture outside transformers' attention interface, a special head) the padded path
    or the model's own head is used instead.
    """
    register()
    model.eval()
    keep_differentiable(model)
    model.requires_grad_(False)
    runtime = Runtime()
    for module in model.modules():
        object.__setattr__(module, "_traitscope_runtime", runtime)
    parameter = next(model.parameters())
    base = Base(
        model=model, tokenizer=tokenizer, name=name, revision=revision, fingerprint=fingerprint,
        device=parameter.device, dtype=parameter.dtype, packed=False, plain_head=False, runtime=runtime,
    )  # fmt: skip
    if base.head is None:
        raise TraitscopeError("the model has no language-model head", where=name, fix="name a causal language model")
    generator = torch.Generator().manual_seed(0)
    ids_T = torch.randint(0, base.vocab_size, (14,), generator=generator).to(base.device)
    with torch.no_grad():
        rows = [ids_T[:9], ids_T[9:]]
        wanted = torch.cat([model(input_ids=row[None], use_cache=False).logits[0] for row in rows]).double()
        # Even fp64 models take softmax and norms in fp32 in some architectures, so that agreement ends at about 1e-6.
        tolerance = {torch.float64: 1e-5, torch.float32: 1e-3}.get(base.dtype, 0.25)
        native = getattr(model.config, "_attn_implementation", "sdpa")
        if getattr(model, "_supports_attention_backend", False):
            model.set_attn_implementation(NAME)
            try:
                layout = CausalPack([9, 5], device=base.device)
                with use_layout(base, layout):
                    hidden_TD = base.backbone(
                        input_ids=ids_T[None], position_ids=layout.position_ids[None], use_cache=False
                    ).last_hidden_state[0]
                    full = model(input_ids=ids_T[None], position_ids=layout.position_ids[None], use_cache=False).logits[
                        0
                    ]
                base.packed = _close(full.double(), wanted, tolerance)
                base.plain_head = base.packed and _close(base.head(hidden_TD).double(), wanted, tolerance)
            except Exception as error:
                log.info("%s runs padded: the packed path failed with %s", name, error)
                base.packed = False
        if not base.packed:
            model.set_attn_implementation(native)
            hidden_TD = torch.cat(
                [base.backbone(input_ids=row[None], use_cache=False).last_hidden_state[0] for row in rows]
            )
            base.plain_head = _close(base.head(hidden_TD).double(), wanted, tolerance)
    if base.packed and base.dtype != torch.float64:
        # fp64 is for comparisons: there the model's own operations run.
        fuse_norms(model)
        base.rotary_modules = rotary_modules(model)
    # Counted now: an open bank hides the frozen weights from the module tree.
    _ = base.n_parameters, base.linear_names
    return base


def _close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> bool:
    scale = max(1.0, float(theirs.abs().max()))
    return bool((ours - theirs).abs().max() <= tolerance * scale)


@contextmanager
def use_layout(base: Base, layout: Layout) -> Iterator[None]:
    """The passes inside it run under ``layout``."""
    outer, base.runtime.layout = base.runtime.layout, layout
    ACTIVE_PASSES.append(layout)
    try:
        with fused_rotary(base.rotary_modules):
            yield
    finally:
        base.runtime.layout = outer
        ACTIVE_PASSES.pop()
