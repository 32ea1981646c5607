"""A task: its rows, divided and put in order by seed, rendered into examples."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from traitscope.errors import TraitscopeError
from traitscope.metrics import METRICS
from traitscope.records import Example
from traitscope.taskconfig import Form, SplitPaths, TaskConfig
from traitscope.tasks.controls import order_key
from traitscope.tasks.parsers import PARSERS
from traitscope.tasks.render import Renderer
from traitscope.tasks.rows import ReadRows, read_files, read_hub, rows_fingerprint
from traitscope.tasks.template import holds

Part = Literal["train", "eval"]

SHOT_POOL = 200
"""Solved examples are drawn from this many first train rows, so that they do not depend on how many train."""

EMBEDDED_ROWS: dict[Part, int] = {"train": 800, "eval": 200}
"""Rows of an embedded task where the study does not say how many."""


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
    """

    rows: dict[str, int]
    filtered: int
    duplicates: int
    available: dict[str, int]
    shares: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskData:
    """A task's examples. ``eval`` is in its seeded order: more rows later only add at its end."""

    name: str
    train: tuple[Example, ...]
    eval: tuple[Example, ...]
    report: LoadReport
    fingerprint: str
    """Of the rows' content before any of them is chosen."""


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    values: dict[str, Any]


@dataclass(slots=True)
class _Tally:
    rows: dict[str, int] = field(default_factory=dict)
    filtered: int = 0
    duplicates: int = 0
    available: dict[str, int] = field(default_factory=dict)


