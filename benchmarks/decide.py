"""Time to decision: seconds until the source that is chosen for every target is as good as the full grid's best.

    python -m benchmarks.decide [study.yaml] [--budget 0.2] [--no-peer] [--out FOLDER]

The embedded study grown to 20 sources on 10 targets, or a study of yours. The ten further sources are parts of the ten
tasks' data under other seeds, wordings and sizes; on the task that they are a part of they are copies, and count for no
target there. Three times are compared: a run under a budget, from its start until what it would choose lacks one point
to the full grid's best source, on average over the targets; our own full grid; and the full grid by PEFT + Trainer +
HFLM, of which a part is measured (some trainings, some models on some rows) and multiplied by tokens and rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.grid import Peer
from traitscope.compute.local import Local
from traitscope.study import Study, filling
from traitscope.study.budget import Budgeted
from traitscope.study.part import Part
from traitscope.study.probes import paired_gains, plain_sources

PRESET = Path(__file__).parents[1] / "src" / "traitscope" / "presets" / "demo.yaml"

# Name of the further source -> task it is a part of, train rows, seed, prompt (None: the task's own).
PARTS: dict[str, tuple[str, int, int, str | None]] = {
    "long_reviews_few": ("long_reviews", 150, 11, None),
    "long_reviews_asked": ("long_reviews", 500, 12, "{{ text }}\nQuestion: how does the writer feel?\nSentiment:"),
    "short_reviews_few": ("short_reviews", 300, 13, None),
    "clothing_reviews_bare": ("clothing_reviews", 500, 14, "{{ text }}\nSentiment:"),
    "arithmetic_few": ("arithmetic", 400, 15, None),
    "word_problems_asked": ("word_problems", 500, 16, "Problem: {{ story }} {{ question }}\nSolution:"),
    "code_few": ("code", 200, 17, None),
    "entailment_few": ("entailment", 400, 18, None),
    "paraphrase_asked": ("paraphrase", 600, 19, "{{ first }}\n{{ second }}\nVerdict:"),
    "toxicity_few": ("toxicity", 250, 20, None),
}


def grown_study(train_share: float = 1.0, eval_rows: int = 1000) -> dict[str, Any]:
    """The study file's content: 20 sources, 10 targets, no controls, mixes or layers."""
    study = yaml.safe_load(PRESET.read_text())
    study["study"] = "grown"
    targets = list(study["tasks"])
    for task in study["tasks"].values():
        task["data"]["train"] = max(16, round(task["data"]["train"] * train_share))
        task["data"]["eval"] = eval_rows
    for name, (parent, rows, seed, prompt) in PARTS.items():
        task = yaml.safe_load(yaml.safe_dump(study["tasks"][parent]))
        task["copy_of"] = task.get("copy_of", parent)
        task["data"] |= {"train": max(16, round(rows * train_share)), "eval": 1, "seed": seed}
        task["prompt"] = prompt or task["prompt"]
        study["tasks"][name] = task
    study["targets"] = targets
    for key in ("controls", "mixes", "layers"):
        study.pop(key, None)
    return dict(study)


@dataclass
class Course:
    """A run under a budget as it went: seconds since its start, and what it would have chosen then."""

    begun: float = field(default_factory=time.perf_counter)
    steps: list[tuple[float, dict[str, str | None]]] = field(default_factory=list)

    def __call__(self, choice: dict[str, str | None]) -> None:
        self.steps.append((time.perf_counter() - self.begun, choice))


def full_grid(path: Path, folder: Path) -> tuple[Study, float]:
    """Every source trained and evaluated on every target, with the base; and the seconds it took."""
    study = Study.open(path, folder)
    names = [f"{source.name}-s{source.recipe.seeds[0]}" for source in plain_sources(study.config)]
    rows = {(m, task): study.data.n_eval(task) for m in ("base", *names) for task in study.config.target_names()}
    begun = time.perf_counter()
    filling.fill(study, train=True, evaluate=True, replace=False, stop=None, part=Part(frozenset(names), rows))
    return study, time.perf_counter() - begun


