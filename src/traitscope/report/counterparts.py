"""Which of a report's figures show what a figure of the two papers shows."""

from __future__ import annotations

from collections.abc import Mapping

COUNTERPARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "transfer paper (Krishna et al. 2025)": {
        "matrix and PCA": ("overview", "scores", "loadings", "biplot"),
        "explained variance": ("explained_variance",),
        "confusion matrices": ("confusion_pair", "class_shares"),
        "answer lengths": ("length_densities", "length_shift"),
        "similarity of the datasets": ("similarity",),
        "success by dependency relation": ("relation_bars",),
    },
    "layer paper (Zhao, Ziser, Cohen 2024)": {
        "CKA by layer": ("layer_similarity", "layer_sections"),
        "CKA by cluster": ("layer_similarity_clusters",),
        "t-SNE": ("layer_tsne",),
        "dimensions by layer": ("layer_dimensions",),
        "unseen tasks": ("layer_unseen",),
        "correlations with task figures": ("layer_correlates",),
    },
}
"""The two papers' figures and those of the report that show the same."""


def counterpart(name: str) -> str:
    """The papers' figure that one of ours shows too, in words; empty where there is none."""
    found = [
        f"{paper}: {figure}"
        for paper, figures in COUNTERPARTS.items()
        for figure, ours in figures.items()
        if name in ours
    ]
    return "; ".join(found)