class Task:
    """A named task. Nothing is read before ``load``.

    Args:
        name: the task's name in the study.
        config: what the study file says about it.
        root: the folder that relative paths start from.
    """

    def __init__(self, name: str, config: TaskConfig, root: Path | str = ".") -> None:
        self.name = name
        self.config = config
        self.root = Path(root)
        self._data: TaskData | None = None

    def where(self, *keys: str | int) -> str:
        """The place of a key of this task, as errors name it."""
        place = self.config.where(*keys)
        if ", key " in place or place.startswith("tasks."):
            return place
        return f"task {self.name}" + (f", key {place}" if place else "")

    @property
    def form(self) -> Form:
        """``choice``, ``generate`` or ``loss``."""
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
        config = self.config.model_dump(mode="json", by_alias=True, exclude={"tags", "metrics"})
        for key in ("train", "eval", "path", "join", "encoding"):
            config["data"].pop(key)
        versions = {f"metric {n}": METRICS.get(n).version for n in self.metric_names}
        if self.config.answer.generate:
            parser = self.config.answer.generate.parse
            versions[f"parser {parser}"] = PARSERS.get(parser).version
        return {"task": config, "metrics": list(self.metric_names), "versions": versions}

    def fingerprint(self) -> str:
        """SHA-256 over the definition and the content of the rows; the numbers of rows taken are not in
        it.
        """
        text = json.dumps([self.definition(), self.load().fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def load(self) -> TaskData:
        """The train and eval examples, read once and kept.

        Raises:
            TraitscopeError: naming the study file's line and key, or the file and row, and what to do.
        """
        if self._data is None:
            self._data = self._load()
        return self._data

    def _load(self) -> TaskData:
        tally = _Tally()
        renderer = Renderer(self.config, self.where)
        data = self.config.data
        if data.embedded is not None:
            train_rows, eval_rows, mark = self._embedded(renderer, tally)
        elif data.divided:
            train_rows, eval_rows, mark = self._divided(renderer, tally)
        else:
            train_rows, eval_rows, mark = self._separate(renderer, tally)
        shots = self._shots(renderer, train_rows)
        n_train: int | Literal["all"] = data.train
        if data.embedded is not None and n_train == "all":
            n_train = EMBEDDED_ROWS["train"]
        train = self._take(train_rows, n_train, "train", tally)
        chosen = self._take(eval_rows, self._eval_count(len(eval_rows)), "eval", tally)
        train_examples = tuple(renderer.example(r.id, r.values, shots) for r in train)
        eval_examples = tuple(renderer.example(r.id, r.values, shots) for r in chosen)
        report = LoadReport(
            tally.rows,
            tally.filtered,
            tally.duplicates,
            tally.available,
            _shares(eval_examples or train_examples),
            tuple(self._notes(train_examples, eval_examples)),
        )
        return TaskData(self.name, train_examples, eval_examples, report, mark)

    def _eval_count(self, available: int) -> int | Literal["all"]:
        data = self.config.data
        if data.eval is not None:
            return data.eval
        return min(EMBEDDED_ROWS["eval"], available) if data.embedded else "all"

    def _take(self, rows: Sequence[_Row], count: int | Literal["all"], part: Part, tally: _Tally) -> Sequence[_Row]:
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

    def _read(self, part: Part | None, tally: _Tally) -> tuple[list[_Row], str]:
        """The rows of one part (or of the one that is divided) that ``where`` keeps."""
        data = self.config.data
        key = "path" if data.path is not None else "hub"
        split = data.splits
        if isinstance(split, SplitPaths):
            names = getattr(split, part or "train")
            split = names[0] if names else None
        if data.hub is not None:
            read = read_hub(data, split, self.where("data", "splits" if data.splits else "hub"))
        else:
            paths = data.path
            if isinstance(paths, SplitPaths):
                paths = getattr(paths, part or "train")
                place = self.where("data", "path", part or "train")
            else:
                place = self.where("data", key)
            assert isinstance(paths, tuple)
            read = read_files(paths, data, self.root, place, split)
        label = part or "all"
        tally.rows[label] = len(read.rows)
        numbered = [_Row(f"{label}-{i}", _without_nan(row)) for i, row in enumerate(read.rows)]
        rows = [row for row in numbered if self._keeps(row.values, row.id)]
        tally.filtered += len(read.rows) - len(rows)
        if not rows:
            raise TraitscopeError(
                f"where drops all of the {len(read.rows)} rows",
                where=self.where("data", "where"),
                fix=f"the first row is {_first(read)}",
            )
        return rows, read.fingerprint

    def _keeps(self, row: dict[str, Any], name: str) -> bool:
        condition = self.config.data.where_
        if condition is None:
            return True
        place = f"{self.where('data', 'where')}, row {name}"
        if isinstance(condition, str):
            return holds(condition, row, where=place)
        for column, allowed in condition.items():
            if column not in row:
                raise TraitscopeError(
                    f"the rows have no column {column!r}",
                    where=place,
                    fix="the columns are: " + ", ".join(row),
                )
            values = allowed if isinstance(allowed, list) else [allowed]
            # Columns of csv files are text, so 1 in the study file also means "1".
            if row[column] not in values and str(row[column]) not in [str(v) for v in values]:
                return False
        return True

    def _embedded(self, renderer: Renderer, tally: _Tally) -> tuple[list[_Row], list[_Row], str]:
        from traitscope.registry import did_you_mean
        from traitscope.tasks import embedded

        data = self.config.data
        assert data.embedded is not None
        if data.embedded not in embedded.NAMES:
            raise TraitscopeError(
                f"there is no embedded task {data.embedded!r}",
                where=self.where("data", "embedded"),
                fix=did_you_mean(data.embedded, embedded.NAMES),
            )
        sizes: dict[Part, int] = {
            "train": EMBEDDED_ROWS["train"] if data.train == "all" else data.train,
            "eval": EMBEDDED_ROWS["eval"] if data.eval is None or data.eval == "all" else data.eval,
        }
        parts: dict[Part, list[_Row]] = {}
        for part, n in sizes.items():
            n = max(n, SHOT_POOL) if part == "train" and self.config.shots.n else n
            rows = embedded.generate(data.embedded, part, n, data.seed) if n else []
            kept = [_Row(f"{part}-{i}", r) for i, r in enumerate(rows) if self._keeps(r, f"{part}-{i}")]
            tally.rows[part], tally.filtered = len(rows), tally.filtered + len(rows) - len(kept)
            parts[part] = kept
        asked = {renderer.question(r.id, r.values) for r in parts["eval"]} if data.duplicates != "keep" else set()
        train = self._without(parts["train"], asked, renderer, tally)
        # The generators have no version, so their first rows stand for their content.
        mark = rows_fingerprint([r for p in sizes for r in embedded.generate(data.embedded, p, 50, data.seed)])
        return train, parts["eval"], mark

    def _separate(self, renderer: Renderer, tally: _Tally) -> tuple[list[_Row], list[_Row], str]:
        data = self.config.data
        parts: dict[Part, list[_Row]] = {"train": [], "eval": []}
        marks = []
        for part in parts:
            if data.part_is_named(part):
                rows, mark = self._read(part, tally)
                parts[part] = sorted(rows, key=lambda r: order_key(data.seed, r.id))
                marks.append(f"{part} {mark}")
        train = parts["train"]
        if train and parts["eval"] and data.train != 0 and data.duplicates != "keep":
            # All eval rows count, not only the chosen ones: evaluating more rows never changes what was
            # trained.
            asked = {renderer.question(r.id, r.values) for r in parts["eval"]}
            train = self._without(train, asked, renderer, tally)
        return train, parts["eval"], " ".join(marks)

    def _without(self, train: list[_Row], asked: set[str], renderer: Renderer, tally: _Tally) -> list[_Row]:
        kept = [r for r in train if renderer.question(r.id, r.values) not in asked] if asked else train
        tally.duplicates = len(train) - len(kept)
        if tally.duplicates and self.config.data.duplicates == "refuse":
            raise TraitscopeError(
                f"{tally.duplicates} train rows ask what an eval row asks",
                where=self.where("data", "duplicates"),
                fix="write duplicates: drop, or remove them from the train file",
            )
        return kept

    def _divided(self, renderer: Renderer, tally: _Tally) -> tuple[list[_Row], list[_Row], str]:
        """One set of rows: eval takes from the front of a seeded order of questions, train from its back.

        Rows that ask the same question stand on one side only; eval takes one row per question, train one row
        per question first and the repeated ones after them. So both sides keep their rows when the other one
        grows.
        """
        data = self.config.data
        rows, mark = self._read(None, tally)
        by_question: dict[str, list[_Row]] = {}
        for row in sorted(rows, key=lambda r: order_key(data.seed, r.id)):
            question = row.id if data.duplicates == "keep" else renderer.question(row.id, row.values)
            by_question.setdefault(question, []).append(row)
        repeated = len(rows) - len(by_question)
        if repeated and data.duplicates == "refuse":
            raise TraitscopeError(
                f"{repeated} rows repeat the question of another row, so a division could part them",
                where=self.where("data", "duplicates"),
                fix="write duplicates: drop (equal questions then stay on one side)",
            )
        questions = sorted(by_question, key=lambda q: order_key(data.seed, "question", q))
        n_eval = self._divided_eval(len(questions))
        eval_rows = [by_question[q][0] for q in questions[:n_eval]]
        groups = [by_question[q] for q in reversed(questions[n_eval:])]
        tally.duplicates = sum(len(by_question[q]) - 1 for q in questions[:n_eval])
        return list(_rounds(groups)), eval_rows, f"all {mark}"

    def _divided_eval(self, questions: int) -> int:
        data = self.config.data
        if data.eval == "all":
            if data.train not in (0, "all"):
                raise TraitscopeError(
                    "all rows cannot evaluate while some of them train",
                    where=self.where("data", "eval"),
                    fix="write a number, or train: 0",
                )
            return questions
        n = data.eval if data.eval is not None else (questions if data.train == 0 else min(1000, questions // 5))
        if n > questions:
            raise TraitscopeError(
                f"{n} eval rows are asked for and {questions} different ones are there",
                where=self.where("data", "eval"),
                fix=f"write eval: {questions} or less",
            )
        return n

    def _shots(self, renderer: Renderer, train: Sequence[_Row]) -> Callable[[str], list[tuple[str, dict[str, Any]]]]:
        shots = self.config.shots
        pool = train[:SHOT_POOL]
        # One more than n, since an example is never among its own shots.
        if shots.n and len(pool) <= shots.n:
            raise TraitscopeError(
                f"{shots.n} solved examples need {shots.n + 1} train rows, and {len(pool)} are there",
                where=self.where("shots", "n"),
                fix="give the task train rows, or write n: 0",
            )

        def order(*salt: str) -> list[_Row]:
            return sorted(pool, key=lambda r: order_key(shots.seed, "shot", *salt, r.id))

        fixed = order()

        def pick(example_id: str) -> list[tuple[str, dict[str, Any]]]:
            if not shots.n:
                return []
            others = [r for r in (fixed if shots.fixed else order(example_id)) if r.id != example_id]
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


def _rounds(groups: Sequence[Sequence[_Row]]) -> Iterator[_Row]:
    """The first row of every group, then every second one, and so on."""
    for place in range(max(map(len, groups), default=0)):
        yield from (group[place] for group in groups if place < len(group))


def _shares(examples: Sequence[Example]) -> dict[str, float]:
    if not examples or examples[0].options is None or len({e.options for e in examples}) > 1:
        return {}
    counts = Counter(e.answer.strip() for e in examples)
    return {option.strip(): counts[option.strip()] / len(examples) for option in examples[0].options}


def _first(read: ReadRows) -> str:
    text = json.dumps(read.rows[0], ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:200] + "..."


def fingerprint_examples(examples: Sequence[Example]) -> str:
    """SHA-256 of examples (ids, prompts, options, answers), in their order."""
    digest = hashlib.sha256()
    for e in examples:
        digest.update(json.dumps([e.id, e.prompt, e.messages, e.answer, e.options, e.gold, e.references]).encode())
    return digest.hexdigest()


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    """The row with None for not-a-number, which is how tables mark an empty cell in a column of numbers."""
    if any(isinstance(v, float) and math.isnan(v) for v in row.values()):
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
    return row
