"""Trainings as the engine takes them: recipes and rows of a study as jobs, in groups of equal work."""

from __future__ import annotations

from collections.abc import Sequence

from traitscope import engine
from traitscope.compute.orders import TrainingJob
from traitscope.tasks.encode import training_rows


def engine_job(base: engine.Base, job: TrainingJob) -> engine.TrainJob:
    """A job as the engine takes it: its rows as tokens of this base."""
    recipe = job.recipe
    limit = min(recipe.max_tokens, base.max_positions)
    return engine.TrainJob(
        job.name,
        [row for task, examples in job.parts for row in training_rows(task, examples, base.tokenizer, limit)],
        engine.LoraSpec(
            recipe.rank, recipe.alpha, recipe.targets, recipe.layers, rslora=recipe.rslora, dropout=recipe.dropout
        ),
        recipe.lr,
        recipe.schedule,
        recipe.warmup,
        recipe.epochs,
        recipe.batch,
        job.seed,
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
        max_steps=recipe.max_steps,
    )


def split(jobs: Sequence[engine.TrainJob], parts: int) -> list[list[int]]:
    """Indices of the jobs in at most ``parts`` groups of about equal tokens, largest job first."""
    groups: list[list[int]] = [[] for _ in range(min(parts, len(jobs)))]
    load = [0] * len(groups)
    for index in sorted(range(len(jobs)), key=lambda i: (-jobs[i].n_tokens, jobs[i].name)):
        least = load.index(min(load))
        groups[least].append(index)
        load[least] += jobs[index].n_tokens
    return [sorted(group) for group in groups]
