"""The harness' results of a base and many adapters, by adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from traitscope.lm_eval.model import BASE, TraitscopeLM, own_cache


def evaluate(
    base: str,
    adapters: str | Sequence[str | Path] | Mapping[str, str | Path],
    tasks: Sequence[Any],
    *,
    output_path: str | Path | None = None,
    model: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """The harness' results of a base and of every adapter, each request answered once for all of them.

    Args:
        base, adapters: as ``TraitscopeLM`` takes them.
        tasks: names (or whatever ``lm_eval.simple_evaluate`` takes as tasks).
        output_path: a folder that gets the harness' own results files, ``<output_path>/<adapter>/results_*.json``.
        model: further arguments of ``TraitscopeLM``: dtype, device, revision.
        options: further arguments of ``simple_evaluate``: num_fewshot, limit, task_manager, ...

    Returns:
        By the adapter's name (and ``base``) what ``simple_evaluate`` gives.

    Raises:
        TraitscopeError: a model cannot be loaded, a task draws its answers at random, or the cache of a model
            (``use_cache``; each has its own) cannot be read or holds answers of another one.
    """
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    # Its index of names takes seconds.
    if options.get("task_manager") is None:
        options["task_manager"] = TaskManager()
    cache = options.pop("use_cache", None)
    lm = TraitscopeLM(base, adapters, BASE, **(model or {}))
    found = {}
    try:
        for name in lm.bank.names:
            lm.choose(name)
            tracker = None if output_path is None else EvaluationTracker(output_path=str(output_path))
            told = {"pretrained": base, "peft": name}
            with own_cache(cache, name) as options["use_cache"]:
                results: Any = lm_eval.simple_evaluate(
                    lm, model_args=told, tasks=list(tasks), evaluation_tracker=tracker, **options
                )
            assert results is not None
            results["config"]["model"] = "traitscope"
            found[name] = results
            if tracker is not None:
                _save(tracker, results)
    finally:
        lm.close()
    return found


def _save(tracker: Any, results: Mapping[str, Any]) -> None:
    """Results and samples in files, as the harness' command line writes them."""
    kept = {key: value for key, value in results.items() if key != "samples"}
    samples: Any = results.get("samples")
    tracker.save_results_aggregated(results=kept, samples=samples)
    for task in results["configs"] if samples else ():
        tracker.save_results_samples(task_name=task, samples=samples[task])
