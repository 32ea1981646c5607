"""Altered copies of a source's train rows, which show what an adapter learns from labels and class shares."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from traitscope.errors import TraitscopeError
from traitscope.plugins import calling
from traitscope.records import Example
from traitscope.registry import Registry

Control = Callable[[Sequence[Example], int], list[Example]]

CONTROLS: Registry[Control] = Registry("control")


def order_key(seed: int, *parts: Hashable) -> bytes:
    """A number-like key that puts things into a random order which depends on seed and parts alone."""
    return hashlib.blake2b(repr((seed, *parts)).encode(), digest_size=16).digest()


def apply_control(name: str, examples: Sequence[Example], seed: int = 0, *, where: str | None = None) -> list[Example]:
    """The examples as the control ``name`` alters them.

    Raises:
        KeyError: for an unknown control.
        TraitscopeError: the examples do not allow it; the control fails, or gives something else than as many examples.
    """
    entry = CONTROLS.get(name)
    try:
        with calling("control", entry, "train rows"):
            altered = list(entry.value(examples, seed))
            if len(altered) != len(examples) or not all(isinstance(example, Example) for example in altered):
                raise ValueError(f"it gives {len(altered)} things where {len(examples)} examples are due")
    except TraitscopeError as error:
        raise TraitscopeError(error.what, where=where or error.where, fix=error.fix) from error.__cause__
    return altered


@CONTROLS.register("mislabel", version=1, reference="arXiv 2509.13624: the mislabelled Amazon control")
def mislabel(examples: Sequence[Example], seed: int) -> list[Example]:
    """Every label wrong, by one seeded derangement.

    Where all examples share their options, the classes are renamed by a seeded permutation without fixed
    points (two classes: they swap), so the grouping of the rows stays and only the words are wrong. Where
    options differ by row, a wrong option is drawn for every row. Free answers are moved to other rows such
    that no row keeps a text equal to its own; this needs that no answer makes up more than half of the rows.
    """
    if not examples:
        return []
    if examples[0].options is None:
        return _move_answers(examples, seed)
    if len({e.options for e in examples}) == 1:
        options = examples[0].options
        derangement = _derangement(len(options), seed)
        return [_with_gold(e, derangement[_gold(e)]) for e in examples]
    return [_with_gold(e, _wrong(e, seed)) for e in examples]


@CONTROLS.register("balance", version=1, reference="arXiv 2509.13624: the balanced Flipkart control")
def balance(examples: Sequence[Example], seed: int) -> list[Example]:
    """Equal class counts at the same number of rows (to within one row), so that training is as long.

    Frequent classes are subsampled without replacement; rows of rare ones are repeated, each as often as
    the others to within one. A repeated row has ``#2``, ``#3``, ... behind its id.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.answer].append(example)
    if len(groups) < 2 or examples[0].options is None:
        raise TraitscopeError(
            "the control balance needs a choice among at least two classes that occur in the train rows",
            fix="take balance out of this source's controls",
        )
    names = sorted(groups, key=lambda name: order_key(seed, "class", name))
    share, rest = divmod(len(examples), len(names))
    chosen: list[Example] = []
    for index, name in enumerate(names):
        members = sorted(groups[name], key=lambda e: order_key(seed, "member", e.id))
        for number in range(share + (index < rest)):
            lap, position = divmod(number, len(members))
            example = members[position]
            chosen.append(replace(example, id=f"{example.id}#{lap + 1}") if lap else example)
    return sorted(chosen, key=lambda e: order_key(seed, "order", e.id))


def _gold(example: Example) -> int:
    assert example.gold is not None
    return example.gold


def _with_gold(example: Example, gold: int) -> Example:
    assert example.options is not None
    return replace(example, gold=gold, answer=example.options[gold])


def _wrong(example: Example, seed: int) -> int:
    assert example.options is not None
    others = [i for i in range(len(example.options)) if i != example.gold]
    return min(others, key=lambda i: order_key(seed, "wrong", example.id, i))


def _derangement(n: int, seed: int) -> list[int]:
    """A permutation of 0..n-1 that moves everything: one cycle through a seeded order."""
    order = sorted(range(n), key=lambda i: order_key(seed, "cycle", i))
    moved = [0] * n
    for position, item in enumerate(order):
        moved[item] = order[(position + 1) % n]
    return moved


def _move_answers(examples: Sequence[Example], seed: int) -> list[Example]:
    by_answer: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        by_answer[example.answer].append(index)
    largest = max(len(group) for group in by_answer.values())
    if 2 * largest > len(examples):
        raise TraitscopeError(
            "the control mislabel cannot give every row a wrong answer: one answer makes up more than half of the rows",
            fix="take mislabel out of this source's controls",
        )
    # Equal answers stand together; a shift by the largest group's size leaves no answer in its own group.
    groups = sorted(by_answer, key=lambda answer: order_key(seed, "answer", answer))
    line = [i for a in groups for i in sorted(by_answer[a], key=lambda i: order_key(seed, "row", examples[i].id))]
    altered = list(examples)
    for position, index in enumerate(line):
        giver = examples[line[(position + largest) % len(line)]]
        altered[index] = replace(examples[index], answer=giver.answer, references=giver.references)
    return altered
