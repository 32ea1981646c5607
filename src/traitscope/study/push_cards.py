"""The cards of what is pushed to the Hub: metadata that it understands, scores with their intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from traitscope._version import __version__
from traitscope.errors import TraitscopeError
from traitscope.metrics import METRICS
from traitscope.metrics.intervals import normal_quantile
from traitscope.store.hub_upload import TAG
from traitscope.study.context import Context
from traitscope.study.units import adapter_names

LEVEL = 0.95
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Score:
    """A cell as a card tells it; ``lo`` and ``hi`` are the ends of its 95 % interval, None where n alone is known."""

    task: str
    metric: str
    relation: str
    value: float
    lo: float | None
    hi: float | None
    n: int
    base: float | None


def hub_base(study: Context) -> tuple[str, str | None] | None:
    """Id and commit of a base that lies on the Hub; None for one that others cannot load by name."""
    try:
        if isinstance(study.asked(study.config.base).located(), Path):
            return None
    except TraitscopeError:
        return None  # a folder that is gone
    entry = study.lock.get("base", {})
    return entry.get("moved_to") or study.config.base.model, entry.get("revision")


def hub_datasets(study: Context, tasks: Sequence[str]) -> list[str]:
    """The Hub datasets that tasks read."""
    return list(dict.fromkeys(str(hub) for task in tasks if (hub := study.config.tasks[task].data.hub) is not None))


def trained_on(study: Context, adapter: str) -> list[str]:
    """The tasks that an adapter was trained on."""
    source = adapter_names(study.config)[adapter][0]
    if source in study.config.mixes:
        return list(dict.fromkeys(part.task for part in study.config.mix_sources(source)))
    return [one.task for one in study.config.resolved_sources() if one.name == source]


def scores_of(table: pd.DataFrame, model: str) -> list[Score]:
    """The measured cells of a model by their first metric, its own ones first.

    Args:
        table: as ``pushing.score_table`` gives it.
    """
    rows = table[table["primary"].astype(bool) & (table["status"] == "measured")]
    base = rows[rows["role"] == "base"].set_index("task")["value"]
    found = []
    for row in rows[rows["model"] == model].to_dict("records"):
        task, metric, value, n = str(row["task"]), str(row["metric"]), float(row["value"]), int(row["n"])
        lo, hi = interval(metric, value, float(row["stderr"]), n)
        beside = float(base[task]) if task in base.index else None
        found.append(Score(task, metric, str(row["relation"]), value, lo, hi, n, beside))
    return sorted(found, key=lambda one: one.relation != "own")


def interval(metric: str, value: float, stderr: float, n: float) -> tuple[float | None, float | None]:
    """The ends of a score's normal 95 % interval, within the metric's range; None without an error.

    It is never a point: as many examples of another kind as Wilson's interval of 0 of n allows may exist unseen (see
    ``never_a_point``), and each may take the score to the far end of the range.
    """
    if not np.isfinite(stderr):
        return None, None
    z, low, high = normal_quantile(LEVEL), METRICS.get(metric).value.low, METRICS.get(metric).value.high
    far = max(value - low, high - value) if np.isfinite(low) and np.isfinite(high) else abs(value)
    half = max(z * stderr, far * z * z / (n + z * z))
    return max(low, value - half), min(high, value + half)


def adapter_card(study: Context, name: str, body: str, scores: Sequence[Score], licence: str | None) -> str:
    """The card of one adapter.

    Args:
        study: whose. name: the adapter's. body: its card in the run folder, which people edit.
        scores: its cells. licence: as the Hub names licences.
    """
    from huggingface_hub import EvalResult, ModelCardData

    base, tasks = hub_base(study), trained_on(study, name)
    results = [_result(study, one) for one in scores if one.relation == "own"]
    extra: dict[str, Any] = {"base_model_relation": "adapter"} if base else {}
    data = ModelCardData(
        base_model=base[0] if base else None,
        library_name="peft",
        pipeline_tag="text-generation",
        license=licence,
        datasets=hub_datasets(study, tasks) or None,
        tags=["lora", TAG],
        metrics=list(dict.fromkeys(one.metric for one in scores)) or None,
        model_name=f"{study.config.study}-{name}" if results else None,
        eval_results=[EvalResult(**one) for one in results] or None,
        **extra,
    )
    text = _FRONT.sub("", body).strip()
    return f"---\n{data.to_yaml()}\n---\n{text}\n\n## Scores\n\n{score_rows(scores)}"


def plain_card(title: str, text: str, **data: Any) -> str:
    """A card of a model repository: metadata, a title, a text."""
    from huggingface_hub import ModelCardData

    head = ModelCardData(library_name="peft", **{key: value for key, value in data.items() if value})
    return f"---\n{head.to_yaml()}\n---\n{f'# {title}' if title else ''}{chr(10) * 2 if title else ''}{text}"


def scores_card(study: Context, table: pd.DataFrame, licence: str | None) -> str:
    """The card of the dataset that holds the score matrix."""
    from huggingface_hub import DatasetCardData

    config, n = study.config, len(table)
    sizes = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    data = DatasetCardData(
        license=licence,
        pretty_name=f"Transfer matrix of {config.study}",
        tags=[TAG, "transfer-matrix"],
        size_categories=[next((name for most, name in sizes if n < most), "1M<n<10M")],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "scores.parquet"}]}],
    )
    base, sources = hub_base(study), hub_datasets(study, list(config.tasks))
    models, tasks = table["model"].nunique(), table["task"].nunique()
    of = f"`{study.base_name}`" + (f" at commit `{base[1]}`" if base and base[1] else "")
    read = f"\nRows come from {', '.join(f'`{one}`' for one in sources)}; the commits stand in `lock.json`.\n" * bool(
        sources
    )
    return f"""---
{data.to_yaml()}
---
# Transfer matrix of the study {config.study}

