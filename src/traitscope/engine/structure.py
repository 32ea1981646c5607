"""What can be read off a model without trusting closeness: its layers, masks, position tables and own counting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from traitscope.engine.attention import ACTIVE_PASSES, KNOWN
from traitscope.engine.linear import original_linear, shape_of
from traitscope.engine.positions import Table, are
from traitscope.engine.runtime import Call, Runtime, Site
from traitscope.engine.spans import ALL, RowMask, Span, span_of

# Added to what a model counts by itself: beyond every threshold on positions.
FAR_AWAY = 1 << 22


# Caches whose layers take left-padded prompts side by side at any length.
_CACHES = frozenset(
    {
        *("DynamicLayer", "DynamicSlidingWindowLayer", "LinearAttentionLayer"),
        *("LinearAttentionAndFullAttentionLayer", "LinearAttentionAndSlidingWindowAttentionLayer"),
    }
)


class NotProven(Exception):
    """A path is not exact for this model; the message says why."""


@contextmanager
def watching(runtime: Runtime) -> Iterator[list[Call]]:
    """The single row inside it is answered by the model's own mask functions, and its attention calls are noted."""
    runtime.watched = []
    ACTIVE_PASSES.append(RowMask)
    try:
        yield runtime.watched
    finally:
        runtime.watched = None
        ACTIVE_PASSES.pop()


def sites_of(calls: Sequence[Call], longest: int) -> dict[int, Site]:
    """Where each module calls the attention function and how far it sees.

    Raises:
        NotProven: attention is not what the layouts compute.
    """
    if not calls:
        raise NotProven("it does not use transformers' attention interface")
    spans: dict[int, Span] = {}
    grouped: dict[int, list[int]] = {}
    for number, call in enumerate(calls):
        unknown = [name for name in call.options if name not in KNOWN]
        if unknown:
            raise NotProven(f"its attention takes {', '.join(unknown)}")
        if call.mask is not None and not isinstance(call.mask, RowMask):
            raise NotProven("it makes attention masks of its own")
        if not getattr(call.module, "is_causal", True):
            raise NotProven("its attention is not causal")
        if id(call.mask) not in spans:
            spans[id(call.mask)] = _span(call.mask, longest)
        grouped.setdefault(id(call.module), []).append(number)
    sites = {}
    for module, numbers in grouped.items():
        seen = {spans[id(calls[number].mask)] for number in numbers}
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or len(seen) > 1:
            raise NotProven("one attention module serves several layers")
        sites[module] = Site(numbers[0], len(numbers), seen.pop())
    return sites


def _span(mask: RowMask | None, longest: int) -> Span:
    if mask is None:
        return ALL
    try:
        found = span_of(mask, longest)
    except Exception as error:
        raise NotProven(f"its mask depends on more than positions ({type(error).__name__})") from error
    if found is None:
        raise NotProven("its mask is no window, no chunk and not plainly causal")
    return found


class CountingFromAfar(TorchFunctionMode):
    """Moves every ``arange`` of ``n`` numbers far away: what still comes out equal does not count tokens by itself."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.arange and out.numel() == self.n:
            out = out + FAR_AWAY
        return out


@dataclass(frozen=True)
class Row:
    """What a forward over one row called, and how.

    Attributes:
        lists: module lists all of whose members were called, with the size of what they gave.
        routed: linear layers that were called with other tokens than the row's.
        routers: modules that are linear layers by class and give something else than their product.
        tables: modules that were given the row's positions, with their arguments.
    """

    lists: list[nn.ModuleList]
    routed: frozenset[str]
    routers: frozenset[str]
    tables: list[Table]


def follow_row(model: nn.Module, run: Callable[[], Any], n_tokens: int) -> Row:
    """Watch the modules of ``model`` while ``run`` sends one row of ``n_tokens`` through it."""
    called: list[nn.Module] = []
    routed: set[str] = set()
    routers: set[str] = set()
    tables: list[Table] = []
    positions = torch.arange(n_tokens)

    def note(name: str) -> Callable[..., None]:
        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            called.append(module)
            if original_linear(module) is not None and args:
                size = args[0].numel() // args[0].shape[-1]
                if size != n_tokens:
                    routed.add(name)
            given = [*args, *kwargs.values()]
            if not any(are(value, positions) for value in given) or any(module is table.module for table in tables):
                return
            if next(module.children(), None) is None:
                tables.append(Table(module, args, kwargs, n_tokens))

        return before

    def given_back(name: str) -> Callable[..., None]:
        def after(module: nn.Module, _args: Any, output: Any) -> None:
            if not isinstance(output, torch.Tensor) or output.shape[-1] != shape_of(module)[1]:
                routers.add(name)

        return after

    hooks = [m.register_forward_pre_hook(note(name), with_kwargs=True) for name, m in model.named_modules()]
    linear = [(name, m) for name, m in model.named_modules() if original_linear(m) is not None]
    hooks += [m.register_forward_hook(given_back(name)) for name, m in linear]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    seen = {id(module) for module in called}
    lists = [
        m
        for m in model.modules()
        if isinstance(m, nn.ModuleList) and len(m) > 0 and all(id(child) in seen for child in m)
    ]
    return Row(lists, frozenset(routed - routers), frozenset(routers), tables)


def decoder_layers(row: Row) -> nn.ModuleList | None:
    """The list of modules that hold most of the parameters of those called: the decoder layers."""

    def size(layers: nn.ModuleList) -> int:
        return sum(p.numel() for p in layers.parameters())

    return max(row.lists, key=size, default=None)


def special_tokens(config: Any) -> list[int]:
    """The ids of padding, beginnings, ends and separators that a configuration names."""
    text = config.get_text_config()
    found = [getattr(text, f"{name}_token_id", None) for name in ("pad", "eos", "sep", "bos", "unk", "cls")]
    ids = [token for entry in found for token in (entry if isinstance(entry, (list, tuple)) else [entry])]
    return list(dict.fromkeys(token for token in ids if isinstance(token, int)))


def random_state(device: torch.device) -> tuple[bytes, ...]:
    """Where the random number generators stand that a model on ``device`` would draw from."""
    states = [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
    return tuple(state.numpy().tobytes() for state in states)


def usual_cache(output: Any) -> bool:
    """Whether what a model keeps for generation is transformers' own keys, values and states, layer by layer."""
    cache = getattr(output, "past_key_values", None)
    layers = getattr(cache, "layers", None) or [None]
    return all(type(layer).__name__ in _CACHES for layer in layers)
