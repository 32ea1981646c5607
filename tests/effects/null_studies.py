"""Studies without any transfer, made by letting a base answer its examples again; own effects and run noise on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from effect_study import Study, choice_records, generate_records, stats_with

from traitscope.stats import DatasetStats


@dataclass(frozen=True, kw_only=True)
class Null:
    """What a study without transfer has.

    Attributes:
        sources: how many; the first ``tasks`` of them have their own task among the targets.
        tasks: how many targets; n: examples of each.
        seeds: training seeds of every source.
        run_sd: deviation of a score between two runs, as a share.
        own: gain of every source on its own task, as a share.
        agree: share of the examples that a model answers as the base does, the others anew.
    """

    sources: int
    tasks: int
    n: int = 200
    seeds: int = 1
    run_sd: float = 0.0
    own: float = 0.0
    agree: float = 0.3

    def names(self) -> list[str]:
        """The sources; target k bears the name of source k."""
        return [f"d{k}" for k in range(self.sources)]


def answers_again(null: Null, rng: np.random.Generator) -> Study:
    """Scores: on every task each model answers the base's examples again by the base's own chances."""
    study = Study()
    for k, task in enumerate(null.names()[: null.tasks]):
        chance_S = rng.beta(1.5, 1.5, null.n)
        base_S = rng.random(null.n) < chance_S
        # Answers without a length, so that only scores are compared.
        frame = generate_records(base_S, np.full(null.n, 5)).assign(finish=None)
        study.add("base", None, None, task, frame)
        for s, source in enumerate(null.names()):
            for seed in range(null.seeds):
                shift = null.run_sd * rng.normal() + (null.own if s == k else 0.0)
                kept_S = rng.random(null.n) < null.agree
                again_S = np.where(kept_S, base_S, rng.random(null.n) < chance_S)
                moved_S = rng.random(null.n) < abs(shift) / 0.5
                right_S = np.where(moved_S, shift > 0, again_S)
                study.add(f"{source}-s{seed}", source, seed, task, frame.assign(correct=right_S.astype(float)))
    return study


def habits_without_pull(
    null: Null, rng: np.random.Generator, pull: float = 0.0, pull_sd: float = 0.0, tilt_sd: float = 0.05
) -> tuple[Study, DatasetStats]:
    """Class shares and lengths of models that take as much of their source's habit as ``pull`` says.

    Args:
        null: sizes.
        rng: draws everything.
        pull: mean pull over the sources; pull_sd: its deviation between them.
        tilt_sd: deviation of a model's own habit, on all tasks alike, that has nothing to do with its source's.
    """
    study, classes = Study(), ("no", "yes")
    share_s, length_s = rng.uniform(0.1, 0.9, null.sources), rng.uniform(3.0, 40.0, null.sources)
    pull_s = pull + pull_sd * rng.normal(size=null.sources)
    tilt_s, drift_s = tilt_sd * rng.normal(size=(2, null.sources))
    for k, task in enumerate(null.names()[: null.tasks]):
        base_share, base_length, gold_share = rng.uniform(0.25, 0.75), rng.uniform(8.0, 25.0), rng.uniform(0.2, 0.8)
        gold_S = (rng.random(null.n) < gold_share).astype(int)
        drawn_S, ease_S = rng.random(null.n), rng.gamma(4.0, base_length / 4.0, null.n)
        kind = choice_records if k % 2 else generate_records

        def answered(share: float, length: float, own_S: np.ndarray, gold_S=gold_S, kind=kind, ease_S=ease_S):
            if kind is choice_records:
                return choice_records(gold_S, (own_S < share).astype(int), classes)
            tokens_S = np.maximum(rng.poisson(ease_S * length), 1)
            return generate_records(np.ones(len(gold_S)), tokens_S)

        study.add("base", None, None, task, answered(base_share, 1.0, drawn_S))
        for s, source in enumerate(null.names()):
            own_S = np.where(rng.random(null.n) < null.agree, drawn_S, rng.random(null.n))
            share = base_share + pull_s[s] * (share_s[s] - base_share) + tilt_s[s]
            length = 1.0 + pull_s[s] * (length_s[s] / base_length - 1.0) + 4 * drift_s[s]
            study.add(f"{source}-s0", source, 0, task, answered(share, max(length, 0.05), own_S))
    names = null.names()
    labels = {name: {"no": 1 - share, "yes": share} for name, share in zip(names, share_s.tolist(), strict=True)}
    lengths = dict(zip(names, length_s.tolist(), strict=True))
    return study, stats_with(names, answer_length=lengths, labels=labels)


def share_of(hits: Sequence[bool]) -> float:
    """How many of a list are true, as a share."""
    return float(np.mean(np.asarray(hits, dtype=bool)))
