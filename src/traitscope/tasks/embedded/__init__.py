"""Ten generated tasks of a small English world, each with a declared structure.

``generate(name, split, n, seed)`` gives rows as dictionaries. A row belongs to the train or to the eval split
by a hash of its text, so the splits have no row in common whatever the seeds; the first rows do not change
when more are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random
from types import MappingProxyType

from traitscope.errors import TraitscopeError

from .generators import TASKS, EmbeddedTask, Row

__all__ = ["NAMES", "SKILLS", "TASKS", "EmbeddedTask", "generate"]

NAMES: tuple[str, ...] = tuple(TASKS)
SKILLS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType({name: task.skills for name, task in TASKS.items()})
SPLITS = ("train", "eval")
_BLOCK, _EVAL_SHARE, _MAX_TRIES = 50, 0.2, 2000


def generate(name: str, split: str, n: int, seed: int) -> list[Row]:
    """Rows of an embedded task.

    Args:
        name: one of ``NAMES``.
        split: "train" or "eval".
        n: how many rows; the first rows are the same for every n.
        seed: of the draw.

    Returns:
        n different rows with the columns of ``TASKS[name].columns``, all values strings.

    Raises:
        TraitscopeError: for an unknown name or split, or where the task has fewer different rows.
    """
    if name not in TASKS:
        raise TraitscopeError(f"There is no embedded task {name!r}.", fix=f"Write one of: {', '.join(NAMES)}.")
    if split not in SPLITS:
        raise TraitscopeError(f"Embedded task {name!r} has no split {split!r}.", fix="Write train or eval.")
    task = TASKS[name]
    rng = Random(f"{name}:{split}:{seed}")
    labels = _labels(task, rng)
    rows: list[Row] = []
    seen: set[str] = set()
    for _ in range(n):
        label, made_for = next(labels)
        for _ in range(_MAX_TRIES):
            row = {**task.make(rng, made_for), **({"label": label} if label else {})}
            key = "\n".join(row[column] for column in task.text_columns)
            if key not in seen and split_of(key) == split:
                break
        else:
            raise TraitscopeError(
                f"Embedded task {name!r} has no more than about {len(rows)} different {split} rows.",
                fix="Ask for fewer rows.",
            )
        seen.add(key)
        rows.append(row)
    return rows


def split_of(text: str) -> str:
    """The split that a text belongs to: about one in five is for evaluation."""
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    return "eval" if share < _EVAL_SHARE else "train"


def _labels(task: EmbeddedTask, rng: Random) -> Iterator[tuple[str, str]]:
    """The label of each row and the label that its text is made for: shares and noise are exact in every block."""
    while True:
        block = [label for label, share in task.shares.items() for _ in range(round(share * _BLOCK))] or [""] * _BLOCK
        rng.shuffle(block)
        noisy = set(rng.sample(range(_BLOCK), round(task.noise * _BLOCK)))
        for i, label in enumerate(block):
            others = [other for other in task.shares if other != label]
            yield label, rng.choice(others) if i in noisy else label
