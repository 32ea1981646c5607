"""How well found traits agree with the skills that the tasks declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError

Floats = npt.NDArray[np.float64]

# The smallest p that permuting n tasks can give a skill of k of them is one in n over k.
TESTABLE_P = 0.05


@dataclass(frozen=True, eq=False)
class SkillAgreement:
    """Found traits against declared skills.

    Attributes:
        rv: RV coefficient (Robert & Escoufier 1976) of the tasks' positions on the traits (loadings times
            singular values) with their skills (0/1): 1 if tasks that share skills load alike, in proportion.
        rv_null: its mean over permutations of the tasks. p: share of them with at least this RV.
        canonical: first canonical correlation, NaN where traits and skills together fill the task space.
        canonical_null: its mean over the same permutations.
        skills: the declared skills; those of the same tasks are one ("polarity, contrast"). trait_G: for each the
            trait (from 0) whose loadings correlate most.
        correlation_G: that correlation over tasks. p_G: its permutation p over all traits. q_G: corrected over the
            skills (Benjamini-Hochberg); NaN for skills of so few (or so many) tasks that no p could reach 0.05, which
            are not counted either (Tarone 1990).
        permutations: draws.
    """

    rv: float
    rv_null: float
    p: float
    canonical: float
    canonical_null: float
    skills: tuple[str, ...]
    trait_G: tuple[int, ...]
    correlation_G: Floats
    p_G: Floats
    q_G: Floats
    permutations: int

    def statement(self, alpha: float = 0.05) -> str:
        """How well skills and traits agree, in a sentence."""
        held = [skill for skill, q in zip(self.skills, self.q_G, strict=True) if q <= alpha]
        names = f" ({'; '.join(held)})" if held else ""
        tested = int(np.isfinite(self.q_G).sum())
        untested = len(self.skills) - tested
        rest = f"; {untested} more are declared by too few tasks to be tested" if untested else ""
        closer = "lie closer together on the traits than" if self.p <= alpha else "lie no closer on the traits than"
        canonical = (
            f"; canonical correlation {self.canonical:.2f} against {self.canonical_null:.2f}"
            if np.isfinite(self.canonical)
            else ""
        )
        return (
            f"{len(held)} of {tested} declared skills go with a trait at q <= {alpha:g}{names}{rest}. Tasks that "
            f"share skills {closer} permuted tasks: RV {self.rv:.2f} against {self.rv_null:.2f} "
            f"({_p_words(self.p)}){canonical}."
        )

    def lines(self, trait_names: Sequence[str]) -> list[str]:
        """A line for each skill: the trait that follows it most, the correlation over tasks, p and q."""
        return [
            f"{skill}: {trait_names[self.trait_G[g]]} r {self.correlation_G[g]:+.2f} "
            f"({_p_words(self.p_G[g])}" + (f", q = {self.q_G[g]:.2g})" if np.isfinite(self.q_G[g]) else ", not tested)")
            for g, skill in enumerate(self.skills)
        ]


def skill_agreement(
    loadings_KN: Floats,
    singular_K: Floats,
    skills: Mapping[str, frozenset[int]],
    *,
    permutations: int = 2000,
    rng: np.random.Generator,
) -> SkillAgreement:
    """Agreement of traits with declared skills, by permutation of the tasks.

    Args:
        loadings_KN, singular_K: the traits. skills: skill -> indices of the tasks that declare it.
        permutations: draws.

    Raises:
        TraitscopeError: no skill divides the tasks.
    """
    from scipy.stats import false_discovery_control

    n_tasks = loadings_KN.shape[1]
    groups: dict[frozenset[int], list[str]] = {}
    for skill, at in skills.items():
        if 0 < len(at) < n_tasks:
            groups.setdefault(at, []).append(skill)
    if not groups:
        raise TraitscopeError(
            "no declared skill divides the tasks", where="skills", fix="declare skills in the tasks' tags"
        )
    skills_NG = np.zeros((n_tasks, len(groups)))
    for g, at in enumerate(groups):
        skills_NG[sorted(at), g] = 1.0
    # RV and canonical correlation see a skill as often as it is declared.
    repeats_G = np.sqrt([len(names) for names in groups.values()])
    skills_NG -= skills_NG.mean(axis=0)
    position_NK = (loadings_KN * singular_K[:, None]).T
    position_NK = position_NK - position_NK.mean(axis=0)

    gram_skills = (skills_NG * repeats_G) @ (skills_NG * repeats_G).T
    gram_traits = position_NK @ position_NK.T
    size = np.sqrt((gram_skills**2).sum() * (gram_traits**2).sum())
    unit_skills = skills_NG / np.linalg.norm(skills_NG, axis=0)
    norms = np.linalg.norm(position_NK, axis=0)
    unit_traits = position_NK / np.where(norms > 1e-12, norms, 1.0)
    correlation_KG = unit_traits.T @ unit_skills
    basis_traits = _basis(position_NK)
    basis_skills = _basis(skills_NG)
    free = basis_traits.shape[1] + basis_skills.shape[1] < n_tasks

    order_RN = rng.permuted(np.broadcast_to(np.arange(n_tasks), (permutations, n_tasks)), axis=1)
    rv_R = np.array([(gram_skills * gram_traits[np.ix_(o, o)]).sum() for o in order_RN]) / max(size, 1e-300)
    shuffled = np.abs(np.swapaxes(unit_traits[order_RN], 1, 2) @ unit_skills).max(axis=1)
    rv = float((gram_skills * gram_traits).sum() / max(size, 1e-300))
    canonical = canonical_null = float("nan")
    if free and min(basis_traits.shape[1], basis_skills.shape[1]) > 0:
        canonical = float(np.linalg.norm(basis_traits.T @ basis_skills, 2))
        drawn = np.swapaxes(basis_traits[order_RN], 1, 2) @ basis_skills
        canonical_null = float(np.linalg.norm(drawn, 2, axis=(1, 2)).mean())
    best_G = np.abs(correlation_KG).argmax(axis=0)
    reached_G = correlation_KG[best_G, np.arange(len(groups))]
    testable_G = np.array([comb(n_tasks, len(at)) * TESTABLE_P >= 1 for at in groups])
    p_G = (1 + (shuffled >= np.abs(reached_G) - 1e-12).sum(axis=0)) / (permutations + 1)
    q_G = np.full(len(groups), np.nan)
    if testable_G.any():
        q_G[testable_G] = false_discovery_control(p_G[testable_G])
    return SkillAgreement(
        rv=rv,
        rv_null=float(rv_R.mean()),
        p=(1 + int((rv_R >= rv - 1e-12).sum())) / (permutations + 1),
        canonical=canonical,
        canonical_null=canonical_null,
        skills=tuple(", ".join(names) for names in groups.values()),
        trait_G=tuple(int(k) for k in best_G),
        correlation_G=reached_G,
        p_G=p_G,
        q_G=q_G,
        permutations=permutations,
    )


def _p_words(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _basis(columns: Floats) -> Floats:
    """An orthonormal basis of the column space."""
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, s > 1e-9 * max(float(s[0]), 1e-300)]


def declared_skills(
    tasks: Sequence[str], tags: Mapping[str, Mapping[str, object]], key: str = "skills"
) -> dict[str, frozenset[int]]:
    """Skill -> indices of the tasks that declare it under the tag ``skills`` ("a, b" or a list)."""
    from traitscope.traits.naming import task_labels

    return task_labels(tasks, tags, None, (key,))
