"""Planted sets of section curves with a known answer.

The spread over tasks is that of the layer paper's quartiles (figures 2 and 5 of arXiv 2410.20008): little in the
shared layers, .11 for the gap at its onset, .3 below. A task keeps to its own side of the median and wanders slowly
along the depth.
"""

from __future__ import annotations

import numpy as np

from traitscope.layers.sections import SectionCurves

GAP_IQR = (
    [0, 0.1, 0.16, 0.22, 0.28, 0.34, 0.41, 0.5, 0.75, 1],
    [0.003, 0.015, 0.03, 0.06, 0.11, 0.2, 0.27, 0.3, 0.32, 0.3],
)
MIX_IQR = ([0, 0.1, 0.16, 0.22, 0.28, 0.34, 0.5, 0.7, 1], [0.005, 0.03, 0.085, 0.15, 0.11, 0.045, 0.04, 0.08, 0.07])

# Three sections, with the height of the paper's gap.
SECTIONS = ("hinge", "sigmoid", "step")
# No three sections: none of these may be named.
OTHERS = (
    "noise",
    "constant",
    "ramp",
    "convex",
    "concave",
    "late opening",
    "wobble",
    "ramp and wobble",
    "U",
    "hill",
    "negative",
    "from below",
    "open from the start",
)
HEIGHT = 0.34


def _tracks(rng: np.random.Generator, n_tasks: int, depth: int) -> np.ndarray:
    """Deviations of tasks along the depth, variance 1 at every layer: a level of their own and a slow walk."""
    walk_NL = np.cumsum(rng.standard_normal((n_tasks, depth)), axis=1) / np.sqrt(np.arange(1, depth + 1))
    return 0.75 * rng.standard_normal((n_tasks, 1)) + np.sqrt(1 - 0.75**2) * walk_NL


def three_sections(rng: np.random.Generator, depth: int, kind: str) -> tuple[np.ndarray, int, int]:
    """A noise-free gap with its last shared layer and the last layer of its transition."""
    layers_L = np.arange(1, depth + 1)
    start = max(2, round(rng.uniform(0.2, 0.4) * depth))
    end = min(round(start + rng.uniform(0.2, 0.35) * depth), depth - max(2, depth // 8))
    if kind == "step":
        end = start + 1
    rise_L = np.clip((layers_L - start) / (end - start), 0.0, 1.0)
    if kind == "sigmoid":
        # Straight pieces follow a logistic curve best where they leave it at 8 and 92 % of its height.
        rise_L = 1 / (1 + np.exp(-4.8 * (layers_L - (start + end) / 2) / (end - start)))
    return HEIGHT * rise_L, start, end


def other_gap(rng: np.random.Generator, depth: int, kind: str) -> np.ndarray:
    """A noise-free gap without three sections."""
    u_L = np.arange(1, depth + 1) / depth
    at = rng.uniform(0.2, 0.4)
    step_L = HEIGHT * np.clip((u_L - at) / 0.3, 0.0, 1.0)
    waves_L = np.sin(2 * np.pi * rng.uniform(2.0, 3.5) * u_L + rng.uniform(0.0, 2 * np.pi))
    late = rng.uniform(0.65, 0.85)
    gaps = {
        "noise": 0.0 * u_L,
        "constant": 0.15 + 0.0 * u_L,
        "ramp": 0.4 * u_L,
        "convex": 0.4 * u_L ** rng.uniform(1.7, 5.0),
        "concave": 0.4 * (np.sqrt(u_L) if rng.random() < 0.5 else 1 - np.exp(-u_L / rng.uniform(0.08, 0.35))),
        "late opening": HEIGHT * np.maximum(u_L - late, 0.0) / (1 - late),
        "wobble": rng.choice([0.0, 0.15]) + rng.uniform(0.02, 0.15) * waves_L,
        "ramp and wobble": 0.3 * u_L + 0.04 * waves_L,
        "U": HEIGHT * (2 * u_L - 1) ** 2,
        "hill": HEIGHT * (1 - (2 * u_L - 1) ** 2),
        "negative": -step_L,
        "from below": step_L - HEIGHT,
        "open from the start": 0.2 + step_L,
    }
    return gaps[kind]


def draw(
    rng: np.random.Generator, depth: int, n_tasks: int, kind: str, spread: float = 1.0
) -> tuple[SectionCurves, int | None, int | None]:
    """A set of curves with the planted ends of shared section and transition; ``spread`` 1 is the paper's."""
    start = end = None
    if kind in SECTIONS:
        gap_L, start, end = three_sections(rng, depth, kind)
    else:
        gap_L = other_gap(rng, depth, kind)
    onset = 0.28 if start is None else start / depth
    # Depth in units in which the gap opens at .28, as in the paper.
    u_L = np.arange(1, depth + 1) / depth
    v_L = np.where(u_L < onset, 0.28 * u_L / onset, 0.28 + 0.72 * (u_L - onset) / (1 - onset))
    gap_sd_L = spread * np.interp(v_L, *GAP_IQR) / 1.35
    mix_sd_L = spread * np.interp(v_L, *MIX_IQR) / 1.35
    gap_NL = gap_L + gap_sd_L * _tracks(rng, n_tasks, depth) + 0.01 * rng.standard_normal((n_tasks, depth))
    mix_L = 0.99 - 0.05 * np.minimum(u_L / onset, 1.0)
    mix_NL = np.minimum(1.0, mix_L + mix_sd_L * _tracks(rng, n_tasks, depth))
    dims_L = 300.0 + 1450.0 * np.minimum(u_L / 0.48, 1.0)
    scale_N1 = np.exp(0.3 * rng.standard_normal((n_tasks, 1)))
    dims_NL = np.round(dims_L * scale_N1 * (1 + 0.03 * rng.standard_normal((n_tasks, depth))))
    tasks = tuple(f"t{i}" for i in range(n_tasks))
    return SectionCurves(np.arange(1, depth + 1), tasks, mix_NL, mix_NL - gap_NL, dims_NL), start, end
