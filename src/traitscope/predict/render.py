"""An evaluation of predictors as plain text for a terminal."""

from __future__ import annotations

import pandas as pd

from traitscope.predict.evaluation import ALL, TOGETHER, Evaluation
from traitscope.predict.protocols import PROTOCOLS
from traitscope.texts import count_of, table_text

COLUMNS = {
    "rmse": "RMSE",
    "rho": "rho",
    "regret_1": "regret@1",
    "regret_3": "@3",
    "regret_5": "@5",
    "regret_1_percent": "@1 %",
    "win_auroc": "win",
    "harm_auroc": "harm",
    "coverage": "90 %",
}
LEGEND = (
    "RMSE in SD of the whole column; rho and regret inside held-out columns, cells known there by their score;\n"
    "regret in shares of the column's range, @1 % in percent of its best score; win and harm: AUROC of being above\n"
    "the untuned base and half a SD below it; 90 %: coverage of the intervals; saved: share of the column mean's\n"
    "squared error, with its 95 % interval over sources and tasks (* above zero)."
)


def render(found: Evaluation) -> str:
    """Predictors by protocol, medians over the base models, and what must be known with them."""
    count = len(found.bases)
    over = f"base model {found.bases[0]}" if count == 1 else f"median over {count} base models"
    parts = [f"{count_of(len(found.sources), 'source')}, {count_of(len(found.tasks), 'task')}, {over}"]
    summary = found.summary()
    for held in (ALL, TOGETHER):
        for protocol in PROTOCOLS:
            rows = summary[(summary["held"] == held) & (summary["protocol"] == protocol.name)]
            if len(rows):
                twins = ", its near-duplicates with it" if held == TOGETHER else ""
                parts.append(
                    f"{protocol.name}: {protocol.words}{twins}\n{_table(rows, _saved(found, held, protocol.name))}"
                )
    parts.append(LEGEND)
    parts += [f"note: {note}" for note in _notes(found)]
    return "\n\n".join(parts) + "\n"


def _saved(found: Evaluation, held: str, protocol: str) -> dict[str, str]:
    """Of every predictor the share of the column mean's squared error that it saves, as text."""
    skill = found.skill
    if skill.empty:
        return {}
    rows = skill[(skill["held"] == held) & (skill["protocol"] == protocol) & (skill["against"] == "column mean")]
    return {
        str(row["predictor"]): f"{row['saved']:.0%} [{row['lo']:.0%}, {row['hi']:.0%}]{'*' if row['better'] else ''}"
        for row in rows.to_dict("records")
        if pd.notna(row["saved"])
    }


def _table(rows: pd.DataFrame, saved: dict[str, str]) -> str:
    shown = [name for name in COLUMNS if rows[name].notna().any()]
    lines = [["", *(COLUMNS[name] for name in shown), "saved"]]
    for row in rows.to_dict("records"):
        cells = []
        for name in shown:
            value = row[name]
            places = 1 if name.endswith("percent") else 2
            cells.append("" if pd.isna(value) else f"{value:.0%}" if name == "coverage" else f"{value:.{places}f}")
        lines.append([str(row["predictor"]), *cells, saved.get(str(row["predictor"]), "")])
    return table_text(lines)


def _notes(found: Evaluation) -> list[str]:
    notes = []
    if found.flat:
        notes.append("flat columns, not judged: " + ", ".join(f"{task} of {base}" for base, task in found.flat[:12]))
    notes += [f"near-duplicates, which rank the sources alike: {', '.join(group)}" for group in found.duplicates]
    if found.ceiling is not None:
        notes.append(
            f"the cells' known noise leaves nobody an RMSE below {found.ceiling[0]:.2f} or a correlation above "
            f"{found.ceiling[1]:.2f}"
        )
    return notes + list(found.notes)
