"""The rows of a study: loaded when needed, and remembered so that a finished study loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from traitscope._version import __version__
from traitscope.config import DataConfig, ResolvedSource, SplitPaths, StudyConfig, TaskConfig
from traitscope.config.data import FOLDER
from traitscope.plugins import plugin_hashes
from traitscope.records import Example
from traitscope.store import RowsHash, fingerprint
from traitscope.store.models import ModelSource
from traitscope.store.reading import prints_date
from traitscope.study.fitting import Overlong, Reader, find_overlong, training_limits
from traitscope.tasks.coding import code_of
from traitscope.tasks.controls import apply_control
from traitscope.tasks.harness.files import data_files
from traitscope.tasks.mix import mix_counts
from traitscope.tasks.rows import format_of, matching
from traitscope.tasks.task import Task, TaskData


class StudyData:
    """Examples of every task and source, and the fingerprints of their rows.

    Fingerprints are kept in ``remembered`` under a key of everything the rows depend on (the task's definition
    and, for files, their sizes and times). With all of them known nothing is read.

    Args:
        config: the study.
        remembered: what an earlier run found, as ``to_remember`` gave it.
        readers: gives the models whose tokenizers decide which rows are too long, the base first.
        day: the day that chat templates print; by default today.
        dated: models whose template is known to print it, for those whose files are not on this disk.
        commits: of the Hub datasets that the study has begun with, by task.
    """

    def __init__(
        self,
        config: StudyConfig,
        remembered: Mapping[str, Any] | None = None,
        *,
        readers: Callable[[], Sequence[Reader]],
        day: date | None = None,
        dated: Collection[str] = (),
        commits: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.day = day or date.today()
        self._commits = dict(commits or {})
        self.tasks = {
            name: Task(name, task, config.root, date=self.day, commit=self._commits.get(name))
            for name, task in config.tasks.items()
        }
        self._find_readers = readers
        self._dated = dated
        self._loaded: dict[str, TaskData] = {}
        self._remembered = dict(remembered or {})
        self._fresh: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._hashes: dict[tuple[str, str | None], RowsHash] = {}
        self._altered: dict[tuple[str, str | None], tuple[Example, ...]] = {}
        self._more: dict[tuple[str, int], tuple[Example, ...]] = {}

    def printed_day(self, name: str, model: ModelSource) -> str | None:
        """The day that the chat template of a model prints; None where it prints none."""
        prints = prints_date(model)
        return self.day.isoformat() if prints or (prints is None and name in self._dated) else None

    @cached_property
    def readers(self) -> Sequence[Reader]:
        """The models that read rows with a tokenizer of their own, the base first."""
        return self._find_readers()

    def load(self, task: str) -> TaskData:
        """The examples of a task; without those that are too long, where the study leaves these out."""
        if task not in self._loaded:
            rows = self.tasks[task].load()
            if self.config.tasks[task].overlong == "drop":
                rows = replace(
                    rows, train=self._kept(task, "train", rows.train), eval=self._kept(task, "eval", rows.eval)
                )
            self._loaded[task] = rows
            if rows.report.commit is not None:
                self._known(task, "commit", lambda: rows.report.commit)
        return self._loaded[task]

    def commit(self, task: str) -> str | None:
        """The commit of a task's Hub dataset, where its rows were read or the study has begun with it."""
        if task in self._loaded:
            return self._loaded[task].report.commit
        key = self._key(task)
        entries = [memory.get(task, {}) for memory in (self._fresh, self._remembered)]
        found = next((one["commit"] for one in entries if one.get("key") == key and "commit" in one), None)
        return found or self._commits.get(task)

    def train(self, source: ResolvedSource) -> tuple[Example, ...]:
        """The rows that a source trains on, altered where it is a control."""
        if source.control is None:
            return self.load(source.task).train
        rows = self._control(source)
        if self.config.tasks[source.task].overlong == "drop":
            # An altered row may be longer than the one it was made from.
            rows = self._kept(source.task, f"train {source.control}", rows)
        return rows

    def _control(self, source: ResolvedSource) -> tuple[Example, ...]:
        assert source.control is not None
        key = (source.task, source.control)
        if key not in self._altered:
            seed = self.config.tasks[source.task].data.seed
            where = self.config.where("controls", source.name.removesuffix(f".{source.control}"))
            rows = self.load(source.task).train
            self._altered[key] = tuple(apply_control(source.control, rows, seed, where=where))
        return self._altered[key]

    # ---- rows that are too long

    @cached_property
    def _sources(self) -> tuple[ResolvedSource, ...]:
        return self.config.resolved_sources()

    @cached_property
    def _sources_of(self) -> dict[str, list[ResolvedSource]]:
        found: dict[str, list[ResolvedSource]] = {}
        for source in self._sources:
            found.setdefault(source.task, []).append(source)
        return found

    @cached_property
    def _targets(self) -> frozenset[str]:
        return frozenset(self.config.target_names())

    @cached_property
    def _limits(self) -> dict[str, int]:
        return training_limits(self.config)

    def splits(self, task: str) -> list[str]:
        """What of a task is read: ``train``, ``train <control>`` of every control, ``eval``."""
        controls = [source.control for source in self._sources_of.get(task, ())]
        found = ["train", *(f"train {control}" for control in controls if control)] if controls else []
        return [*dict.fromkeys(found), *(["eval"] if task in self._targets else [])]

    def overlong(self, task: str, split: str) -> Overlong:
        """Which rows of a split are too long for a model; needs tokenizers unless it is remembered."""

        def find() -> dict[str, Any]:
            one = self.tasks[task]
            if split == "eval":
                limits = {reader: reader.positions for reader in self.readers}
                return find_overlong(one, one.load().eval, limits, train=False).to_json()
            base = self.readers[0]
            limit = min(self._limits[task], base.positions or self._limits[task])
            altered = (one for one in self._sources_of[task] if split == f"train {one.control}")
            rows = one.load().train if split == "train" else self._control(next(altered))
            return find_overlong(one, rows, {base: limit}, train=True).to_json()

        return Overlong.from_json(self._known(task, f"overlong {split} {self._reading(task)}", find))

    def _reading(self, task: str) -> str:
        """What stands for all that decides how long the rows of a task are, and how long they may be."""
        day = self.day.isoformat() if self.config.tasks[task].uses_chat else None
        return fingerprint([[[r.name, r.mark] for r in self.readers], self._limits.get(task), day])[:16]

    def _kept(self, task: str, split: str, rows: tuple[Example, ...]) -> tuple[Example, ...]:
        gone = self.overlong(task, split).ids if split in self.splits(task) else ()
        return tuple(row for row in rows if row.id not in gone) if gone else rows

    # ---- fingerprints of rows

    def mix(self, name: str) -> list[tuple[ResolvedSource, tuple[Example, ...]]]:
        """The rows of a mix, source by source: the first of each in its seeded order."""
        counts = self._mix_counts(name)
        return [(part, self.train(part)[: counts[part.name]]) for part in self.config.mix_sources(name)]

    def train_rows(self, name: str) -> str:
        """Fingerprint of the train rows of a source, control or mix."""
        if name in self.config.mixes:
            counts = self._mix_counts(name)
            return fingerprint(
                [[part.name, self._prefix(part, counts[part.name])] for part in self.config.mix_sources(name)]
            )
        source = self._by_name[name]
        return self._prefix(source, self.n_train(source.task))

    def n_train(self, task: str) -> int:
        """How many rows a task trains on; a control has as many as its source."""
        return int(self._known(task, "n_train", lambda: len(self.load(task).train)))

    def n_eval(self, task: str) -> int:
        """How many rows a task is evaluated on."""
        return int(self._known(task, "n_eval", lambda: len(self.load(task).eval)))

    def eval_rows(self, task: str, n: int) -> str | None:
        """Fingerprint of the first ``n`` evaluation rows; None where there are fewer."""
        if n > self.n_eval(task):
            return None
        return str(self._known(task, f"eval {n}", lambda: self._hash(task, "eval").prefix(n)))

    def programs(self, task: str, n: int) -> str | None:
        """Fingerprint of the tests of the first ``n`` evaluation rows; None where answers are no code."""
        if code_of(self.tasks[task]) is None:
            return None

        def find() -> str:
            return fingerprint([example.program for example in self.load(task).eval[:n]])

        return str(self._known(task, f"programs {n}", find))

    def more_eval(self, task: str, n: int) -> tuple[Example, ...]:
        """The evaluation rows of a task if it asked for ``n``, the first ones being those that it asks for now."""
        config = self.config.tasks[task]
        if not isinstance(config.data.eval, int):
            return self.load(task).eval
        if (task, n) in self._more:
            return self._more[task, n]
        asked = config.model_copy(update={"data": config.data.model_copy(update={"eval": n})})
        rows = Task(task, asked, self.config.root, date=self.day, commit=self.commit(task)).load().eval
        self._more[task, n] = self._kept(task, "eval", rows) if config.overlong == "drop" else rows
        return self._more[task, n]

    def marks(self, task: str) -> dict[str, str]:
        """What ``tasks/<task>.parquet`` is known by: fingerprints of its rows and the number of eval rows."""
        n_train, n_eval = self.n_train(task), self.n_eval(task)
        train = self._known(task, f"train {n_train}", lambda: RowsHash(self.load(task).train).whole)
        marks = {"train": str(train), "eval": str(self.eval_rows(task, n_eval)), "n_eval": str(n_eval)}
        programs = self.programs(task, n_eval)
        return marks if programs is None else {**marks, "programs": programs}

    def datasets(self) -> dict[str, str]:
        """What has statistics, name -> task: every source and control, then the tasks that are no sources."""
        return self._datasets

    @cached_property
    def _datasets(self) -> dict[str, str]:
        found = {name: source.task for name, source in self._by_name.items()}
        return {**found, **{name: name for name in self.config.tasks if name not in found}}

    @cached_property
    def _by_name(self) -> dict[str, ResolvedSource]:
        return {source.name: source for source in self.config.resolved_sources()}

    def text(self, dataset: str) -> tuple[Example, ...]:
        """A dataset's rows: those that it trains on, or the evaluation rows of a task that has no others."""
        if dataset in self._by_name:
            return self.train(self._by_name[dataset])
        loaded = self.load(dataset)
        return loaded.train or loaded.eval

    def n_text(self, dataset: str) -> int:
        """How many rows a dataset has."""
        task = self.datasets()[dataset]
        return self.n_train(task) or self.n_eval(task)

    def text_rows(self, dataset: str, n: int) -> str:
        """Fingerprint of the first ``n`` rows of a dataset."""
        key = f"text {dataset} {n}"
        return str(self._known(self.datasets()[dataset], key, lambda: RowsHash(self.text(dataset)[:n]).whole))

    def formats(self) -> list[str]:
        """The formats of all files that are there, sorted."""
        found = set()
        for name, task in self.config.tasks.items():
            paths = [path for pattern in _patterns(task.data) for path in matching(pattern, self.config.root)]
            found |= {format_of(path, task.data, f"task {name}, file {path}") for path in paths if path.exists()}
        return sorted(found - {FOLDER})

    def to_remember(self) -> dict[str, Any]:
        """What a later run may rely on, for ``local.json``."""
        return {**self._remembered, **self._fresh}

    def _mix_counts(self, name: str) -> dict[str, int]:
        parts = self.config.mix_sources(name)
        clusters = {part.name: self.config.tasks[part.task].tags.get("cluster", "") for part in parts}
        return mix_counts(
            self.config.mixes[name],
            {part.name: self.n_train(part.task) for part in parts},
            clusters,
            where=self.config.where("mixes", name),
        )

    def _prefix(self, source: ResolvedSource, n: int) -> str:
        split = "train" if source.control is None else f"train {source.control}"
        # A control may have lost rows that became too long.
        found = self._known(
            source.task, f"{split} {n}", lambda: self._hash_train(source).prefix(min(n, len(self._hash_train(source))))
        )
        return str(found)

    def _hash_train(self, source: ResolvedSource) -> RowsHash:
        key = (source.task, f"train {source.control}")
        if key not in self._hashes:
            self._hashes[key] = RowsHash(self.train(source))
        return self._hashes[key]

    def _hash(self, task: str, split: str) -> RowsHash:
        key = (task, split)
        if key not in self._hashes:
            self._hashes[key] = RowsHash(self.load(task).eval)
        return self._hashes[key]

    def _known(self, task: str, name: str, find: Any) -> Any:
        key = self._key(task)
        for memory in (self._fresh, self._remembered):
            entry = memory.get(task)
            if entry is not None and entry.get("key") == key and name in entry:
                return entry[name]
        entry = self._fresh.setdefault(task, {"key": key})
        old = self._remembered.get(task)
        if old is not None and old.get("key") == key and len(entry) == 1:
            entry.update(old)
        entry[name] = find()
        return entry[name]

    def _key(self, task: str) -> str:
        if task not in self._keys:
            config = self.config.tasks[task]
            self._keys[task] = fingerprint(
                [
                    __version__,
                    plugin_hashes(),
                    self.tasks[task].definition(),
                    # As it was before there were files, so that what is remembered stays.
                    config.data.model_dump(mode="json", exclude=None if config.data.files else {"files"}),
                    _stamps(config, self.config.root),
                    self._reading(task) if config.overlong == "drop" else None,
                    *([] if config.lm_eval is None else [config.lm_eval.limit]),
                ]
            )
        return self._keys[task]


