"""The tool-belt of a study: answers from its cells, merged adapters evaluated, prompts read for the routers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traitscope.compute import (
    MERGES,
    Adapted,
    Align,
    Alignments,
    Capture,
    States,
    answer,
)
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.store.adapters import WEIGHTS as WEIGHTS_FILE
from traitscope.study import keeping
from traitscope.study.belt_answers import study_split
from traitscope.study.context import Context
from traitscope.study.merging import (
    adapter_path,
    belt_examples,
    merge_parts,
    merge_weights,
    merged_path,
    with_merged,
)
from traitscope.study.progress import show_tokens

if TYPE_CHECKING:
    from traitscope.belt import BeltFindings, Readings, SplitScores

# Training rows of a source that its place is made from.
ROWS = 128
WEIGHTS = ("equal", "gain")


def study_belt(
    study: Context,
    *,
    tasks: Sequence[str] | None = None,
    loss: float = 1.0,
    size: int | None = None,
    merge: Sequence[str] = ("linear",),
    weights: str = "equal",
    rule: str | None = "centroid",
    seed: int = 0,
) -> BeltFindings:
    """The belt of a filled folder, with merged adapters and routers; kept in ``analysis/belt.json`` and ``belt/``.

    Args:
        study: whose cells.
        tasks: that it is to cover; all targets where left out.
        loss: what a task may lose against its best model, in points.
        size: number of adapters, in place of the smallest within ``loss``.
        merge: ways in which the belt's adapters are merged into one, which is then evaluated and may take their place:
            ``linear``, ``ties``, ``dare``.
        weights: of merged adapters: ``equal``, or by mean ``gain`` over the base on the choosing rows.
        rule: the router that is exported; every rule is judged. None: no router, and no model is loaded for one.
        seed: of the halves, and of DARE's draws.

    Raises:
        TraitscopeError: no base, no adapter with every cell, or an unknown option.
    """
    from traitscope.belt import BeltFindings

    check_options(merge, weights, rule)
    path = study.folder.analysis / "belt.json"
    names = tuple(dict.fromkeys(study.config.target_names() if tasks is None else tasks))
    if unknown := [name for name in names if name not in study.config.target_names()]:
        raise TraitscopeError(
            f"no target is named {', '.join(map(str, unknown))}",
            where="--task",
            fix=f"one of: {', '.join(study.config.target_names())}",
        )
    ways = tuple(dict.fromkeys(merge))
    asked: dict[str, Any] = {"loss": loss, "size": size, "merge": ways, "weights": weights, "rule": rule, "seed": seed}
    asked |= {"tasks": names, "adapters": [head.fingerprint for head in study.folder.adapters()]}

    def read() -> BeltFindings:
        found = BeltFindings.from_json(path.read_text(encoding="utf-8"))
        for name in found.merged:
            if not (merged_path(study, name) / WEIGHTS_FILE).is_file():
                raise OSError(f"{name} is gone")
        return found

    def write(found: BeltFindings) -> dict[Path, str]:
        merged = (file for name in found.merged for file in merged_path(study, name).iterdir())
        return {**keeping.save(study, path.name, found.to_json().encode()), **keeping.hashes_of(merged)}

    return keeping.kept(
        study,
        "belt",
        asked,
        lambda: _make(study, names, loss, size, ways, weights, rule, seed),
        write,
        read,
        ("router",),
    )


def check_options(merge: Sequence[str], weights: str, rule: str | None) -> None:
    """Refuses ways to merge, weights and a router that there are not.

    Raises:
        TraitscopeError: one is unknown.
    """
    from traitscope.belt import ROUTERS

    if weights not in WEIGHTS:
        raise TraitscopeError(f"unknown weights {weights!r}", where="--weights", fix=f"one of: {', '.join(WEIGHTS)}")
    if isinstance(merge, str) or not isinstance(merge, Sequence):
        raise TraitscopeError(f"{merge!r} is no list", where="merge", fix='give a list of ways, such as ["linear"]')
    for how in merge:
        if how not in MERGES:
            raise TraitscopeError(f"unknown way to merge {how!r}", where="--merge", fix=f"one of: {', '.join(MERGES)}")
    if rule is not None and rule not in ROUTERS:
        raise TraitscopeError(f"unknown router {rule!r}", where="--rule", fix=f"one of: {', '.join(ROUTERS.names())}")


def _make(
    study: Context,
    tasks: Sequence[str],
    loss: float,
    size: int | None,
    merge: Sequence[str],
    weights: str,
    rule: str | None,
    seed: int,
) -> BeltFindings:
    from traitscope.belt import ROUTERS, BeltFindings, choices, choose, judge_routers, route_belt

    study.folder.prepare()
    found = study_split(study, seed, tasks)
    choice, chosen = choose(found, loss, size)
    merged: dict[str, Mapping[str, float]] = {}
    parts = [found.models[i] for i in chosen]
    if merge and len(parts) > 1:
        share = merge_weights(found, chosen, weights)
        for how in merge:
            shares = dict(zip(parts, share, strict=True))
            merged[merge_parts(study, shares, how, seed)] = shares
        found = with_merged(study, found, list(merged))
        choice, chosen = choose(found, loss, size)
    if rule is None:
        return BeltFindings(choice=choice, merged=merged)
    routers, routed, belt = {}, {}, [found.models[i] for i in chosen]
    for name in ROUTERS.names():
        readings = read_prompts(study, found, belt, ROUTERS.get(name).value.reads)
        if not readings.names:
            continue
        routers[name] = route_belt(found, chosen, name, readings)
        routed[name] = choices(found, routers[name], readings)
    if rule not in routers:
        raise TraitscopeError(f"{rule} needs an adapter in the belt", where="--rule", fix="allow less --loss")
    table, by_task = judge_routers(found, chosen, routed)
    return BeltFindings(choice=choice, merged=merged, routers=routers, rule=rule, routed=table, routed_tasks=by_task)


def read_prompts(study: Context, found: SplitScores, adapters: Sequence[str], reads: str) -> Readings:
    """What a rule reads of the training prompts of every source and of every task's rows.

    Args:
        study: where adapters and rows are.
        found: its scores.
        adapters: the belt's, by name; for alignments, of which there is nothing to read without any.
        reads: as ``Rule.reads``.
    """
    from traitscope.belt import Readings

    sources = [source for source in study.config.resolved_sources() if source.control is None]
    names = tuple(adapters) if reads == "alignments" else tuple(source.name for source in sources)
    places: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    if names:
        study.report_to.stage(f"reading prompts for the router ({reads})")
        for source in sources:
            places[source.name] = _reading(study, source.task, study.data.train(source)[:ROWS], names, reads)
        for one in found.answers:
            rows[one.task] = _reading(study, one.task, belt_examples(study, one), names, reads)
    return Readings(places, names, rows)


def _reading(
    study: Context, task: str, examples: tuple[Example, ...], names: Sequence[str], reads: str
) -> NDArray[np.floating]:
    source, one = study.loaded_base().source(), study.data.tasks[task]
    show = partial(show_tokens, study.report_to)
    if reads == "alignments":
        folders = {name: adapter_path(study, name) for name in names}
        order = Align(key=f"alignments on {task}", model=source, adapters=folders, task=one, examples=examples)
        made = answer(study.backend, order, show)
        assert isinstance(made, Alignments)
        return made.values_SA
    states = answer(
        study.backend,
        Capture(
            key=f"prompts of {task}",
            model=source,
            models={"base": Adapted()},
            task=one,
            examples=examples,
            position="mean",
            layers="middle",
        ),
        show,
    )
    assert isinstance(states, States)
    return states.acts["base"][0]
