"""Whether a model's files hold its tensors: all of them, in its shapes, and no others."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.store.model_errors import not_loaded
from traitscope.store.models import ModelSource
from traitscope.store.weights import Entry

# Buffers that earlier versions of transformers kept in the files: they are computed now.
_COMPUTED = (".inv_freq", ".position_ids", ".masked_bias", ".attn.bias", ".attention.bias")


def refuse_other_tensors(model: Any, entries: Mapping[str, Entry], folder: Path, source: ModelSource) -> None:
    """Has transformers put tensors without content under the files' names: it knows which names are renamed or tied.

    Raises:
        TraitscopeError: the files lack tensors, have some in another shape or no number, or some that no layer takes.
    """
    import torch

    where = f"model {source.model}"
    numbers = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    odd = next((name for name, entry in entries.items() if entry.dtype not in numbers), None)
    if odd is not None and set(model.state_dict()) & {odd}:
        raise TraitscopeError(
            f"the weights {odd} are {entries[odd].dtype} numbers, which no layer can multiply with",
            where=where,
            fix="save the model again in float32, float16 or bfloat16",
        )
    empty = {
        name: torch.empty(entry.shape, dtype=numbers.get(entry.dtype, torch.float32), device="meta")
        for name, entry in entries.items()
    }
    try:
        with _silent():
            _, info = type(model).from_pretrained(
                None,
                config=model.config,
                state_dict=empty,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                device_map={"": "meta"},
            )
    except Exception as error:
        raise not_loaded("its weights do not fit its configuration", error, folder, source.model) from error
    odd_shapes = sorted(str(entry[0]) for entry in info["mismatched_keys"])
    if odd_shapes:
        raise TraitscopeError(
            f"{len(odd_shapes)} tensors have another shape than its configuration says ({', '.join(odd_shapes[:3])})",
            where=where,
            fix="take configuration and weights of one model",
        )
    refuse_missing(info["missing_keys"], where)
    refuse_unread(info["unexpected_keys"], model, where)


def refuse_missing(missing: Any, where: str) -> None:
    """Raises TraitscopeError where files lack tensors: transformers draws them at random and goes on."""
    names = sorted(missing)
    if names:
        raise TraitscopeError(
            f"its files lack {len(names)} of the model's tensors ({', '.join(names[:3])})",
            where=where,
            fix="save the model again, with all of its weights; a decoder without its own head is no base",
        )


def refuse_unread(unread: Any, model: Any, where: str) -> None:
    """Raises TraitscopeError where files hold tensors that the model does not take: it is another one than they are of.

    Of a model that was made for more than text those of its other parts may be left.
    """
    named = getattr(model.config, "architectures", None) or [type(model).__name__]
    modules = {name for name, _ in model.named_modules()} - {model.base_model_prefix}
    modules |= {name.removeprefix(f"{model.base_model_prefix}.") for name in modules} - {""}
    names = sorted(
        name
        for name in map(str, unread)
        if not name.endswith(_COMPUTED)
        and (type(model).__name__ in named or any(part in modules for part in _ancestors(name)))
    )
    if names:
        raise TraitscopeError(
            f"its files hold {len(names)} tensors that the model of its configuration does not take "
            f"({', '.join(names[:3])})",
            where=where,
            fix="take configuration and weights of one model",
        )


def _ancestors(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts)))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without transformers' report and bars: what is wrong is told in our own words."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
