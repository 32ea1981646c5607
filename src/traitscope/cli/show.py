"""Tables as text for standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitscope.effects.quality import MEANING
from traitscope.study.marks import marks
from traitscope.study.planning import duration
from traitscope.texts import table_text

if TYPE_CHECKING:
    from traitscope.study import Study
    from traitscope.study.work import Work


def matrix_text(study: Study) -> str:
    """The primary score of every model on every target; gains and losses that hold carry + or -, odd cells = or ?.

    Of several base models one table each.
    """
    if len(parts := study.by_base()) > 1:
        return "\n\n".join(f"{name}\n{matrix_text(part)}" for name, part in parts.items() if part.folder.exists())
    (study,) = parts.values()
    table = study.score_table()
    if table.empty:
        return "no cell has been evaluated yet"
    first = table[table["primary"]]
    cells: dict[tuple[str, str], dict[str, Any]] = {
        (str(row["model"]), str(row["task"])): {str(key): value for key, value in row.items()}
        for row in first.to_dict("records")
    }
    tasks = list(dict.fromkeys(task for _, task in cells))
    marked = marks(study)
    signs = {} if marked is None else marked.cells
    rows = [["model", *tasks]]
    rows.append(["", *(next(str(c["metric"]) for (_, t), c in cells.items() if t == task) for task in tasks)])
    for model in dict.fromkeys(model for model, _ in cells):
        found = ((cells.get((model, task)), signs.get((model, task), "")) for task in tasks)
        rows.append([model, *("" if cell is None else f"{cell['value']:.3f}{mark:<2}" for cell, mark in found)])
        if model == "base" and marked is not None and marked.constant:
            known = (marked.constant.get(task) for task in tasks)
            rows.append(["best constant answer", *("" if score is None else f"{score:.3f}  " for score in known)])
    text = table_text(rows)
    if marked is None:
        return f"{text}\nfor so many cells tests are left to traitscope effects"
    told = {
        "+-": "+ and -: better and worse than the base (paired over examples, a source's seeds together, q <= 0.05)",
        **{mark: f"{mark}: {words}" for mark, words in MEANING.items()},
    }
    used = "".join(signs.values())
    return "\n".join([text, *(words for signs, words in told.items() if any(sign in used for sign in signs))])


def work_text(work: Work | None, seconds: float) -> str:
    """What a run did, in one line."""
    if work is None:
        return "nothing was missing: nothing was computed"
    parts = []
    for n, word in ((len(work.trained), "adapter"), (len(work.evaluated), "cell")):
        if n:
            verb = "trained" if word == "adapter" else "evaluated"
            parts.append(f"{n} {word}{'' if n == 1 else 's'} {verb}")
    if work.rescored:
        parts.append(f"{len(work.rescored)} judged anew")
    if work.captured:
        parts.append(f"hidden states of {len(work.captured)} dataset{'' if len(work.captured) == 1 else 's'}")
    return f"{', '.join(parts) or 'nothing was left to do here'} in {duration(seconds)}"


def work_json(study: Study, work: Work | None, seconds: float) -> dict[str, Any]:
    """What a run did, and the scores that there are."""
    made = {name: list(getattr(work, name, ())) for name in ("trained", "evaluated", "rescored", "captured")}
    state = study.plan()
    return {
        "study": study.config.study,
        "folder": str(study.folder.root),
        **made,
        "seconds": round(seconds, 1),
        "complete": state.complete,
        "missing": state.missing(),
        "scores": study.score_table().to_dict("records"),
    }
