"""Whether the Hugging Face Hub can be reached, asked once and briefly: its own client waits for half a minute."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.store.hub_errors import NotOnThisDisk

PATIENCE_S = 3.0
_PART = r"\w(?:[\w.-]{0,94}\w)?"
_ID = re.compile(rf"(?:{_PART}/)?{_PART}", re.ASCII)


def is_hub_id(name: str) -> bool:
    """Whether a repository of the Hub may be called so: ``org/name``, or ``name`` alone."""
    return _ID.fullmatch(name) is not None and not re.search(r"--|\.\.|\.git$", name)


def without_waiting(needed: Iterable[tuple[str, str | None, str | None]] = ()) -> None:
    """Has the libraries go on without the network where the Hub does not answer: what is on this disk is used then.

    An answer of any status is one. Nothing is asked where ``HF_HUB_OFFLINE`` is set.

    Args:
        needed: models, with their revisions and subfolders, without which nothing can be done.

    Raises:
        TraitscopeError: the Hub is silent, and this disk does not hold one of them.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode() or _answers(constants.ENDPOINT):
        return
    ask_nobody()
    for model, revision, subfolder in needed:
        if (told := not_at_hand(model, revision, subfolder)) is not None:
            raise told


def ask_nobody() -> None:
    """From here on no library asks the Hub."""
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True


def on_this_disk(model: str, revision: str | None = None, subfolder: str | None = None) -> bool:
    """Whether the Hub's cache holds a model or an adapter, or at least its configuration."""
    from huggingface_hub import try_to_load_from_cache

    names = (f"{subfolder}/adapter_config.json",) if subfolder else ("config.json", "adapter_config.json")
    return any(isinstance(try_to_load_from_cache(model, name, revision=revision), str) for name in names)


def not_at_hand(model: str, revision: str | None = None, subfolder: str | None = None) -> NotOnThisDisk | None:
    """The error for a model of the Hub that this disk does not hold, where the Hub is not asked; None otherwise."""
    from huggingface_hub import constants

    if not constants.is_offline_mode() or on_this_disk(model, revision, subfolder):
        return None
    return NotOnThisDisk(
        f"the Hub ({constants.ENDPOINT}) does not answer, or HF_HUB_OFFLINE is set, and this disk does not hold the "
        "model",
        where=f"model {model}",
        fix="mend the network, or name a local folder (from the study file's folder)",
    )


@contextmanager
def online() -> Iterator[None]:
    """Within it the Hub is asked although nothing of the study lies there; what the user set stays.

    Raises:
        TraitscopeError: ``HF_HUB_OFFLINE`` was set, or the Hub does not answer.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    # The command line switches the network off, for studies of local files, after the user's own setting was read.
    constants.HF_HUB_OFFLINE = False
    try:
        if not _answers(constants.ENDPOINT):
            raise TraitscopeError(
                f"the Hub ({constants.ENDPOINT}) does not answer", where="push", fix="mend the network and try again"
            )
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(endpoint: str) -> bool:
    """Asked in a thread of its own: looking up a name, a proxy or a slow answer may each take its own time."""
    found: list[bool] = []

    def ask() -> None:
        from huggingface_hub import get_session

        try:
            client: Any = get_session()
            client.head(endpoint, timeout=PATIENCE_S)
            found.append(True)
        except Exception:
            found.append(False)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return bool(found and found[0])
