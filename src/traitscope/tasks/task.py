"""A task: its rows, divided by seed, rendered into examples."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from traitscope.config.task import Form, TaskConfig
from traitscope.config.template import OutOfBounds
from traitscope.errors import TraitscopeError, several
from traitscope.metrics import METRICS
from traitscope.records import Example
from traitscope.tasks.controls import order_key
from traitscope.tasks.division import EMBEDDED_ROWS, SHOT_POOL, Division, Part, Parts, Row, Tally
from traitscope.tasks.harness.files import mark
from traitscope.tasks.parsers import PARSERS
from traitscope.tasks.render import PickShots, Renderer

if TYPE_CHECKING:
    from traitscope.tasks.harness.library import Loaded

# Broken rows of a task after which no more are looked for.
MOST_ERRORS = 1000

_LATER = {"samples": 1, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 0, "code": None}

# Raised when other solved examples are chosen; part of the fingerprint of tasks that have some.
_SHOTS = 2


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What happened while a task was loaded.

    Attributes:
        rows: rows read from each file or split.
        filtered: rows that ``where`` dropped.
        duplicates: train rows dropped because the eval rows ask the same question.
        available: rows left that could train and evaluate.
        shares: share of each class (or none) in the eval examples, else in the train examples.
        notes: sentences about what a user may want to look at.
        commit: of the Hub dataset that the rows come from.
    """

    rows: dict[str, int]
    filtered: int
    duplicates: int
    available: dict[str, int]
    shares: dict[str, float]
    notes: tuple[str, ...] = ()
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class TaskData:
    """A task's examples. ``eval`` is in its seeded order: more rows later only add at its end."""

    name: str
    train: tuple[Example, ...]
    eval: tuple[Example, ...]
    report: LoadReport
    fingerprint: str
    """Of the rows' content before any of them is chosen."""
    metrics: tuple[str, ...] = ()
    """Names of the metrics, of a task that declares them itself (lm-evaluation-harness)."""


