"""A trait analysis as plain text for a terminal."""

from __future__ import annotations

from traitscope.traits.result import Traits


def render(traits: Traits) -> str:
    """The findings as text: explained variance beside the null, loadings, scores."""
    parts = [
        f"{len(traits.models)} models x {len(traits.tasks)} tasks, view {traits.view}"
        + (", columns divided by their standard deviation" if traits.scaled else ""),
        "Explained variance beside column permutations\n" + str(traits.null),
        "Loadings (unit norm)\n" + traits.loadings.round(2).T.to_string(),
        "Scores (unit norm)\n" + traits.scores.round(2).to_string(),
    ]
    parts += [f"note: {note}" for note in traits.notes]
    return "\n\n".join(parts) + "\n"
