"""What is known of datasets before an adapter is trained, and the features of (source, target) pairs made of it.

A feature is a registered function of the evidence; a plugin adds one with ``PAIR_FEATURES.register``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from traitscope.plugins import calling
from traitscope.predict.pairs import COSTS, PairFeatures
from traitscope.registry import Entry, Registry, registry
from traitscope.stats import DatasetStats

Floats = npt.NDArray[np.float64]
# An adapter's update by module: A [R, D_in], and B [D_out, R] with the adapter's scale in it.
Update = Mapping[str, tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What is known of datasets and of the pairs of a source and a target; any part may be missing.

    Attributes:
        stats: statistics and similarities of the datasets, from their text and the base's hidden states.
        datasets: of a target the dataset whose statistics, gradient or adapter stand for it, if named otherwise.
        rows: train rows of the sources.
        losses: the base's loss of an answer token, by dataset, in nats.
        gradients: sketch_P of the mean gradient, by dataset.
        probes: what short trainings did: name of a measure -> values_IN with its sources and targets.
        updates: adapters by dataset.
        seconds: what each kind of evidence took to make on this machine.
    """

    stats: DatasetStats | None = None
    datasets: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    gradients: Mapping[str, npt.NDArray[np.floating]] = field(default_factory=dict)
    probes: Mapping[str, tuple[Sequence[str], Sequence[str], Floats]] = field(default_factory=dict)
    updates: Mapping[str, Update] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def of(self, task: str) -> str:
        """The dataset that stands for a target."""
        return self.datasets.get(task, task)


@dataclass(frozen=True)
class Feature:
    """A feature of pairs.

    Attributes:
        cost: what it needs, one of ``pairs.COSTS``.
        compute: from the evidence and the names of I sources and N targets to values_IN, NaN where one is not known;
            None where the evidence lacks what it needs.
    """

    cost: str
    compute: Callable[[Evidence, Sequence[str], Sequence[str]], Floats | None]

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise ValueError(f"unknown cost {self.cost!r}: one of {', '.join(COSTS)}")


PAIR_FEATURES: Registry[Feature] = Registry("pair feature")


def pair_features(
    evidence: Evidence, sources: Sequence[str], targets: Sequence[str], costs: Sequence[str] = COSTS
) -> PairFeatures:
    """All registered features of pairs that the evidence bears, cheapest first.

    Args:
        evidence: what is known.
        sources, targets: names.
        costs: kinds of evidence that may be used.

    Raises:
        TraitscopeError: a feature fails, or gives values of another shape.
    """
    names, kinds, values = list[str](), list[str](), list[Floats]()
    entries = sorted(registry(PAIR_FEATURES.kind), key=lambda entry: COSTS.index(entry.value.cost))
    for entry in entries:
        if entry.value.cost not in costs:
            continue
        found_IN = _values(entry, evidence, sources, targets)
        if found_IN is not None and np.isfinite(found_IN).any():
            names.append(entry.name)
            kinds.append(entry.value.cost)
            values.append(found_IN)
    shape = (len(names), len(sources), len(targets))
    seconds = tuple(float(evidence.seconds.get(kind, np.nan)) for kind in kinds)
    return PairFeatures(
        tuple(sources), tuple(targets), tuple(names), tuple(kinds), np.array(values).reshape(shape), seconds
    )


