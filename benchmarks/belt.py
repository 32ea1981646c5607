"""``python -m benchmarks.belt RUN``: belt and routers of a filled study over many halves of its rows.

One half of the rows chooses and calibrates, the other judges; which is which is drawn anew each time, so that luck of
one draw can be told from the rule. Merged adapters are left out: they would be evaluated anew for every draw.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from traitscope.belt import ROUTERS, Readings, SplitScores, choices, choose, judge_routers, route_belt
from traitscope.study import Study
from traitscope.study.belt_answers import study_split
from traitscope.study.belting import read_prompts


def of_adapters(readings: Readings, names: Sequence[str]) -> Readings:
    """The readings of some adapters; those of states are the same for all belts."""
    if not set(names) <= set(readings.names):
        return readings
    at = [readings.names.index(name) for name in names]
    columns = [{key: read[:, at] for key, read in part.items()} for part in (readings.places, readings.rows)]
    return replace(readings, places=columns[0], rows=columns[1], names=tuple(names))


def one_draw(found: SplitScores, read: dict[str, Readings], loss: float) -> dict[str, float]:
    """What one draw of the halves gives, by name."""
    choice, chosen = choose(found, loss)
    names = [found.models[i] for i in chosen]
    routed = {}
    for rule in ROUTERS.names():
        readings = of_adapters(read[ROUTERS.get(rule).value.reads], names)
        routed[rule] = choices(found, route_belt(found, chosen, rule, readings), readings)
    table, _ = judge_routers(found, chosen, routed)
    size = choice.sizes[choice.sizes["size"] == len(chosen)].to_dict("records")[0]
    scores = {str(what).split(" (")[0]: float(score) for what, score in zip(table["what"], table["score"], strict=True)}
    return {
        "adapters": len(chosen),
        "loss where chosen": float(size["chosen"]),
        "loss where judged": float(size["judged"]),
        "worst task where judged": float(size["judged_worst"]),
        "loss in hindsight": float(size["hindsight"]),
        **scores,
    }


def main() -> None:
    """Prints mean, least and most of every number over the draws."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.belt", description=__doc__)
    parser.add_argument("run", type=Path, help="a filled run folder, or its study file")
    parser.add_argument("--halves", type=int, default=20, help="draws of the halves")
    parser.add_argument("--loss", type=float, default=1.0, help="points a task may lose")
    args = parser.parse_args()
    study = Study.open(args.run)
    first = study_split(study, 0)
    adapters = [first.models[i] for i in first.adapters]
    read = {reads: read_prompts(study, first, adapters, reads) for reads in ("states", "alignments")}
    draws = [one_draw(study_split(study, seed), read, args.loss) for seed in range(args.halves)]
    table = pd.DataFrame(draws).agg(["mean", "min", "max"]).T.round(2)
    print(f"{len(first.tasks)} tasks, {len(adapters)} adapters, {args.halves} draws of the halves")
    print(table.to_string())


if __name__ == "__main__":
    main()
