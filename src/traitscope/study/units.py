"""What a study consists of: its models and its cells, each with the fingerprint of what it is made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from traitscope.config import RecipeConfig, ResolvedSource, StudyConfig
from traitscope.config.task import TaskConfig
from traitscope.metrics import METRICS
from traitscope.registry import registry
from traitscope.sandbox import VERSION as SANDBOX_VERSION
from traitscope.store import canonical, fingerprint
from traitscope.tasks.parsers import PARSERS
from traitscope.tasks.task import Task

# Keys that came later: a recipe without them is what it was before.
_LATER = {"dropout": 0.0, "rslora": False}

# Stands for a model's mark in the text that a fingerprint is made of.
_MODEL = "the model's own mark"

# Raised only when a component's numbers change for the same input (not its rounding): the units made before
# then no longer count as the same.
RESULT_VERSIONS: dict[str, int] = {
    "encoding": 2,
    "training": 2,
    "scoring": 1,
    "generation": 1,
    "judging": 2,
    "mix": 1,
    "hidden": 1,
    "gradients": 1,
    "requests": 1,
    "sampling": 1,
}

Kind = Literal["base", "adapter", "mix", "model"]


@dataclass(frozen=True, slots=True)
class AdapterUnit:
    """One adapter to be trained.

    Attributes:
        name: ``<source>-s<seed>``.
        source: the source's, control's or mix's name.
        seed: fixes initial weights and data order.
        recipe: how it is trained.
        parts: the sources whose rows it trains on, in order (one, but for a mix).
        mix: the mix's name, or None.
        fingerprint: sha256 over ``inputs``.
        inputs: base, rows, recipe, seed, result versions.
    """

    name: str
    source: str
    seed: int
    recipe: RecipeConfig
    parts: tuple[ResolvedSource, ...]
    mix: str | None
    fingerprint: str
    inputs: dict[str, Any]

    @property
    def unit(self) -> str:
        """The unit's name in leases and logs."""
        return f"adapters/{self.name}"


@dataclass(frozen=True, slots=True)
class ModelUnit:
    """One row of the matrix. ``adapter`` is what must be trained first, if anything."""

    name: str
    kind: Kind
    source: str | None
    seed: int | None
    fingerprint: str
    adapter: AdapterUnit | None = None


@dataclass(frozen=True, slots=True)
class CellUnit:
    """One model on one task, with the fingerprints of what its numbers depend on.

    Attributes:
        fingerprint: of ``inputs``: the model, the answer form, how it is computed; not how it is judged.
        scoring: of the parser and the metrics, which are redone without a model.
        n: evaluation rows wanted.
        rows: fingerprint of those rows as they are rendered.
    """

    model: ModelUnit
    task: str
    fingerprint: str
    scoring: str
    n: int
    rows: str
    inputs: dict[str, Any]

    @property
    def unit(self) -> str:
        """The unit's name in leases and logs."""
        return f"cells/{self.model.name}/{self.task}"


def adapter_names(config: StudyConfig) -> dict[str, tuple[str, int]]:
    """Every adapter of the study, ``name -> (source, seed)``: sources with their controls, then mixes."""
    found = {}
    for source in config.resolved_sources():
        for seed in source.recipe.seeds:
            found[f"{source.name}-s{seed}"] = (source.name, seed)
    for mix in config.mixes:
        for seed in mix_recipe(config, mix).seeds:
            found[f"{mix}-s{seed}"] = (mix, seed)
    return found


def mix_recipe(config: StudyConfig, mix: str) -> RecipeConfig:
    """The recipe of a mix: the study's with the mix's own changes."""
    return config.recipe.changed(config.mixes[mix].change)


def adapter_units(
    config: StudyConfig, base: Mapping[str, Any], rows: Mapping[str, str], day: str | None
) -> list[AdapterUnit]:
    """The adapters to train, in the study's order.

    Args:
        config: the study.
        base: what identifies the base (fingerprint and dtype).
        rows: fingerprint of the train rows of every source, control and mix, by name.
        day: the day that the base's chat template prints; None where it prints none.
    """
    units = []
    for source in config.resolved_sources():
        task = config.tasks[source.task]
        for seed in source.recipe.seeds:
            units.append(_adapter(source.name, seed, source.recipe, (source,), None, base, rows, [task], day))
    for mix in config.mixes:
        parts = config.mix_sources(mix)
        recipe = mix_recipe(config, mix)
        tasks = [config.tasks[part.task] for part in parts]
        for seed in recipe.seeds:
            units.append(_adapter(mix, seed, recipe, parts, mix, base, rows, tasks, day))
    return units


def _adapter(
    source: str,
    seed: int,
    recipe: RecipeConfig,
    parts: tuple[ResolvedSource, ...],
    mix: str | None,
    base: Mapping[str, Any],
    rows: Mapping[str, str],
    tasks: list[TaskConfig],
    day: str | None,
) -> AdapterUnit:
    versions = {name: RESULT_VERSIONS[name] for name in ("encoding", "training")}
    inputs: dict[str, Any] = {
        "base": dict(base),
        "rows": rows[source],
        "recipe": _recipe_inputs(recipe),
        "seed": seed,
        "reading": [reading_inputs(task, day) for task in tasks],
        "versions": versions,
    }
    return AdapterUnit(f"{source}-s{seed}", source, seed, recipe, parts, mix, fingerprint(inputs), inputs)


