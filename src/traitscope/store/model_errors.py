"""What a user is told of a model that a library could not load."""

from __future__ import annotations

import contextlib
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError, is_out_of_memory, no_memory
from traitscope.store.files import disk_problem
from traitscope.store.model_config import CONFIG

TOKENIZER = "tokenizer_config.json"
_OWN_CLASS = "take a model whose class is part of transformers itself"
# Characters of a library's reason that are told.
_REASON = 220


def named_code(folder: Path) -> str | None:
    """Which file of a model folder names code of its own that transformers would have to run; None if none does."""
    for name in (CONFIG, TOKENIZER):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            said = json.loads((folder / name).read_bytes())
            if isinstance(said, dict) and (named := said.get("auto_map")):
                parts = named.values() if isinstance(named, dict) else [named]
                files = sorted({f"{str(part).split('--')[-1].split('.')[0]}.py" for part in _flat(parts) if part})
                return f"{name} names code of its own ({', '.join(files)})"
    return None


def _flat(parts: Any) -> Iterator[Any]:
    for part in parts:
        yield from part if isinstance(part, list) else [part]


def not_loaded(what: str, error: BaseException, target: Path, model: str | Path) -> TraitscopeError:
    """The error for a part of a model that a library could not load.

    Args:
        what: the beginning of the sentence, such as "could not be loaded".
        error: the library's.
        target: the folder.
        model: the model as the user wrote it.
    """
    where = f"model {model}"
    if is_out_of_memory(error):
        return no_memory(where)
    if (told := disk_problem(error, where, elsewhere="give the user who runs this the right to it")) is not None:
        return told
    words = str(error).strip()
    if "trust_remote_code" in words or "custom code" in words:
        code = named_code(target)
        return TraitscopeError(
            f"{code or 'it brings code of its own'}, which is never run", where=where, fix=_OWN_CLASS
        )
    reason = textwrap.shorten(words, _REASON, placeholder=" ...") or type(error).__name__
    anew = f"take another copy of the model, or save it again with save_pretrained in place of {target}"
    # A snapshot of the Hub's cache is no place where anybody saves a model.
    fix = "name another model, or another revision of it" if target.parent.name == "snapshots" else anew
    return TraitscopeError(f"{what}: {reason}", where=where, fix=fix)