def _values(entry: Entry[Feature], evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    with calling(PAIR_FEATURES.kind, entry, f"{len(sources)} sources x {len(targets)} targets"):
        found = entry.value.compute(evidence, sources, targets)
        if found is None:
            return None
        found_IN = np.asarray(found, dtype=float)
        if found_IN.shape != (len(sources), len(targets)):
            raise ValueError(f"it gives values of shape {found_IN.shape} for {len(sources)} x {len(targets)} pairs")
        return found_IN


def _feature(name: str, cost: str, reference: str) -> Callable[[Callable[..., Floats | None]], Feature]:
    def keep(compute: Callable[..., Floats | None]) -> Feature:
        return PAIR_FEATURES.register(name, version=1, reference=reference)(Feature(cost, compute))

    return keep


def _similarity(kind: str, evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    found = None if evidence.stats is None else evidence.stats.similarity.get(kind)
    if found is None:
        return None
    at = {name: m for m, name in enumerate(found.names)}
    values_IN = np.full((len(sources), len(targets)), np.nan)
    for i, source in enumerate(sources):
        for n, target in enumerate(targets):
            if source in at and evidence.of(target) in at:
                values_IN[i, n] = found.values_MM[at[source], at[evidence.of(target)]]
    return values_IN


def _semantic(hidden: bool, evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    """Semantic similarity, if it rests on the base's hidden states, or if it does not: the two differ in cost."""
    if evidence.stats is None or "semantic" not in evidence.stats.similarity:
        return None
    if (evidence.stats.similarity["semantic"].by == "hidden") != hidden:
        return None
    return _similarity("semantic", evidence, sources, targets)


@_feature("semantic similarity", "text", "docs/statistics.md: cosine of mean TF-IDF (or the user's embedding) vectors")
def semantic(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    return _semantic(False, evidence, sources, targets)


@_feature(
    "hidden-state similarity", "base", "docs/statistics.md: cosine of the base's mean hidden states, standardised"
)
def hidden_states(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    return _semantic(True, evidence, sources, targets)


@_feature("shared examples", "text", "docs/statistics.md: share of the target's examples that the source nearly has")
def shared(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    found = None if evidence.stats is None else evidence.stats.similarity.get("overlap")
    if found is None:
        return None
    at = {name: m for m, name in enumerate(found.names)}
    values_IN = np.full((len(sources), len(targets)), np.nan)
    for i, source in enumerate(sources):
        for n, target in enumerate(targets):
            theirs = evidence.of(target)
            # With itself it is about repeated rows, which is another question.
            if source in at and theirs in at and source != theirs:
                values_IN[i, n] = found.values_MM[at[theirs], at[source]]
    # Where nobody shares anything it tells no pair from another.
    return values_IN if np.nanmax(values_IN, initial=0.0) > 0.0 else None


@_feature("style similarity", "text", "Evert et al. 2017 (cosine Delta)")
def style(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    return _similarity("style", evidence, sources, targets)


@_feature("shared label words", "text", "share of the target's label words that the source has as well")
def label_words(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    if evidence.stats is None:
        return None
    words = {name: set(evidence.stats.label_shares(name)) for name in evidence.stats.names}
    values_IN = np.full((len(sources), len(targets)), np.nan)
    for i, source in enumerate(sources):
        for n, target in enumerate(targets):
            theirs = words.get(evidence.of(target))
            if source in words and theirs is not None:
                values_IN[i, n] = len(words[source] & theirs) / len(theirs) if theirs else 0.0
    return values_IN


@_feature("answers of one length", "text", "minus the absolute log ratio of the mean answer lengths")
def answer_lengths(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    if evidence.stats is None or "answer_words_mean" not in evidence.stats.frame:
        return None
    mean = evidence.stats.frame["answer_words_mean"].to_dict()
    length = {name: np.log(value + 1.0) for name, value in mean.items() if np.isfinite(value)}
    values_IN = np.full((len(sources), len(targets)), np.nan)
    for i, source in enumerate(sources):
        for n, target in enumerate(targets):
            if source in length and evidence.of(target) in length:
                values_IN[i, n] = -abs(length[source] - length[evidence.of(target)])
    return values_IN


@_feature("rows of the source", "text", "logarithm of its train rows")
def source_rows(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    rows_I = np.array([np.log(evidence.rows[s]) if evidence.rows.get(s) else np.nan for s in sources])
    return np.broadcast_to(rows_I[:, None], (len(sources), len(targets)))


@_feature("base's loss on the source", "base", "mean loss of an answer token under the untuned base")
def source_loss(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    loss_I = np.array([evidence.losses.get(source, np.nan) for source in sources])
    return np.broadcast_to(loss_I[:, None], (len(sources), len(targets)))


@_feature("gradient alignment", "base", "cosine of mean gradients at a LoRA initialisation; cf. Xia et al. 2024 (LESS)")
def gradient_alignment(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    unit = {}
    for name, sketch_P in evidence.gradients.items():
        vector_P = np.asarray(sketch_P, dtype=float)
        size = float(np.linalg.norm(vector_P))
        if size > 0:
            unit[name] = vector_P / size
    values_IN = np.full((len(sources), len(targets)), np.nan)
    for i, source in enumerate(sources):
        for n, target in enumerate(targets):
            if source in unit and evidence.of(target) in unit:
                values_IN[i, n] = unit[source] @ unit[evidence.of(target)]
    return values_IN


def _probe(measure: str, evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    if measure not in evidence.probes:
        return None
    rows, columns, known_IN = evidence.probes[measure]
    values_IN = np.full((len(sources), len(targets)), np.nan)
    for i, source in enumerate(sources):
        for n, target in enumerate(targets):
            if source in rows and target in columns:
                values_IN[i, n] = known_IN[list(rows).index(source), list(columns).index(target)]
    return values_IN


@_feature("gain of a short training", "probe", "gain over the base after a share of the steps")
def probe_gain(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    return _probe("gain", evidence, sources, targets)


@_feature(
    "loss drop of a short training", "probe", "fall of the loss of the target's answers after a share of the steps"
)
def probe_loss(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    return _probe("loss drop", evidence, sources, targets)


@_feature("update alignment", "adapters", "cosine of two adapters' updates (Frobenius), from products of rank size")
def update_alignment(evidence: Evidence, sources: Sequence[str], targets: Sequence[str]) -> Floats | None:
    values_IN = np.full((len(sources), len(targets)), np.nan)
    for i, source in enumerate(sources):
        for n, target in enumerate(targets):
            if source in evidence.updates and evidence.of(target) in evidence.updates:
                values_IN[i, n] = update_cosine(evidence.updates[source], evidence.updates[evidence.of(target)])
    return values_IN


def update_cosine(one: Update, other: Update) -> float:
    """Cosine of two adapters' updates B A over all layers that either adapts.

    ``<B1 A1, B2 A2> = sum((B1' B2) * (A1 A2'))``: no update is ever formed. Each update's canonical form (QR of its
    factors, then SVD) gives the same number.
    """

    def inner(first: Update, second: Update) -> float:
        shared = [name for name in first if name in second]
        pairs = ((first[name], second[name]) for name in shared)
        return sum(float(((b1.T @ b2) * (a1 @ a2.T)).sum()) for (a1, b1), (a2, b2) in pairs)

    size = np.sqrt(inner(one, one) * inner(other, other))
    return inner(one, other) / size if size > 0 else float("nan")
