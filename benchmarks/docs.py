"""``python -m benchmarks.docs``: put the tables of the last run (``build/bench``) into docs/performance.md."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from benchmarks.harness import OUT, Report, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def section(report: Report) -> str:
    """A report as Markdown: when and where it ran, its table, its notes."""
    machine = report.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    place = machine.get("gpu") or f"{machine['processor']}, {machine['cores']} cores"
    head = f"{machine['date'][:10]}, sizes: {report.sizes['of']}; {place}; {versions}."
    lines = table([report]).splitlines()
    cut = lines.index("") if "" in lines else 0
    notes = [f"- {line}" for line in lines[cut:] if line]
    return "\n".join([head, "", *lines[:cut], "", *notes])


def fill(text: str, reports: dict[str, Report]) -> str:
    """The page with each report between ``<!-- table: name -->`` and ``<!-- end -->``; other marks stay as they are."""

    def put(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in reports:
            return match.group(0)
        return f"<!-- table: {name} -->\n{section(reports[name])}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", put, text, flags=re.DOTALL)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.docs", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder with the JSON files")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to fill")
    args = parser.parse_args()
    reports = {path.stem: Report.read(path) for path in sorted(args.out.glob("*.json"))}
    args.page.write_text(fill(args.page.read_text(), {name: found for name, found in reports.items() if found.rows}))
    print(f"{args.page}: {', '.join(reports) or 'no reports found'}")


if __name__ == "__main__":
    main()
