"""Write docs/architecture.md: the source tree with one line per file, taken from the files' own first lines.

Run `python tools/tree.py` after adding or renaming a file; a test holds the page to the tree.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"

HEAD = """# Architecture

Every room imports only from those below it, and no files of a room import each other in a circle; rooms on one line
know nothing of one another. `make lint` holds both (import-linter; the contracts are in `pyproject.toml`).

```text
cli                                        one short file per verb
view                                       the report of a run folder as a live page
study                                      decides, leases, commits, gathers findings
report                                     takes Findings
plots    findings   sklearn               take results; never open a study
compute  effects  predict  belt            a backend: orders in, events out; findings about transfer, forecasts, a belt
tasks    engine    stats    traits    layers
config   matrix    metrics  store    tracking
plugins  frames
errors   records   registry  jsontables    what passes between the parts, and what can be extended
texts    ticks                              text that is safe and fits; how far a loop is
```

A study goes through three stages, each of which can be redone without the one before: computing (adapters, outputs,
hidden states), scoring (outputs to scores), analysis (scores to findings).

## The way of one unit

```text
study.training / evaluating / hidden       a Step: its lease, its order, what to do with its events
        │ Train, Evaluate, Capture          (study.work: carry_out)
        ▼
compute.Backend                             Local (this process), Pool (processes of this machine) or Cluster (Ray);
        │                                   anything with the four methods of compute/backend.py will do
        ▼ Progress, Checkpoint, Adapter, Records, States, Done, Lost, Refused
study.work                                  checks the lease and commits: checkpoints, adapters, cells, hidden states
        ▼
store                                       the run folder
```

No backend writes to the run folder. An order says all that is needed (model, rows, recipe, recorded plan, the last
checkpoint), holds no torch object, and can be pickled; what comes back can be too. A worker that is lost costs its
unit: the lease is released and the unit is ordered again, from the last checkpoint that was handed over.

## Every file in a line

"""


def first_line(path: Path) -> str:
    """First line of a module's docstring."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return doc.splitlines()[0] if doc else ""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    package = ROOT / "src" / "traitscope"
    folders = sorted({path.parent for path in package.rglob("*.py")})
    for folder in folders:
        name = folder.relative_to(ROOT / "src").as_posix()
        files = sorted(folder.glob("*.py"))
        about = first_line(folder / "__init__.py") if (folder / "__init__.py").is_file() else ""
        lines += [f"### `{name}/`", "", about, "", "| file | what |", "| --- | --- |"]
        lines += [f"| `{file.name}` | {first_line(file)} |" for file in files if file.name != "__init__.py"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