class Task:
    """A named task. Nothing is read before ``load``.

    Args:
        name: the task's name in the study.
        config: what the study file says about it.
        root: the folder that relative paths start from.
        date: the day that chat templates print; None for the day of the rendering.
        commit: of its Hub dataset, where it is not to be the one that the revision stands for now.
    """

    def __init__(
        self,
        name: str,
        config: TaskConfig,
        root: Path | str = ".",
        *,
        date: date | None = None,
        commit: str | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.root = Path(root)
        self.date = date
        self.commit = commit
        self._data: TaskData | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Orders carry the task with the rows they need, not with all that were read.
        return {**self.__dict__, "_data": None}

    def where(self, *keys: str | int) -> str:
        """The place of a key of this task, as errors name it."""
        found = self.config.where(*keys)
        if ", key " in found or found.startswith("tasks."):
            return found
        return f"task {self.name}" + (f", key {found}" if found else "")

    @property
    def form(self) -> Form:
        """``choice``, ``generate`` or ``loss``; ``lm_eval`` for a task of lm-evaluation-harness."""
        return self.config.answer.form

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names, where all rows share them."""
        return self.config.answer.classes

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics; the first is the primary one."""
        return self.config.metric_names

    def definition(self) -> dict[str, Any]:
        """All that decides what an example looks like and how it is judged; not how many there are."""
        if self.config.lm_eval is not None:
            asked = self.config.lm_eval.model_dump(mode="json", exclude={"limit", "metric", "bootstrap_iters"})
            return {"lm_eval": asked, "mark": self.harness_mark()}
        config = self.config.model_dump(mode="json", by_alias=True, exclude={"tags", "metrics", "lm_eval"})
        for key in ("train", "eval", "path", "files", "join", "encoding"):
            config["data"].pop(key)
        if (generate := config["answer"]["generate"]) is not None:
            # Keys that came later: a task without them is what it was before.
            for key, plain in _LATER.items():
                if generate[key] == plain:
                    del generate[key]
        versions = {f"metric {n}": METRICS.get(n).mark for n in self.metric_names}
        if self.config.answer.generate:
            parser = self.config.answer.generate.parse
            versions[f"parser {parser}"] = PARSERS.get(parser).mark
        if self.config.shots.n:
            versions["shots"] = _SHOTS
        return {"task": config, "metrics": list(self.metric_names), "versions": versions}

    def fingerprint(self) -> str:
        """SHA-256 over the definition and the content of the rows; the numbers of rows taken are not in it."""
        text = json.dumps([self.definition(), self.load().fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def harness_mark(self) -> dict[str, Any]:
        """What stands for the definition of a task of lm-evaluation-harness; empty for another one.

        Raises:
            TraitscopeError: lm-eval is not installed.
        """
        spec = self.config.lm_eval
        return {} if spec is None else mark(spec, self.root, self.where("lm_eval"))

    def harness(self) -> Loaded:
        """The task of lm-evaluation-harness itself, loaded by its own library.

        Raises:
            TraitscopeError: see ``tasks.harness.library.load``.
        """
        # The harness imports much.
        from traitscope.tasks.harness.library import load

        assert self.config.lm_eval is not None
        return load(self.config.lm_eval, self.root, partial(self.where, "lm_eval"))

    def load(self) -> TaskData:
        """The train and eval examples, read once and kept.

        Raises:
            TraitscopeError: naming the study file's line and key, or the file and row, and what to do.
        """
        if self._data is None:
            self._data = self._load()
        return self._data

    def _load_harness(self) -> TaskData:
        from traitscope.tasks.harness.requests import documents

        assert self.config.lm_eval is not None
        found = documents(self.harness(), self.config.lm_eval, partial(self.where, "lm_eval"))
        available, shares = {"train": 0, "eval": found.total}, _shares(found.examples)
        report = LoadReport({"documents": found.total}, 0, 0, available, shares)
        return TaskData(self.name, (), found.examples, report, found.fingerprint, found.metrics)

    def _load(self) -> TaskData:
        if self.config.lm_eval is not None:
            return self._load_harness()
        data = self.config.data
        renderer = Renderer(self.config, self.where)
        division = Division(self.config, self.root, renderer, self.where, self.commit)
        parts, tally = division.parts(), division.tally
        shots = self._shots(parts, renderer, tally.duplicates)
        n_train: int | Literal["all"] = data.train
        if data.embedded is not None and n_train == "all":
            n_train = EMBEDDED_ROWS["train"]
        train = self._take(parts.train, n_train, "train", tally)
        chosen = self._take(parts.eval, self._eval_count(len(parts.eval)), "eval", tally)
        errors: list[TraitscopeError] = []
        train_examples = _rendered(renderer, train, shots, errors, tested=False)
        eval_examples = _rendered(renderer, chosen, shots, errors, tested=True)
        if errors:
            raise several(errors)
        report = LoadReport(
            tally.rows,
            tally.filtered,
            tally.duplicates,
            tally.available,
            _shares(eval_examples or train_examples),
            tuple(self._notes(train_examples, eval_examples)),
            tally.commit,
        )
        return TaskData(self.name, train_examples, eval_examples, report, parts.fingerprint)

    def _eval_count(self, available: int) -> int | Literal["all"]:
        data = self.config.data
        if data.eval is not None:
            return data.eval
        return min(EMBEDDED_ROWS["eval"], available) if data.embedded else "all"

    def _take(self, rows: Sequence[Row], count: int | Literal["all"], part: Part, tally: Tally) -> Sequence[Row]:
        tally.available[part] = len(rows)
        if count == "all":
            return rows
        if count > len(rows):
            repeats = tally.duplicates if part == "train" else 0
            dropped = f" ({repeats} more repeat an eval row)" if repeats else ""
            where_says = f" ({tally.filtered} dropped by where)" if tally.filtered else ""
            raise TraitscopeError(
                f"{count} {part} rows are asked for and {len(rows)} are there{dropped}{where_says}",
                where=self.where("data", part),
                fix=f"write {part}: {len(rows)} or less, or all",
            )
        return rows[:count]

    def _shots(
        self, parts: Parts, renderer: Renderer, dropped: int
    ) -> Callable[[str], list[tuple[str, dict[str, Any]]]]:
        """Picks the solved examples of a row: never itself, nor one that asks the same, wherever that stands."""
        shots = self.config.shots
        if not shots.n:
            return lambda example_id: []
        pool = parts.train[:SHOT_POOL]
        rows = {r.id: r for r in (*parts.train, *parts.eval)}
        repeats = f" ({dropped} more repeat an eval row)" if dropped else ""
        # One more than n, since an example is never among its own shots.
        if len(pool) <= shots.n:
            raise TraitscopeError(
                f"{shots.n} solved examples need {shots.n + 1} train rows, and {len(pool)} are there{repeats}",
                where=self.where("shots", "n"),
                fix="give the task train rows, or write n: 0",
            )
        asks = {r.id: renderer.asks(r.id, r.values) for r in pool}

        def order(*salt: str) -> list[Row]:
            return sorted(pool, key=lambda r: order_key(shots.seed, "shot", *salt, r.id))

        fixed = order()

        def pick(example_id: str) -> list[tuple[str, dict[str, Any]]]:
            own = asks.get(example_id) or renderer.asks(example_id, rows[example_id].values)
            ordered = fixed if shots.fixed else order(example_id)
            others = [r for r in ordered if r.id != example_id and asks[r.id] != own]
            if len(others) < shots.n:
                raise TraitscopeError(
                    f"only {len(others)} train rows ask something else than this row does{repeats}",
                    where=f"{self.where('shots', 'n')}, row {example_id}",
                    fix=f"write n: {len(others)}, or give the task more train rows",
                )
            return [(r.id, r.values) for r in others[: shots.n]]

        return pick

    def _notes(self, train: Sequence[Example], chosen: Sequence[Example]) -> Iterator[str]:
        some = chosen or train
        if self.form == "generate" and any(e.prompt.endswith((" ", "\t")) for e in some):
            yield "prompts end in a space: most tokenizers then split the answer otherwise than in training"
        equal = sum(len({o.strip() for o in e.options or ()}) < len(e.options or ()) for e in some)
        if equal:
            yield f"{equal} rows have two equal options, either of which counts as right"
        shares = _shares(some)
        if shares and max(shares.values()) >= 0.7 and "accuracy" in self.metric_names:
            name = max(shares, key=lambda k: shares[k])
            if not {"macro_f1", "mcc"} & set(self.metric_names):
                yield f"{shares[name]:.0%} of the rows are {name!r}: add macro_f1 or mcc to the metrics"
        if self.classes and train:
            missing = [c for c in self.classes if c not in {e.answer.strip() for e in train}]
            if missing:
                yield f"no train row has the class {', '.join(missing)}"


def _rendered(
    renderer: Renderer, rows: Sequence[Row], shots: PickShots, errors: list[TraitscopeError], *, tested: bool
) -> tuple[Example, ...]:
    """The rows' examples; what is wrong with a row is put to ``errors``."""
    made = []
    for row in rows:
        try:
            made.append(renderer.example(row.id, row.values, shots, tested=tested))
        except TraitscopeError as error:
            errors.append(error)
            if len(errors) == MOST_ERRORS or isinstance(error, OutOfBounds):
                break
    return tuple(made)


def _shares(examples: Sequence[Example]) -> dict[str, float]:
    if not examples or examples[0].options is None or len({e.options for e in examples}) > 1:
        return {}
    counts = Counter(e.answer.strip() for e in examples)
    return {option.strip(): counts[option.strip()] / len(examples) for option in examples[0].options}