def under_budget(path: Path, folder: Path, share: float) -> Course:
    """A run under a budget, with its claims."""
    study, course = Study.open(path, folder), Course()
    budgeted = Budgeted(study, share, 0.01, watch=course)
    with budgeted.together(None):
        budgeted.run(None)
        decided = time.perf_counter() - course.begun
        decision = budgeted.finish(None)
    chosen = dict(zip(decision.table["task"], decision.table["source"], strict=True))
    course.steps.append((decided, {t: s if isinstance(s, str) else None for t, s in chosen.items()}))
    print(decision.render())
    return course


def lacks(study: Study, choice: dict[str, str | None]) -> dict[str, float]:
    """What a choice lacks to the full grid's best transfer source, or the base, by target; in the metric's unit."""
    targets = study.config.target_names()
    gain_IN, _ = paired_gains(study, {task: slice(0, None) for task in targets})
    sources = [source.name for source in plain_sources(study.config)]
    found = {}
    for n, task in enumerate(targets):
        best = max(0.0, float(np.nanmax(gain_IN[:, n])))
        source = choice[task]
        found[task] = best - (0.0 if source is None else float(gain_IN[sources.index(source), n]))
    return found


def peers_grid(path: Path, folder: Path, trainings: int = 2, rows: int = 200) -> tuple[float, str]:
    """Seconds of the full grid by Trainer and HFLM: ``trainings`` sources and models on ``rows`` rows, multiplied."""
    whole = Study.open(path, folder / "whole")
    content = yaml.safe_load(path.read_text())
    sources = plain_sources(whole.config)
    tokens = {
        s.name: sum(len(r.prompt) + len(r.answer) for r in whole.data.train(s)) * s.recipe.epochs for s in sources
    }
    # From the middle of the sizes: short and long trainings have other overheads. Few rows are mostly overhead.
    chosen = [s.name for s in sorted(sources, key=lambda s: tokens[s.name])[len(sources) // 2 :][:trainings]]
    for task in whole.config.target_names():
        content["tasks"][task]["data"]["eval"] = rows
    content["sources"] = chosen
    part = folder / "part.yaml"
    part.write_text(yaml.safe_dump(content, sort_keys=False))
    peer = Peer(part, folder, Local(), whole.units().base.source())
    peer.train()
    peer.score((8, 16, 32), 32)
    training = peer.side.training.wall * sum(tokens.values()) / sum(tokens[name] for name in chosen)
    models = len(sources) + 1
    share = models / (trainings + 1) * np.mean([whole.data.n_eval(t) / rows for t in whole.config.target_names()])
    scoring = peer.side.scoring.wall * float(share)
    told = (
        f"{trainings} of {len(sources)} trainings and {trainings + 1} of {models} models on {rows} rows were measured"
    )
    return training + scoring, f"training {training:.0f} s, scoring {scoring:.0f} s; {told}, the rest multiplied"


def main() -> None:
    """Prints the times and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decide", description=__doc__.split("\n")[0])
    parser.add_argument("study", nargs="?", type=Path)
    parser.add_argument("--budget", type=float, default=0.2)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--out", type=Path, help="keeps the run folders here; nothing may be in them yet")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.out or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        path = given.study or folder / "study.yaml"
        if given.study is None:
            path.write_text(yaml.safe_dump(grown_study(), sort_keys=False))
        course = under_budget(path, folder / "budget", given.budget)
        study, whole = full_grid(path, folder / "full")
        print(f"full grid: {whole:.0f} s")
        decided = None
        for seconds, choice in course.steps:
            found = lacks(study, choice)
            mean, within = float(np.mean(list(found.values()))), sum(lack <= 0.01 for lack in found.values())
            worst = max(found, key=found.__getitem__)
            line = f"{seconds:5.0f} s: lacks {100 * mean:.1f} points on average, {100 * found[worst]:.1f} on {worst}"
            print(f"{line}; {within} of {len(found)} targets within one")
            decided = (decided or seconds) if mean <= 0.01 else None
        if decided is None:
            print("never within one point on average")
            return
        print(f"time to decision: {decided:.0f} s, {whole / decided:.1f} x faster than our full grid")
        if not given.no_peer:
            peer, told = peers_grid(path, folder)
            print(f"Trainer + HFLM: {peer:.0f} s ({told}): {peer / decided:.1f} x")


if __name__ == "__main__":
    main()
