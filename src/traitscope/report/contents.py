"""What a report is made from: results and a few facts; no model, no engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from traitscope.effects import Effects, Explanation
    from traitscope.layers import CausalCheck, LayersResult, TaskFigures
    from traitscope.matrix import ScoreMatrix
    from traitscope.stats import DatasetStats
    from traitscope.study import Study
    from traitscope.traits import Traits


class StudyFindings(Protocol):
    """What is read of a study's findings (``Study.analyse``); every part but the scores may be None."""

    @property
    def scores(self) -> ScoreMatrix: ...
    @property
    def stats(self) -> DatasetStats | None: ...
    @property
    def traits(self) -> Traits | None: ...
    @property
    def effects(self) -> Effects | None: ...
    @property
    def explanation(self) -> Explanation | None: ...
    @property
    def layers(self) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that a report shows. Parts that are None are said to be missing.

    Attributes:
        name: of the study.
        scores: the matrix.
        traits, effects, stats, explanation, layers, causal, correlates: the findings.
        facts: what was run, as (label, text) pairs, in order.
        config: the study file's text; None where there is none.
        lock: versions, revisions and fingerprints; None where there is none.
        missing: for absent parts (by attribute name) why they are absent.
    """

    name: str
    scores: ScoreMatrix
    traits: Traits | None = None
    effects: Effects | None = None
    stats: DatasetStats | None = None
    explanation: Explanation | None = None
    layers: LayersResult | None = None
    causal: CausalCheck | None = None
    correlates: TaskFigures | None = None
    facts: tuple[tuple[str, str], ...] = ()
    config: str | None = None
    lock: Mapping[str, Any] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_text(self) -> str:
        """The study file, or a line that says there is none."""
        return self.config if self.config is not None else "(no study file)"

    @property
    def lock_text(self) -> str:
        """The lock as indented JSON, or a line that says there is none."""
        return "(no lock)" if self.lock is None else json.dumps(self.lock, indent=1, ensure_ascii=False)


def study_contents(study: Study, findings: StudyFindings) -> Contents:
    """The contents for a study's folder.

    Args:
        study: gives the name, the configuration, the lock and the facts.
        findings: the results; ``missing`` (part -> reason) is read too where it has one.
    """
    lock = study.folder.read_lock()
    text = study.folder.study_file.read_text(encoding="utf-8") if study.folder.exists() else None
    layers = findings.layers
    return Contents(
        name=study.config.study,
        scores=findings.scores,
        traits=findings.traits,
        effects=findings.effects,
        stats=findings.stats,
        explanation=findings.explanation,
        layers=None if layers is None else layers.layers,
        causal=None if layers is None else layers.causal,
        correlates=None if layers is None else layers.correlates,
        facts=tuple(_facts(study, findings.scores, lock)),
        config=text,
        lock=lock,
        missing=dict(getattr(findings, "missing", {})),
    )


def _facts(study: Study, scores: ScoreMatrix, lock: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    from traitscope.report.words import count_of

    config, recipe = study.config, study.config.recipe
    base = dict((lock or {}).get("base", {}))
    named = [config.base.model]
    for key in ("revision", "dtype"):
        if base.get(key):
            named.append(str(base[key]))
    if base.get("fingerprint"):
        named.append(f"fingerprint {str(base['fingerprint'])[:12]}")
    sources = config.resolved_sources()
    plain = [s for s in sources if s.control is None]
    seeds = sorted({seed for s in sources for seed in s.recipe.seeds})
    facts = [
        ("Base model", ", ".join(named)),
        ("Tasks", f"{len(config.tasks)} ({len(config.target_names())} evaluated)"),
        (
            "Adapters",
            f"{count_of(len(plain), 'source')}, {count_of(len(sources) - len(plain), 'control')}, "
            f"{count_of(len(config.mixes), 'mix', 'mixes')}; seeds {', '.join(map(str, seeds)) or 'none'}",
        ),
        (
            "Recipe",
            f"LoRA rank {recipe.rank}, alpha {recipe.alpha:g}, {recipe.targets}; lr {recipe.lr:g} {recipe.schedule}, "
            f"{count_of(recipe.epochs, 'epoch')}, batch {recipe.batch}, at most {recipe.max_tokens} tokens a row",
        ),
    ]
    if config.models:
        facts.append(("Further models", ", ".join(config.models)))
    facts.append(("Cells", cells_text(scores)))
    log = study.folder.read_log()
    times = [str(line["time"])[:16].replace("T", " ") for line in log if line.get("event") in ("start", "end")]
    if times:
        facts.append(("Run", f"{times[0]} to {times[-1]} UTC"))
    if lock is not None:
        packages = dict(lock.get("packages", {}))
        shown = [f"{name} {packages[name]}" for name in ("torch", "transformers", "peft") if packages.get(name)]
        facts.append(
            ("Software", ", ".join([f"traitscope {lock.get('traitscope')}", f"Python {lock.get('python')}", *shown]))
        )
    return facts


def cells_text(scores: ScoreMatrix) -> str:
    """How many cells there are, how they came about, how many are missing."""
    status = scores.status_IN.ravel().tolist()
    counts = {kind: status.count(kind) for kind in ("measured", "imported", "predicted", "missing")}
    parts = [f"{count} {kind}" for kind, count in counts.items() if count]
    return f"{len(scores.models)} models × {len(scores.tasks)} tasks: {', '.join(parts)}"
