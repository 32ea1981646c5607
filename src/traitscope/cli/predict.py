"""``traitscope predict``: what sources would do to tasks that nobody measured, and how far to believe it."""

from __future__ import annotations

import json as jsons
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from traitscope.cli.bases import names_of
from traitscope.cli.common import (
    DEFAULT_STUDY,
    SEEDS,
    JsonOption,
    OutOption,
    QuietOption,
    SetOption,
    TaskOption,
    friendly,
    keep_findings,
    open_study,
    refuse_unused,
    split_names,
    stop_on_signal,
)
from traitscope.cli.completion import words
from traitscope.cli.matrixfile import (
    MatrixOptions,
    SourceArgument,
    check_result,
    is_matrix,
    takes_matrix_options,
    write_result,
)
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.predict.forecast import Forecast
    from traitscope.study import Study

EVIDENCE = "text,base,probe"


@friendly
@takes_matrix_options
def predict(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    task: TaskOption = None,
    new: Annotated[
        Path | None, typer.Option(help="A dataset nobody trained on: rows (with --like), or a task's YAML file.")
    ] = None,
    like: Annotated[str | None, typer.Option(help="Of --new: the task whose prompt and answer its rows have.")] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Train short adapters first, of --new and of sources without one.")
    ] = False,
    evidence: Annotated[
        str,
        typer.Option(
            help="Of a study: text, base (makes mean gradients), probe, adapters; with commas.",
            autocompletion=words("text", "base", "probe", "adapters"),
        ),
    ] = EVIDENCE,
    others: Annotated[
        list[Path] | None,
        typer.Option(help="Long matrix of other base models: columns base, model, source, task, value."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Name the pieces of every prediction.")] = False,
    mix_rows: Annotated[
        int | None, typer.Option(min=1, help="Choose the sources of a mix for the targets, under this many rows.")
    ] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Judge every predictor on cells that are held out.")
    ] = False,
    of: Annotated[
        str | None, typer.Option(help="The base model to forecast. [default: each in turn with --evaluate]")
    ] = None,
    predictors: Annotated[str | None, typer.Option(help="Names with commas. [default: all; one to forecast]")] = None,
    protocols: Annotated[
        str | None,
        typer.Option(
            help="cells, source, column, probes, quarter, base. [default: all]",
            autocompletion=words("cells", "source", "column", "probes", "quarter", "base"),
        ),
    ] = None,
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed of the folds.")] = 0,
    changes: SetOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Which source helps a target, by how much and how surely, before it is trained on.

    Measured cells are given as they are; predicted ones with their interval, the chance of harm, and what the mean of
    the sources and the additive model say. --new FILE forecasts a dataset that no adapter was trained on. --evaluate
    judges every predictor on held-out cells; with --family every base model is forecast in turn from the others.
    """
    of_studies: list[tuple[object, str]] = [
        *((new, "--new"), (like, "--like"), (probe, "--probe"), (others, "--others"), (mix_rows, "--mix-rows")),
    ]
    if is_matrix(source):
        refuse_unused([*of_studies, (evidence != EVIDENCE, "--evidence")], "is for a study", "name a study file")
        check_result(out, source)
    if evaluate:
        refuse_unused([(task, "--task"), *of_studies, (explain, "--explain")], "does not go with --evaluate")
    else:
        refuse_unused([(protocols, "--protocols"), (seed, "--seed")], "goes with --evaluate", "add --evaluate")
        refuse_unused([(of and not is_matrix(source), "--of")], "is for a matrix file, or goes with --evaluate")
    names = _names(predictors, "--predictors")
    if evaluate:
        text, shown = _evaluated(
            source, matrix_options, out, evidence, of, names, _names(protocols, "--protocols"), seed, quiet, changes
        )
    else:
        asked = _Asked(
            source, out, task, new, like, probe, evidence, tuple(others or ()), explain, mix_rows, quiet, changes
        )
        bases = [None] if is_matrix(source) else names_of(source, out, changes, matrix_options.bases)
        made = {base: _forecast(replace(asked, base=base), matrix_options, of, names) for base in bases}
        text, shown = next(iter(made.values()))
        if len(made) > 1:
            text = jsons.dumps({base: jsons.loads(one) for base, (one, _) in made.items()}, ensure_ascii=False)
            shown = "\n\n".join(f"{base}\n{one}" for base, (_, one) in made.items())
    if is_matrix(source):
        write_result(out, text)
    if json:
        say_json(text)
    else:
        say(shown.rstrip("\n"))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a forecast was asked for."""

    source: Path
    out: Path | None
    tasks: list[str] | None
    new: Path | None
    like: str | None
    probe: bool
    evidence: str
    others: tuple[Path, ...]
    explain: bool
    mix_rows: int | None
    quiet: bool
    changes: list[str] | None
    base: str | None = None


def _forecast(
    asked: _Asked, matrix_options: MatrixOptions, of: str | None, predictors: list[str] | None
) -> tuple[str, str]:
    """The forecast as JSON and as text."""
    from traitscope.predict import ranking
    from traitscope.predict.forecast import DEFAULT, fit_predictor

    if predictors is not None and len(predictors) > 1:
        raise TraitscopeError("a forecast is of one predictor", where="--predictors", fix="name one, or add --evaluate")
    predictor = predictors[0] if predictors else DEFAULT
    study, rows, mixes = None, dict[str, int](), dict[str, dict[str, int]]()
    if is_matrix(asked.source):
        found = fit_predictor(matrix_options.read(asked.source), base=of, predictor=predictor)
    else:
        for given, lacks, option in (
            (asked.like, asked.new is None, "--like"),
            (asked.new, asked.explain, "--explain"),
        ):
            if given and lacks:
                raise TraitscopeError(
                    f"{option} does not go with this",
                    where="predict",
                    fix="--like goes with --new, --explain with rankings of a study's own sources",
                )
        study, found = _study_forecast(asked, predictor)
        rows = {s.name: study.data.n_train(s.task) for s in study.config.resolved_sources() if s.control is None}
        mixes = {mix: {part.name: len(r) for part, r in study.data.mix(mix)} for mix in study.config.mixes}
    tasks = asked.tasks or [task for task in found.problem.tasks if found.problem.allowed_IN[:, _at(found, task)].any()]
    parts, choice = [], None
    if asked.new is not None:
        from traitscope.study.newdata import dataset_name

        name = dataset_name(asked.new)
        parts += [ranking.dataset_text(found, name), ranking.skill_text(found, "source")]
    else:
        parts += [ranking.ranking_text(found, task, explain=asked.explain) for task in tasks]
        parts.append(ranking.skill_text(found, "cells"))
    if asked.mix_rows is not None:
        rule = ranking.mix_rule(found, mixes)
        choice = ranking.mix_choice(found, tasks, rows, asked.mix_rows, rule)
        parts.append(ranking.mix_text(choice, rule, tasks, rows))
    if study is not None:
        write_result(study.folder.analysis / "forecast.json", ranking.to_json(found, tasks, choice))
    return ranking.to_json(found, tasks, choice), "\n\n".join(parts)


def _at(found: Forecast, task: str) -> int:
    return found.problem.tasks.index(task)


def _study_forecast(asked: _Asked, predictor: str) -> tuple[Study, Forecast]:
    from traitscope.matrix import ScoreMatrix
    from traitscope.study import BasesStudy, Stopped

    opened, report = open_study(asked.source, asked.out, quiet=asked.quiet, changes=asked.changes)
    keep_findings(opened, asked.changes)
    others = [ScoreMatrix.read(path, layout="long") for path in asked.others]
    part = opened.part(str(asked.base)) if isinstance(opened, BasesStudy) else opened
    which = {"base": asked.base} if isinstance(opened, BasesStudy) else {}
    try:
        with stop_on_signal() as stop, report:  # type: ignore[attr-defined]
            found = opened.forecast(
                **which,
                new=asked.new,
                like=asked.like,
                probe=asked.probe,
                costs=_names(asked.evidence, "--evidence") or (),
                others=others,
                predictor=predictor,
                stop=stop,
            )
    except Stopped:
        say("stopped; run the same command again to go on", err=True)
        raise typer.Exit(stop.status) from None
    return part, found


def _names(given: str | None, option: str) -> list[str] | None:
    return split_names(None if given is None else [given], option)


def _evaluated(
    source: Path,
    matrix_options: MatrixOptions,
    out: Path | None,
    evidence: str,
    of: str | None,
    predictors: list[str] | None,
    protocols: list[str] | None,
    seed: int,
    quiet: bool,
    changes: list[str] | None,
) -> tuple[str, str]:
    """The evaluation as JSON and as text."""
    from traitscope.cli.reporter import make_reporter
    from traitscope.predict.evaluate import evaluate_predictors
    from traitscope.predict.render import render

    study, features = None, None
    if is_matrix(source):
        scores = matrix_options.read(source)
    else:
        from traitscope.study import BasesStudy
        from traitscope.study.forecasting import study_features

        study, _ = open_study(source, out, quiet=quiet, changes=changes)
        keep_findings(study, changes)
        scores, part = study.scores(), study
        if isinstance(study, BasesStudy):
            # The cells of the other base models are known to it.
            of = of if of is not None else matrix_options.base
            part = study if of is None else study.part(of)
        if part is not study or not study.inner:
            features = study_features(part, _names(evidence, "--evidence") or ())
    begun = time.monotonic()
    with make_reporter(quiet=quiet) as report:
        report.stage("predictors on held-out cells")

        def tell(done: int, total: int, what: str) -> None:
            per_s = done / max(time.monotonic() - begun, 1e-3)
            left = (total - done) / per_s if per_s > 0 else 0.0
            report.progress(done, total, unit="folds", per_s=per_s, seconds_left=left, note=what)

        found = evaluate_predictors(
            scores,
            features=features,
            base=of,
            predictors=predictors,
            protocols=protocols,
            seed=seed,
            progress=tell,
        )
    if study is not None:
        write_result(study.folder.analysis / "prediction.json", found.to_json())
    return found.to_json(), render(found)
