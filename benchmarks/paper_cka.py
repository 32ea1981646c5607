"""One CKA process of the layer paper's way: the files of one task, layer and pair of models in, one number out.

It needs numpy alone, so that it starts as fast as such a process can.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def load(folder: Path, layer: int, n: int) -> np.ndarray:
    """The states of one layer, one file per example, as float64 [n, D]."""
    return np.stack([np.load(folder / f"{example}-{layer}.npy") for example in range(n)]).astype(np.float64)


def feature_cka(x_SD: np.ndarray, y_SE: np.ndarray) -> float:
    """Linear CKA by the feature-space formula of Kornblith et al. 2019 (biased): |Y'X|^2 / (|X'X| |Y'Y|)."""
    x_SD = x_SD - x_SD.mean(axis=0)
    y_SE = y_SE - y_SE.mean(axis=0)
    cross = float(np.sum(np.square(y_SE.T @ x_SD)))
    return cross / float(np.linalg.norm(x_SD.T @ x_SD) * np.linalg.norm(y_SE.T @ y_SE))


if __name__ == "__main__":
    one, two, which, count = sys.argv[1:]
    print(feature_cka(load(Path(one), int(which), int(count)), load(Path(two), int(which), int(count))))
