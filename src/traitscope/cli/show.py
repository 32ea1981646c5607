"""Tables as text for standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitscope.study.planning import duration, table_text

if TYPE_CHECKING:
    from traitscope.study import Study
    from traitscope.study.work import Work

WIDE = 14


def matrix_text(study: Study) -> str:
    """The primary score of every model on every target; clear differences from the base carry + or -."""
    table = study.score_table()
    if table.empty:
        return "no cell has been evaluated yet"
    first = table[table["primary"]]
    cells: dict[tuple[str, str], dict[str, Any]] = {
        (str(row["model"]), str(row["task"])): {str(key): value for key, value in row.items()}
        for row in first.to_dict("records")
    }
    tasks = list(dict.fromkeys(task for _, task in cells))
    rows = [["model", *(task[:WIDE] for task in tasks)]]
    rows.append(["", *(next(str(c["metric"]) for (_, t), c in cells.items() if t == task)[:WIDE] for task in tasks)])
    for model in dict.fromkeys(model for model, _ in cells):
        found = ((cells.get((model, task)), cells.get(("base", task))) for task in tasks)
        rows.append([model, *("" if cell is None else _cell_text(cell, base) for cell, base in found)])
    text = table_text(rows, right=range(1, len(tasks) + 1))
    return f"{text}\n+ and -: better and worse than the base by at least two standard errors (unpaired)"


def _cell_text(cell: dict[str, Any], base: dict[str, Any] | None) -> str:
    text = f"{cell['value']:.3f}"
    if base is None or base is cell:
        return text + " "
    spread = (cell["stderr"] ** 2 + base["stderr"] ** 2) ** 0.5
    gain = cell["value"] - base["value"]
    if not abs(gain) >= 2 * spread > 0:
        return text + " "
    return text + ("+" if (gain > 0) == bool(cell["higher_is_better"]) else "-")


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
