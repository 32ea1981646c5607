"""Before any training: an adapter of these targets, saved and loaded by PEFT, is the same function."""

from __future__ import annotations

import copy
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from traitscope.engine.base import Base
from traitscope.engine.linear import BankLinear
from traitscope.engine.lora import Adapter, LoraSpec
from traitscope.errors import TraitscopeError

# Specifications that were found to be read back, by model.
_FOUND: WeakKeyDictionary[nn.Module, set[LoraSpec]] = WeakKeyDictionary()

# Large enough for rank-stabilised scaling to be told from the plain one.
_RANK = 2


def check_export(base: Base, spec: LoraSpec) -> None:
    """A tiny adapter of ``spec``'s targets goes through a folder into PEFT and must come out the same.

    What PEFT computes is fixed by which modules it adapts, with which A, B and scale; nothing is computed with the
    model, whose weights are shared. Remembered for the model.

    Raises:
        TraitscopeError: PEFT would read such an adapter as another function, or not at all.
    """
    tiny = replace(spec, rank=_RANK)
    found = _FOUND.setdefault(base.model, set())
    if tiny in found:
        return
    adapter = Adapter.init(base, tiny, 0)
    # Whole numbers of at most 8 bits: every precision that PEFT may keep them in holds them.
    generator = torch.Generator().manual_seed(0)
    adapter.flat.copy_(torch.randint(-128, 129, adapter.flat.shape, generator=generator))
    wrong = _differences(base, adapter)
    if wrong:
        leaves = sorted({name.rsplit(".", 1)[-1] for name in wrong if "." in name})
        raise TraitscopeError(
            f"PEFT would read an adapter of these targets as another function on {type(base.model).__name__}: "
            + "; ".join(f"{name}: {what}" for name, what in list(wrong.items())[:3])
            + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""),
            where="recipe.targets",
            fix=f"name targets without {', '.join(leaves)}" if leaves else "name other targets",
        )
    found.add(tiny)


def _differences(base: Base, adapter: Adapter) -> dict[str, str]:
    """What PEFT makes of the saved adapter, where it is not the adapter: module name -> what is different."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # What PEFT warns of is compared below.
        warnings.simplefilter("ignore")
        adapter.save(Path(folder), base)
        try:
            theirs = PeftModel.from_pretrained(twin(base), folder, low_cpu_mem_usage=True).base_model.model
        except Exception as error:  # PEFT, transformers and torch each have their own
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return {"PEFT": f"does not load it ({first})"}
    adapted = {name: module for name, module in theirs.named_modules() if isinstance(module, LoraLayer)}
    wrong = dict.fromkeys(adapted, "would be adapted, and is not meant")
    for piece in adapter.pieces:
        wrong.pop(piece.name, None)
        layer: Any = adapted.get(piece.name)
        if layer is None:
            wrong[piece.name] = "would not be adapted"
            continue
        pair = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        same = all(
            # What PEFT found no weight for is left without any.
            not peft.is_meta and ours.shape == peft.shape and torch.equal(ours.to(peft.dtype), peft.detach().cpu())
            for ours, peft in zip(piece.views(adapter.flat), pair, strict=True)
        )
        if not same or layer.scaling["default"] != piece.scale:
            wrong[piece.name] = "would have other weights or another scale"
    return wrong


def twin(base: Base) -> Any:
    """The model once more, module by module, around the same weights: it may be changed without changing the base."""
    modules = list(base.model.modules())
    # An open bank keeps the base's own layers out of the module tree.
    hidden = {id(module): module.original for module in modules if isinstance(module, BankLinear)}
    shared: dict[int, Any] = {id(base.runtime): base.runtime}
    for module in (*modules, *hidden.values()):
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            shared[id(tensor)] = tensor
    for number, original in hidden.items():
        shared[number] = copy.deepcopy(original, shared)
    return copy.deepcopy(base.model, shared)
