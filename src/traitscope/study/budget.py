"""A study under a budget: what ``deciding`` chooses is trained and evaluated, round by round, and told at the end.

What was decided is written down before it is done (``plan/budget.json``), so that a run that was stopped goes on with
the same choices; a run without a budget makes the rest of the grid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.predict.decision import Decision
from traitscope.predict.halving import chance_best
from traitscope.store import fingerprint
from traitscope.study import filling, keeping
from traitscope.study.context import Context
from traitscope.study.deciding import Belief, Planner
from traitscope.study.filling import characters
from traitscope.study.part import Part
from traitscope.study.probes import LEVEL, paired_gains, plain_sources, reach
from traitscope.study.progress import Stopped
from traitscope.study.rounds import Round, Rows, read_rounds, write_rounds

# Rows from which an interval is told.
FEWEST = 5


@dataclass
class Budgeted(Planner):
    """A run under a budget: a planner whose rounds are written down and carried out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.path = self.study.folder.root / "plan" / "budget.json"

    def read(self) -> None:
        """Takes up what an earlier run decided.

        Raises:
            TraitscopeError: see ``read_rounds``.
        """
        self.rounds = read_rounds(self.path, self.sources, {t: self.half(t) for t in self.targets}) or self.rounds

    def run(self, stop: Callable[[], bool] | None) -> None:
        """Carries out what was decided, decides the next round, until nothing is worth its cost or the budget ends.

        Several processes may do so in one folder: one of them decides, all of them carry out.

        Raises:
            Stopped: ``stop`` said so; the same call goes on from there.
        """
        self.read()
        if not self.rounds:
            self.next_round()  # a budget that bears no look is refused before anything is written
        if len(self.rounds) > 1:
            self._carry_out(self.rounds[0], stop)
        while True:
            if self.rounds:
                self._carry_out(self.rounds[-1], stop)
            done = len(self.rounds)
            if stop is not None and stop():
                raise Stopped
            self.study.folder.prepare()
            with self.study.folder.leases(stale_s=self.study.stale_s) as leases:
                if not leases.acquire("budget"):
                    time.sleep(filling.POLL_S)
                    continue
                self.read()
                following = self.next_round() if len(self.rounds) == done else None
                if following is not None:
                    self.rounds.append(following)
                    with leases.commit("budget"):
                        write_rounds(self.path, self.rounds, self.sources, self.targets, self.share, self.margin)
                leases.release("budget")
            if len(self.rounds) == done:
                return

    @contextmanager
    def together(self, stop: Callable[[], bool] | None) -> Iterator[None]:
        """One backend for all rounds: a process that has the base loaded serves them all."""
        if self.study.given_backend is not None:
            yield
            return
        sources = plain_sources(self.study.config)
        rows = [(s, self.study.data.train(s)) for s in sources]
        trained = sum(characters(train) * s.recipe.epochs for s, train in rows)
        evaluated = sum(characters(self.study.data.load(task).eval) for task in self.targets) * (len(sources) + 1)
        parts = (self.study, self.probes)
        trained, evaluated = round(self.share * trained), round(self.share * evaluated)
        with filling.processes(self.study, trained, evaluated, stop) as backend:
            try:
                for part in parts:
                    part.serve_with(backend)
                yield
            finally:
                for part in parts:
                    part.serve_with(None)

    def finish(self, stop: Callable[[], bool] | None) -> Decision:
        """Evaluates what was chosen on the rows that chose nothing, and tells what came out.

        Raises:
            Stopped: ``stop`` said so.
        """
        belief = self.belief()
        # Of what was trained in full and looked at, and the base.
        made = self.choice(np.where(belief.known_IN, belief.mean_IN, np.nan))
        chosen = {task: source for task, source in made.items() if source is not None}
        rows = {("base", task): int(self.prices.rows_N[n]) for n, task in enumerate(self.targets)}
        rows |= {(self.models[source], task): rows["base", task] for task, source in chosen.items()}
        part = Part(frozenset(self.models[source] for source in self._trained()), rows)
        filling.fill(self.study, train=True, evaluate=True, replace=False, stop=stop, part=part)
        return self._decision(belief, chosen)

    def _decision(self, belief: Belief, chosen: dict[str, str]) -> Decision:
        fresh = {task: slice(self.half(task), None) for task in self.targets}
        gain_IN, variance_IN = paired_gains(self.study, fresh)
        chance_IN = chance_best(self._draws(belief))
        found = []
        for n, task in enumerate(self.targets):
            untrained_I = np.where(belief.trained_I, 0.0, chance_IN[:, n])
            other = int(untrained_I.argmax())
            row: dict[str, Any] = {
                "task": task,
                "chance": 1.0 - float(chance_IN[:, n].sum()),
                "untrained": self.sources[other] if untrained_I[other] > 0 else None,
                "untrained_chance": float(untrained_I[other]),
            }
            if task in chosen:
                i = self.sources.index(chosen[task])
                rows = int(self.prices.rows_N[n]) - self.half(task)
                # The bootstrap of so few rows says nothing.
                half = reach(LEVEL) * float(np.sqrt(variance_IN[i, n])) if rows >= FEWEST else np.nan
                row |= {
                    "source": chosen[task],
                    "expected": float(belief.mean_IN[i, n]),
                    "chance": float(chance_IN[i, n]),
                    "gain": float(gain_IN[i, n]),
                    "lo": float(gain_IN[i, n]) - half,
                    "hi": float(gain_IN[i, n]) + half,
                    "n": rows,
                }
            found.append(row)
        decision = Decision.of(
            found,
            level=LEVEL,
            trained=self._trained(),
            sources=tuple(self.sources),
            spent=self.spent(self.rounds[-1]) / self.prices.whole,
            budget=self.share,
            margin=self.margin,
        )
        text = decision.to_json()
        files = keeping.save(self.study, "decision.json", text.encode())
        keeping.record(self.study, "decision", fingerprint(text), files)
        return decision

    def _carry_out(self, latest: Round, stop: Callable[[], bool] | None) -> None:
        if latest.kind == "probe" and latest.probe_rows:
            self._fill(self.probes, tuple(latest.probe_rows), latest.probe_rows, stop)
        if latest.sources:
            self._fill(self.study, latest.sources, latest.rows, stop)

    def _fill(self, study: Context, sources: Sequence[str], wanted: Rows, stop: Callable[[], bool] | None) -> None:
        """Trains sources and evaluates them on the rows wanted, the base on as many as any of them."""
        rows = {(self.models[s], task): n for s, tasks in wanted.items() for task, n in tasks.items()}
        for task in self.targets:
            rows["base", task] = max((n for (_, other), n in rows.items() if other == task), default=0)
        part = Part(frozenset(self.models[s] for s in sources), rows)
        filling.fill(study, train=True, evaluate=True, replace=False, stop=stop, part=part)
