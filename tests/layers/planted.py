"""Planted sets of section curves with a known answer.

Means follow the shape of the layer paper's curves, and the spread over tasks its quartiles (figures 2 and 5 of
arXiv 2410.20008): little in the shared layers, .11 for the gap at its onset, .3 below. A task keeps to its own
side of the median and wanders slowly along the depth.
"""

from __future__ import annotations

import numpy as np

from traitscope.layers.rule import apply_rule
from traitscope.layers.sections import SectionCurves

GAP_IQR = (
    [0, 0.1, 0.16, 0.22, 0.28, 0.34, 0.41, 0.5, 0.75, 1],
    [0.003, 0.015, 0.03, 0.06, 0.11, 0.2, 0.27, 0.3, 0.32, 0.3],
)
MIX_IQR = ([0, 0.1, 0.16, 0.22, 0.28, 0.34, 0.5, 0.7, 1], [0.005, 0.03, 0.085, 0.15, 0.11, 0.045, 0.04, 0.08, 0.07])


def _tracks(rng: np.random.Generator, n_tasks: int, depth: int) -> np.ndarray:
    """Deviations of tasks along the depth, variance 1 at every layer: a level of their own and a slow walk."""
    walk_NL = np.cumsum(rng.standard_normal((n_tasks, depth)), axis=1) / np.sqrt(np.arange(1, depth + 1))
    return 0.75 * rng.standard_normal((n_tasks, 1)) + np.sqrt(1 - 0.75**2) * walk_NL


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


def draw(
    rng: np.random.Generator, depth: int, n_tasks: int, kind: str, spread: float = 1.0
) -> tuple[SectionCurves, int | None, int | None]:
    """A set of curves, and the rule's answer on the noise-free ones; ``spread`` 1 is the paper's."""
    onset, top = rng.uniform(0.2, 0.35), rng.uniform(0.44, 0.52)
    mix_L, base_L, dims_L = means(depth, kind, onset, top)
    layers_L = np.arange(1, depth + 1)
    truth = apply_rule(layers_L, mix_L - base_L, dims_L=dims_L, mix_median_L=mix_L)
    # Depth in units in which the gap opens at .28, as in the paper.
    u_L = np.where(layers_L < onset * depth, 0.28 * layers_L / (onset * depth), 0.0)
    u_L = np.where(u_L > 0, u_L, 0.28 + 0.72 * (layers_L / depth - onset) / (1 - onset))
    gap_sd_L = spread * np.interp(u_L, *GAP_IQR) / 1.35
    mix_sd_L = spread * np.interp(u_L, *MIX_IQR) / 1.35
    gap_NL = mix_L - base_L + gap_sd_L * _tracks(rng, n_tasks, depth) + 0.01 * rng.standard_normal((n_tasks, depth))
    mix_NL = np.minimum(1.0, mix_L + mix_sd_L * _tracks(rng, n_tasks, depth))
    scale_N1 = np.exp(0.3 * rng.standard_normal((n_tasks, 1)))
    dims_NL = np.round(dims_L * scale_N1 * (1 + 0.03 * rng.standard_normal((n_tasks, depth))))
    curves = SectionCurves(layers_L, tuple(f"t{i}" for i in range(n_tasks)), mix_NL, mix_NL - gap_NL, dims_NL)
    return curves, truth.shared_end, truth.transition_end