{models} models on {tasks} tasks, measured by traitscope {__version__}. The base is {of};
every other row is a LoRA adapter trained on one source, an altered copy of one (control) or several (mix), or a model
trained elsewhere.
{read}
`scores.parquet` and `scores.csv` hold one line per model, task and metric:

| column | what |
| --- | --- |
| `base` | the untuned model |
| `model`, `source`, `seed` | the row: its name, what it was trained on, the seed |
| `role` | base, source, control, mix or foreign |
| `task`, `metric` | the column, and how it was judged; `primary`: by the task's first metric |
| `relation` | own (trained on this task), copy (on a copy of it), transfer |
| `status` | measured, or missing |
| `value`, `n`, `stderr` | the score, the number of examples, its standard error |
| `higher_is_better` | the metric's direction |

`study.yaml` is the study, `lock.json` the versions, commits and fingerprints that it was made with.

```
traitscope traits scores.csv
```
"""


def score_rows(scores: Sequence[Score]) -> str:
    """Scores as a table of a card."""
    if not scores:
        return "No task was evaluated.\n"
    lines = ["| task | metric | score | 95 % interval | base | n | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for one in scores:
        ends = "" if one.lo is None or one.hi is None else f"{one.lo:.4g} to {one.hi:.4g}"
        base = "" if one.base is None else f"{one.base:.4g}"
        lines.append(
            f"| {one.task} | {one.metric} | {one.value:.4g} | {ends} | {base} | {one.n} | "
            f"{'trained on it' if one.relation == 'own' else one.relation} |"
        )
    return "\n".join(lines) + "\n"


def _result(study: Context, one: Score) -> dict[str, Any]:
    data, commit = study.config.tasks[one.task].data, study.data.commit(one.task)
    ends = None if one.lo is None or one.hi is None else [round(one.lo, 6), round(one.hi, 6)]
    return {
        "task_type": "text-generation",
        "dataset_type": data.hub or one.task,
        "dataset_name": one.task,
        "dataset_revision": commit,
        "metric_type": one.metric,
        "metric_value": round(one.value, 6),
        "metric_args": {"n": one.n, **({"interval_95": ends} if ends else {})},
    }
