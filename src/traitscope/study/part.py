"""A part of a study: which adapters are trained, and which cells are evaluated on how many of their rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from traitscope.errors import TraitscopeError, check_count
from traitscope.registry import did_you_mean
from traitscope.study.data import StudyData
from traitscope.study.state import Units

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal parts of a study, for jobs that know nothing of one another: ``index`` of 1 .. ``of``."""

    index: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """``3/8`` as the third of eight.

        Raises:
            TraitscopeError: it is nothing of the kind, or not within 1/n .. n/n.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        shard = cls(int(match[1]), int(match[2])) if match else None
        if shard is not None and 1 <= shard.index <= shard.of:
            return shard
        what = f"cannot read {text!r}" if shard is None else f"there is no shard {text.strip()}"
        n = shard.of if shard is not None and shard.of else 8
        fix = f"shards are counted from 1: write 1/{n} to {n}/{n} (in an sbatch script: #SBATCH --array=1-{n})"
        raise TraitscopeError(what, where="--shard", fix=fix)

    def deal(self, things: Sequence[T]) -> Sequence[T]:
        """Every ``of``-th of them."""
        return things[self.index - 1 :: self.of]

    def part(self, units: Units, part: Part | None, datasets: Sequence[str]) -> Part:
        """This shard of a part, of all of the study without one.

        Adapters are dealt out in the study's order, each with its own cells: a shard needs no other's results. The
        cells of models that are not trained, and the datasets whose hidden states are captured, are dealt out too.

        Args:
            datasets: the study's; a part of a study captures none.
        """
        wanted = part or Part(
            frozenset(unit.name for unit in units.adapters),
            {(cell.model.name, cell.task): cell.n for cell in units.cells},
        )
        evaluated = {model for model, _ in wanted.rows}
        trained = [unit.name for unit in units.adapters if unit.name in wanted.adapters | evaluated]
        mine = set(self.deal(trained))
        others = set(self.deal([key for key in wanted.rows if key[0] not in trained]))
        rows = {key: n for key, n in wanted.rows.items() if key[0] in mine or key in others}
        captured = frozenset(self.deal(datasets)) if part is None else frozenset()
        return Part(frozenset(mine & wanted.adapters), rows, captured)


@dataclass(frozen=True, slots=True)
class Part:
    """What a piece of work is about; what lies outside is neither made nor missed, and stays as it is.

    Attributes:
        adapters: names of the adapters to train.
        rows: (model, task) -> how many of the task's rows, the first ones, that cell is evaluated on.
        datasets: those whose hidden states are captured.
    """

    adapters: frozenset[str]
    rows: Mapping[tuple[str, str], int]
    datasets: frozenset[str] = frozenset()

    def of(self, units: Units, data: StudyData) -> Units:
        """The units of this part, cells with as many rows as it wants."""
        cells = []
        for cell in units.cells:
            n = min(self.rows.get((cell.model.name, cell.task), 0), cell.n)
            if n == cell.n:
                cells.append(cell)
            elif n:
                rows = data.eval_rows(cell.task, n)
                assert rows is not None
                cells.append(replace(cell, n=n, rows=rows))
        adapters = tuple(unit for unit in units.adapters if unit.name in self.adapters)
        return replace(units, adapters=adapters, cells=tuple(cells))

    @classmethod
    def chosen(
        cls,
        units: Units,
        *,
        tasks: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Part | None:
        """The part that a user names; None where nothing is named.

        Args:
            tasks: targets. models: rows of the matrix, or sources and mixes for all their seeds. limit: most rows.

        Raises:
            TraitscopeError: a name that the study does not have, or a limit below 1.
        """
        if tasks is None and models is None and limit is None:
            return None
        if limit is not None:
            check_count(limit, "limit")
        targets = list(dict.fromkeys(cell.task for cell in units.cells))
        rows = {unit.name: {unit.name, unit.source} if unit.source else {unit.name} for unit in units.models}
        _known("target", tasks, targets, "tasks")
        _known("model", models, [*rows, *(name for names in rows.values() for name in names)], "models")
        kept = {name for name, names in rows.items() if models is None or names & set(models)}
        wanted = {
            (cell.model.name, cell.task): cell.n if limit is None else min(limit, cell.n)
            for cell in units.cells
            if cell.model.name in kept and (tasks is None or cell.task in tasks)
        }
        return cls(frozenset(kept), wanted)


def _known(word: str, names: Sequence[str] | None, known: Sequence[str], where: str) -> None:
    for name in names or ():
        if name not in known:
            fix = did_you_mean(name, dict.fromkeys(known))
            raise TraitscopeError(f"there is no {word} {name!r}", where=f"--{where}", fix=fix)
