"""Names proposed for traits, from their loadings, the tasks' tags and the user's own words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NAMING_TAGS = ("kind", "cluster", "skills")


@dataclass(frozen=True, eq=False)
class TraitName:
    """A proposed name and what speaks for it; never a finding.

    Attributes:
        proposed: "a", "not a", "a against b" from labels that fit, else the heaviest tasks; "specific to a" where the
            trait is one task, or one model.
        label: the label that fits best, None if there are no labels or none reaches ``p`` 0.05.
        cosine: between the loadings and the 0/1 indicator of the label's tasks.
        p: share of permutations of the tasks in which some label fits at least as well.
        tasks: the heaviest tasks with their loadings, in words.
    """

    proposed: str
    label: str | None
    cosine: float
    p: float
    tasks: str

    @property
    def specific(self) -> bool:
        """Whether the trait is that of a single task or model."""
        return self.proposed.startswith("specific to ")


def split_tag(value: Any) -> list[str]:
    """A tag's values as a list: "a, b" and ["a", "b"] both give a and b."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, Collection) else [value]
    return [str(part).strip() for part in parts if str(part).strip()]


def task_labels(
    tasks: Sequence[str],
    tags: Mapping[str, Mapping[str, Any]],
    words: Mapping[str, Collection[str]] | None = None,
    keys: Sequence[str] = NAMING_TAGS,
) -> dict[str, frozenset[int]]:
    """Label -> indices of the tasks that carry it, user's words first; labels of all tasks left out."""
    found: dict[str, set[int]] = {
        word: {tasks.index(t) for t in members if t in tasks} for word, members in (words or {}).items()
    }
    for n, task in enumerate(tasks):
        for key in keys:
            if key in tags.get(task, {}):
                for label in split_tag(tags[task][key]):
                    found.setdefault(label, set()).add(n)
    return {label: frozenset(at) for label, at in found.items() if 0 < len(at) < len(tasks)}


def heaviest(loadings_N: Floats, tasks: Sequence[str], share: float = 0.5, most: int = 5) -> str:
    """Tasks with at least ``share`` of the largest absolute loading, heaviest first, with their loadings."""
    order = np.argsort(-np.abs(loadings_N), kind="stable")[:most]
    limit = share * np.abs(loadings_N).max()
    return ", ".join(f"{tasks[n]} {loadings_N[n]:+.2f}" for n in order if abs(loadings_N[n]) >= limit)


def signed_tasks(loadings_N: Floats, tasks: Sequence[str]) -> str:
    """The heaviest tasks as a stand-in for a name: "a + b - c"."""
    order = np.argsort(-np.abs(loadings_N), kind="stable")[:3]
    kept = [n for n in order if abs(loadings_N[n]) >= 0.5 * np.abs(loadings_N).max()]
    kept = sorted(kept, key=lambda n: loadings_N[n] < 0)
    text = " ".join(("+ " if loadings_N[n] >= 0 else "- ") + tasks[n] for n in kept)
    return text.removeprefix("+ ")


def propose_names(
    loadings_KN: Floats,
    tasks: Sequence[str],
    labels: Mapping[str, frozenset[int]],
    *,
    permutations: int = 2000,
    rng: np.random.Generator,
) -> tuple[TraitName, ...]:
    """A proposed name per trait: the label whose tasks the loadings follow most closely.

    The fit is the cosine between a trait's loadings and the 0/1 indicator of the label's tasks. It is
    accepted if in at most 5 % of random reorderings of the tasks any label fits as well; otherwise the
    heaviest tasks stand in. Of labels for the same tasks the first counts; the user's words come first.
    """
    groups: dict[frozenset[int], str] = {}
    for label, at in labels.items():
        groups.setdefault(at, label)
    indicator_GN = np.zeros((len(groups), len(tasks)))
    for g, at in enumerate(groups):
        indicator_GN[g, sorted(at)] = 1.0 / np.sqrt(len(at))
    named = list(groups.values())
    out = []
    for loading in loadings_KN:
        unit = loading / max(float(np.linalg.norm(loading)), 1e-300)
        words = heaviest(unit, tasks)
        plain = signed_tasks(unit, tasks)
        if not named:
            out.append(TraitName(plain, None, float("nan"), float("nan"), words))
            continue
        cosine_G = indicator_GN @ unit
        best = int(np.abs(cosine_G).argmax())
        shuffled = rng.permuted(np.broadcast_to(unit, (permutations, len(unit))), axis=1)
        reached = np.abs(shuffled @ indicator_GN.T).max(axis=1)
        p = (1 + int((reached >= abs(cosine_G[best]) - 1e-12).sum())) / (permutations + 1)
        if p > 0.05:
            out.append(TraitName(plain, None, float(cosine_G[best]), p, words))
            continue
        other = int((-np.sign(cosine_G[best]) * cosine_G).argmax())
        opposite = -np.sign(cosine_G[best]) * cosine_G[other]
        front = named[best] if cosine_G[best] > 0 else f"not {named[best]}"
        behind = ""
        if opposite >= 0.4:
            behind = f" against {named[other]}" if cosine_G[best] > 0 else ""
            front = front if cosine_G[best] > 0 else f"{named[other]} against {named[best]}"
        out.append(TraitName(front + behind, named[best], float(cosine_G[best]), p, words))
    return tuple(out)


# Share of a trait's squared loadings (or scores) from which on it is that of a single task (or model).
SINGLE = 0.7


def name_single(
    names: Sequence[TraitName], loadings_KN: Floats, scores_IK: Floats, tasks: Sequence[str], models: Sequence[str]
) -> tuple[TraitName, ...]:
    """The names, but of traits that are one task or one model: these are called so and have no label."""
    out = []
    for k, name in enumerate(names):
        task_N, model_I = loadings_KN[k] ** 2, scores_IK[:, k] ** 2
        if task_N.max() >= SINGLE * task_N.sum():
            name = replace(name, proposed=f"specific to {tasks[int(task_N.argmax())]}", label=None)
        elif model_I.max() >= SINGLE * model_I.sum():
            name = replace(name, proposed=f"specific to the model {models[int(model_I.argmax())]}", label=None)
        out.append(name)
    return tuple(out)
