"""Which linear layers of a decoder a recipe adapts."""

from __future__ import annotations

from typing import Any, Protocol

from traitscope.errors import TraitscopeError
from traitscope.texts import shown


class Decoder(Protocol):
    """What an adapter is fitted to: a loaded base, or its skeleton."""

    @property
    def model(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def linear_names(self) -> list[str]: ...
    def layer_of(self, name: str) -> int: ...


def resolve_targets(base: Decoder, targets: str | tuple[str, ...], layers: tuple[int, int] | None) -> list[str]:
    """Names of the modules that are targeted, in the model's order.

    Args:
        base: the decoder.
        targets: ``"all-linear"`` or endings of module names.
        layers: the first and the last layer, both included; None for all.

    Raises:
        TraitscopeError: a target matches no linear layer, or none of these layers, or the layers lie outside the model.
    """
    names = every = base.linear_names
    if layers is not None:
        first, last = layers
        if not 0 <= first <= last < base.n_layers:
            raise TraitscopeError(
                f"layers {first}-{last} are not inside the model's 0-{base.n_layers - 1}",
                where="recipe.layers",
                fix=f"give [first, last] with 0 <= first <= last <= {base.n_layers - 1}",
            )
        names = [name for name in names if first <= base.layer_of(name) <= last]
    if targets == "all-linear":
        return names
    named = (targets,) if isinstance(targets, str) else targets
    for target in named:
        if not any(_matches(name, target) for name in names):
            if layers is not None and any(_matches(name, target) for name in every):
                raise TraitscopeError(
                    f"target module {shown(target)} lies outside the layers {first}-{last}",
                    where="recipe.targets",
                    fix="take it out of targets, or widen layers",
                )
            known = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names}))
            raise TraitscopeError(
                f"target module {shown(target)} matches no linear layer of {base.name}",
                where="recipe.targets",
                fix=f"use all-linear or some of: {known}",
            )
    return [name for name in names if any(_matches(name, target) for target in named)]


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith("." + target)
