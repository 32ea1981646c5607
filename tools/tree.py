"""Write docs/architecture.md: the source tree with one line per file, taken from the files' own first lines.

Run `python tools/tree.py` after adding or renaming a file; a test holds the page to the tree.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"

HEAD = """# Architecture

Arrows run downwards only. The command line and the report use the study; the study uses everything below it; tasks,
metrics and engine know nothing of studies; the analyses know arrays, tables and records, never models.

```
cli ──► study ──► report ──► plots
          │
          ├─► compute ──► cells ──► engine      (needs a model: train, score, generate, capture)
          │                  └────► tasks ──► metrics
          ├─► store                              (the run folder)
          └─► matrix, traits, effects, stats, layers   (need neither model nor network)
                      config, registry, records, errors  (used by all)
```

A study goes through three stages, each of which can be redone without the one before: computing (adapters, outputs,
hidden states), scoring (outputs to scores), analysis (scores to findings).

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
