"""Planted sets of section curves with a known answer, spread like the layer paper's figures.

Means follow the shape of the digitised curves (figures 2 and 5 of arXiv 2410.20008); the spread over tasks
grows with depth from .02 to a standard deviation of about .3 for CKA(base, control) and .05 for CKA(mix,
control), which gives their quartiles.
"""

from __future__ import annotations

import numpy as np

from traitscope.layers.rule import apply_rule
from traitscope.layers.sections import SectionCurves


def means(depth: int, kind: str, onset: float, top: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise-free CKA(mix, control), CKA(base, control) and dimensions at layers 1..depth."""
    u_L = np.arange(1, depth + 1) / depth
    mix_L = 0.99 - 0.05 * np.minimum(u_L / onset, 1.0)
    rise_L = np.clip((u_L - onset) / (0.65 - onset), 0.0, 1.0) * 0.34
    gap_L = {
        "planted": rise_L - 0.03 * (u_L < onset) * np.sin(np.pi * u_L / onset),
        "zero": np.zeros(depth),
        "constant": np.full(depth, 0.15),
        "ramp": 0.4 * u_L,
    }[kind]
    dims_L = 300.0 + 600.0 * np.minimum(u_L / onset, 1.0) + 850.0 * np.clip((u_L - onset) / (top - onset), 0.0, 1.0)
    return mix_L, mix_L - gap_L, dims_L


def draw(rng: np.random.Generator, depth: int, n_tasks: int, kind: str) -> tuple[SectionCurves, int | None, int | None]:
    """A set of curves, and the rule's answer on the noise-free ones."""
    onset, top = rng.uniform(0.2, 0.35), rng.uniform(0.44, 0.52)
    mix_L, base_L, dims_L = means(depth, kind, onset, top)
    layers_L = np.arange(1, depth + 1)
    truth = apply_rule(layers_L, mix_L - base_L, dims_L=dims_L, mix_median_L=mix_L)
    u_L = layers_L / depth
    own_N1 = rng.standard_normal((n_tasks, 1))
    slope_N1 = rng.standard_normal((n_tasks, 1))
    # A task's deviation from the gap grows with depth and wanders slowly along it.
    wander_NL = np.cumsum(rng.standard_normal((n_tasks, depth)), axis=1) / np.sqrt(depth)
    spread_L = 0.02 + 0.28 * np.clip((u_L - 0.15) / 0.6, 0.0, 1.0)
    gap_NL = (
        (mix_L - base_L) + spread_L * (0.6 * own_N1 + 0.5 * wander_NL) + 0.01 * rng.standard_normal((n_tasks, depth))
    )
    mix_NL = mix_L + 0.045 * (0.7 * slope_N1 + 0.5 * rng.standard_normal((n_tasks, 1)) * u_L)
    mix_NL = np.minimum(1.0, mix_NL + 0.005 * rng.standard_normal((n_tasks, depth)))
    scale_N1 = np.exp(0.3 * rng.standard_normal((n_tasks, 1)))
    dims_NL = np.round(dims_L * scale_N1 * (1 + 0.03 * rng.standard_normal((n_tasks, depth))))
    curves = SectionCurves(layers_L, tuple(f"t{i}" for i in range(n_tasks)), mix_NL, mix_NL - gap_NL, dims_NL)
    return curves, truth.shared_end, truth.transition_end
