"""Taking a Hugging Face model as a base: look at it, try the engine's paths on it, keep the fastest exact ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from traitscope.engine.attention import NAME, register
from traitscope.engine.base import Base, Paths, use_layout
from traitscope.engine.fused import fuse_norms, rotary_modules, split_norms
from traitscope.engine.layout import CausalPack
from traitscope.engine.positions import Sides
from traitscope.engine.proof import prove_more, prove_packed, prove_padded, tolerance
from traitscope.engine.quantised import keep_differentiable
from traitscope.engine.reference import Reference, Rows, embedded, logits_of, reference
from traitscope.engine.remembered import recall, remember
from traitscope.engine.runtime import Runtime
from traitscope.engine.structure import (
    CountingFromAfar,
    NotProven,
    Row,
    decoder_layers,
    follow_row,
    random_state,
    sites_of,
    special_tokens,
    usual_cache,
    watching,
)
from traitscope.errors import TraitscopeError, is_out_of_memory
from traitscope.store.reading import numbers_in

# Hidden states are multiplied until logits reach this size: a bound on them then shows.
LARGE_LOGITS = 1000.0
# Tokens of the longest row that the model is tried on.
LONG = 512
# How much of the largest logit a row's beginning may differ by when the row is longer.
SHORTER = {torch.float64: 1e-4, torch.float32: 1e-3}


def wrap_model(
    model: Any, tokenizer: Any, *, name: str = "model", revision: str | None = None, fingerprint: str = ""
) -> Base:
    """Freeze a Hugging Face causal LM and find out how the engine may compute it.

    Raises:
        TraitscopeError: it is no causal language model, or no path of the engine gives what the model itself gives.
    """
    register()
    model.eval()
    keep_differentiable(model)
    model.requires_grad_(False)
    runtime = Runtime()
    for module in model.modules():
        object.__setattr__(module, "_traitscope_runtime", runtime)
    if model.get_output_embeddings() is None:
        raise TraitscopeError("the model has no language-model head", where=name, fix="name a causal language model")
    parameter = next(model.parameters())
    base = Base(
        model=model, tokenizer=tokenizer, name=name, revision=revision, fingerprint=fingerprint,
        device=parameter.device, dtype=parameter.dtype, paths=Paths(), runtime=runtime, layers=nn.ModuleList(),
    )  # fmt: skip
    try:
        _find_paths(base)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Whatever code of its own does not take a plain row, adapters and gradients: there is no exact path through it.
        what = (str(error).splitlines() or [""])[0]
        reason = what if isinstance(error, NotProven) else f"{type(error).__name__}: {what}"
        raise TraitscopeError(
            f"{type(model).__name__} cannot be used: {reason}", where=name, fix="use another base model"
        ) from error
    # Counted now: an open bank hides the frozen weights from the module tree.
    _ = base.n_parameters, base.linear_names
    return base


def _find_paths(base: Base) -> None:
    vocabulary = min(base.vocab_size, base.model.get_input_embeddings().weight.shape[0])
    rows = Rows.draw(vocabulary, base.max_positions, special_tokens(base.model.config))
    row = rows.wholes[2]
    with torch.no_grad():
        followed = _alone(base, row)
        if recall(base):
            if base.packed:
                base.model.set_attn_implementation(NAME)
                _fuse(base)
            return
        base.paths = Paths(
            plain_head=_plain_head(base, row),
            decoded=_usual_cache(base, row),
            routed=followed.routed,
            routers=followed.routers,
        )
    _causal(base, row)
    expected = reference(base, rows)
    native = getattr(base.model.config, "_attn_implementation", "sdpa")
    packable = by_length = _by_length(base, vocabulary)
    try:
        if by_length:
            raise NotProven(by_length)
        if not getattr(base.model, "_supports_attention_backend", False):
            raise NotProven("it does not use transformers' attention interface")
        base.model.set_attn_implementation(NAME)
        _lay_out(base, row, rows, expected)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        packable = str(error) if isinstance(error, NotProven) else f"{type(error).__name__}: {error}"
    if not packable:
        _fuse(base)
        packable = prove_packed(base, rows, expected)
    if packable:
        base.model.set_attn_implementation(native)
        split_norms(base.model)
        base.rotary_modules, base.runtime.sites = (), {}
        prove_padded(base, rows, expected, packable, bool(by_length))
    prove_more(base, rows, expected)
    remember(base)


def _fuse(base: Base) -> None:
    # fp64 is for comparisons: there the model's own operations run.
    if base.dtype != torch.float64:
        fuse_norms(base.model)
        base.rotary_modules = rotary_modules(base.model)


def _alone(base: Base, row: tuple[int, ...]) -> Row:
    """What a row by itself calls; the base's layers and position tables are found on the way."""
    first: list[torch.Tensor] = []
    try:
        followed = follow_row(base.model, lambda: first.append(logits_of(base, [row])), len(row))
        # The first run may set up what it needs.
        drawn = random_state(base.device)
        again = logits_of(base, [row])
    except Exception as error:
        if is_out_of_memory(error):
            raise
        what = (str(error).splitlines() or [""])[0]
        raise NotProven(f"a plain row of tokens fails with {type(error).__name__}: {what}") from error
    if first[0].shape[:2] != (1, len(row)):
        raise NotProven("it does not give logits for every token")
    if not bool(first[0].isfinite().all()):
        raise NotProven("its logits are not all finite numbers")
    if random_state(base.device) != drawn:
        raise NotProven("it draws random numbers")
    if not torch.equal(first[0], again):
        raise NotProven("the same row gives other logits the second time")
    shorter = logits_of(base, [row[:-2]])[0]
    if float((shorter - first[0][0, :-2]).abs().max()) > SHORTER.get(base.dtype, 0.1) * float(first[0].abs().max()):
        raise NotProven("what it says at a token changes with the tokens behind it")
    layers = decoder_layers(followed)
    if layers is None:
        raise NotProven("its layers are not one list of modules that run one after the other")
    base.layers = layers
    sides = Sides(followed.tables)
    if sides.vary(min(base.max_positions, 1 << 17), [*numbers_in(base.model.config).values()]):
        base.sides = sides
    return followed