def _stamps(task: TaskConfig, root: Path) -> list[list[Any]]:
    """Path, size and time of every file that a task reads; the task itself complains about missing ones.

    Paths count from the study's folder, so that a study may be moved as a whole.
    """
    found = []
    for path in _files(task, root):
        stat = path.stat()
        name = path.relative_to(root) if path.is_relative_to(root) else path
        found.append([name.as_posix(), stat.st_size, stat.st_mtime_ns])
    return found


def _files(task: TaskConfig, root: Path) -> Iterable[Path]:
    data = task.data
    if task.lm_eval is not None:
        yield from data_files(task.lm_eval, root)
    if data.embedded is not None:
        # The rows are made by these files, so that a change of them is a change of the data.
        yield from sorted((Path(__file__).parents[1] / "tasks" / "embedded").glob("*.py"))
    for path in (path for pattern in named_files(data) for path in matching(pattern, root)):
        if path.is_dir():
            yield from sorted(child for child in path.rglob("*") if child.is_file())
        elif path.is_file():
            yield path


def named_files(data: DataConfig) -> list[str]:
    """Every file, folder and glob that a task's data names, as the study writes it."""
    return [*data.join.values(), *_patterns(data)]


def _patterns(data: DataConfig) -> list[str]:
    """The files of rows, as the study names them."""
    if isinstance(data.path, SplitPaths):
        return [*(data.path.train or ()), *(data.path.eval or ())]
    return list(data.path or ())