def _recipe_inputs(recipe: RecipeConfig) -> dict[str, Any]:
    given = recipe.model_dump(mode="json", exclude={"seeds"}, exclude_none=True)
    return {key: value for key, value in given.items() if key not in _LATER or value != _LATER[key]}


def reading_inputs(task: TaskConfig, day: str | None) -> dict[str, Any]:
    """What turns a task's rows into tokens, beside the model's own files: the chat's variables and day, the cuts.

    Rows that are refused or left out change none of the others.
    """
    if not task.uses_chat:
        return {"chat": None, "cut": task.overlong == "cut"}
    return {"chat": task.chat_variables, "day": day, "cut": task.overlong == "cut"}


def cell_units(
    models: Iterable[ModelUnit],
    name: str,
    task: TaskConfig,
    n: int,
    rows: str,
    day_of: Callable[[str], str | None],
    root: Path,
    programs: str | None = None,
) -> Iterator[CellUnit]:
    """The cells of models on a task over its first ``n`` rows.

    Args:
        models: the rows of the matrix. name, task: the column. rows: fingerprint of its first ``n`` rows.
        day_of: the day that a model's chat template prints, by its name.
        root: the folder that the task's paths start from.
        programs: fingerprint of the rows' tests, where answers are code.
    """
    scoring = fingerprint(scoring_inputs(name, task, root, programs))
    shared: dict[str | None, tuple[dict[str, Any], str, str]] = {}
    for model in models:
        day = day_of(model.name)
        if day not in shared:
            inputs = _cell_inputs(task, day)
            # Of a hundred thousand cells only the model's mark differs: the rest of the text is made once.
            before, after = canonical({**inputs, "model": _MODEL}).decode().split(_MODEL)
            shared[day] = inputs, before, after
        inputs, before, after = shared[day]
        text = before + canonical(model.fingerprint).decode()[1:-1] + after
        mark = hashlib.sha256(text.encode()).hexdigest()
        yield CellUnit(model, name, mark, scoring, n, rows, {"model": model.fingerprint, **inputs})


def _cell_inputs(task: TaskConfig, day: str | None) -> dict[str, Any]:
    if task.lm_eval is not None:
        # The requests are the rows; the rest of what the task says is judging.
        names = ("encoding", "scoring", "generation", "requests")
        return {
            "form": "lm_eval",
            "reading": reading_inputs(task, day),
            "versions": {name: RESULT_VERSIONS[name] for name in names},
        }
    answer = task.answer
    computing = "generation" if answer.generate else "scoring"
    inputs: dict[str, Any] = {
        "form": answer.form,
        "reading": reading_inputs(task, day),
        "versions": {name: RESULT_VERSIONS[name] for name in ("encoding", "scoring", computing)},
    }
    if answer.generate is not None:
        inputs["generate"] = {"max_tokens": answer.generate.max_tokens, "stop": list(answer.generate.stop)}
        if answer.generate.temperature > 0:
            drawn = ("samples", "temperature", "top_p", "top_k", "seed")
            inputs["sampling"] = {name: getattr(answer.generate, name) for name in drawn}
            inputs["versions"]["sampling"] = RESULT_VERSIONS["sampling"]
    if answer.choice is not None:
        # Options' token counts are not kept, so another normalisation needs the model again.
        inputs["normalise"] = answer.normalise
    return inputs


def scoring_inputs(name: str, task: TaskConfig, root: Path, programs: str | None = None) -> dict[str, Any]:
    """What turns a model's outputs into scores: parser, classes, metrics, tests, with their result versions.

    Raises:
        TraitscopeError: it is a task of lm-evaluation-harness, and lm-eval is not installed.
    """
    if task.lm_eval is not None:
        judged = task.lm_eval.model_dump(mode="json", include={"task", "metric", "bootstrap_iters"})
        return {"lm_eval": judged, "harness": Task(name, task, root).harness_mark(), "loss": METRICS.get("loss").mark}
    answer = task.answer
    inputs: dict[str, Any] = {
        "metrics": [[name, METRICS.get(name).mark] for name in (*task.metric_names, "loss")],
        "judging": RESULT_VERSIONS["judging"],
        "classes": list(answer.classes) if answer.classes is not None else None,
    }
    if answer.generate is not None:
        inputs["parse"] = [answer.generate.parse, PARSERS.get(answer.generate.parse).mark]
        if (code := answer.generate.code) is not None:
            inputs["code"] = [code.timeout_s, code.memory_mb, SANDBOX_VERSION, programs]
    return inputs


def component_versions(config: StudyConfig, formats: Iterable[str]) -> dict[str, Any]:
    """The result version of everything this study uses, with the file ``formats`` of its rows, for ``lock.json``."""
    from traitscope.layers import DEFAULT_MEASURES

    used: dict[str, Iterable[str]] = {
        "metric": {name for task in config.tasks.values() for name in task.metric_names},
        "parser": {task.answer.generate.parse for task in config.tasks.values() if task.answer.generate},
        "control": {name for names in config.controls.values() for name in names},
        "file format": formats,
        "statistic": registry("statistic").names(),
        "measure": () if config.layers is None else (*DEFAULT_MEASURES, *config.layers.measures),
    }
    marks = {kind: {name: registry(kind).get(name).mark for name in sorted(names)} for kind, names in used.items()}
    return {**RESULT_VERSIONS, **{f"{kind}s": found for kind, found in marks.items()}}