def _by_length(base: Base, vocabulary: int) -> str:
    """Whether a row's beginning is computed otherwise in a long row, position tables aside; empty if not."""
    n = min(base.max_positions, LONG)
    short = next((k for k in (min(24, n), 3 * n // 4) if base.sides is None or base.sides(k) == base.sides(n)), 0)
    ids = torch.randint(0, vocabulary, (1, n), generator=torch.Generator().manual_seed(1)).to(base.device)
    if short in (0, n):
        return ""
    with torch.no_grad():
        try:
            long_TV = base.model(input_ids=ids, use_cache=False).logits[0, :short].float()
        except (IndexError, RuntimeError):
            # It has fewer positions than it says.
            return ""
        apart = (base.model(input_ids=ids[:, :short], use_cache=False).logits[0].float() - long_TV).abs().max()
    limit = SHORTER.get(base.dtype, 0.1) * float(long_TV.abs().max())
    return "" if float(apart) <= limit else "it treats long rows otherwise"


def _causal(base: Base, row: tuple[int, ...]) -> None:
    """Raises NotProven where an output depends on a later token."""
    with embedded(base) as leaves:
        logits_TV = base.model(input_ids=torch.tensor([row], device=base.device), use_cache=False).logits[0]
        for at in (0, len(row) // 2, len(row) - 2):
            (grad,) = torch.autograd.grad(logits_TV[at].float().pow(2).sum(), leaves[0], retain_graph=True)
            if not grad.reshape(len(row), -1)[at + 1 :].abs().sum() == 0:
                raise NotProven("what it says at a token depends on later ones: it is no causal language model")


def _lay_out(base: Base, row: tuple[int, ...], rows: Rows, expected: Reference) -> None:
    """Find where attention is called and how far it sees.

    Raises:
        NotProven: rows cannot lie in one sequence.
    """
    with torch.no_grad():
        with watching(base.runtime) as calls:
            logits_TV = logits_of(base, [row])[0]
        base.runtime.sites = sites_of(calls, base.max_positions)
        base.paths = replace(base.paths, kv_width=sum(call.width for call in calls))
        logprobs = logits_TV.log_softmax(-1)
        context, (option, _) = rows.contexts[2], rows.options[2]
        ours = [float(logprobs[len(context) - 1 + k, token]) for k, token in enumerate(option)]
        theirs = expected.logprobs["base"][2][0]
        if max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) > 2 * tolerance(base, expected):
            raise NotProven("its attention is not what its mask function says")
        if _counts(base, row):
            # What it counts, padding counts too.
            base.paths = replace(base.paths, decoded=False)
            raise NotProven("it counts tokens by itself")


def _counts(base: Base, row: tuple[int, ...]) -> bool:
    """Whether a pass of several rows changes where the model's own numbering of its tokens does."""
    layout = CausalPack([len(row), 7], device=base.device)
    ids = torch.tensor([[*row, *row[:7]]], device=base.device)
    outputs = []
    for n in (0, ids.shape[1]):
        with use_layout(base, layout), CountingFromAfar(n):
            try:
                outputs.append(base.backbone(input_ids=ids, position_ids=layout.position_ids[None], use_cache=False)[0])
            except IndexError:
                # It picks tokens by their numbers: no position.
                return False
    return not torch.equal(*outputs)


def _usual_cache(base: Base, row: tuple[int, ...]) -> bool:
    try:
        return usual_cache(base.model(input_ids=torch.tensor([row], device=base.device), use_cache=True))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # A model that cannot keep what it computed continues without.
        return False


def _plain_head(base: Base, row: tuple[int, ...]) -> bool:
    """Whether logits are the plain product of last hidden states and head, also where they are large."""
    ids = torch.tensor([row], device=base.device)
    try:
        states = base.backbone(input_ids=ids, use_cache=False).last_hidden_state
        largest = float(base.head(states).float().abs().max())
        for factor in (1.0, LARGE_LOGITS / max(largest, 1e-6)):
            wanted = base.head(states * factor).float()

            def scaled(_module: Any, _args: Any, output: Any, factor: float = factor) -> Any:
                output["last_hidden_state"] = output["last_hidden_state"] * factor
                return output

            hook = base.backbone.register_forward_hook(scaled)
            try:
                logits = base.model(input_ids=ids, use_cache=False).logits.float()
            finally:
                hook.remove()
            tolerance_ = 1e-4 if base.dtype in (torch.float32, torch.float64) else 2e-2
            if not bool((logits - wanted).abs().max() <= tolerance_ * wanted.abs().max().clamp(min=1.0)):
                return False
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return False
    return True
