"""``python -m tools.architectures``: hold the engine to every architecture and write the table of docs/models.md.

What was found before holds while the engine's source and the libraries are the same, so a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from zoo.build import NOT_BUILT  # noqa: E402
from zoo.cases import CASES, TYPES  # noqa: E402
from zoo.sweep import state, sweep  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
START, END = "<!-- architectures -->", "<!-- end -->"

PATHS = {
    "packed": "packed", "batched": "padded", "single": "one by one", "refused": "refused", "not built": "not tried",
    "silent": "**wrong**", "traceback": "**fails**",
}  # fmt: skip


def reason(verdict: Mapping[str, Any]) -> str:
    """Why a slower path, or none, is taken, and what else does not work."""
    said = [re.sub(r"^zoo: \w+ cannot be used: ", "", verdict.get("why", ""))]
    details = verdict.get("details", {})
    if details.get("hidden"):
        said.append(f"hidden states: {details['hidden']}")
    if details.get("training"):
        said.append(
            "no adapter on all linear layers: " + re.sub(r"^.*? as another function on \w+: ", "", details["training"])
        )
    if verdict["kind"] in ("silent", "traceback"):
        said.append(str(verdict["errors"]))
    return "; ".join(part for part in said if part).replace("|", "\\|")


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The section between the page's marks."""
    plain = {name: found[name] for name in TYPES if name in found}
    changed = {name: verdict for name, verdict in found.items() if ":" in name}
    versions = ", ".join(f"{name} {number}" for name, number in state().items() if name != "source")
    lines = [f"{versions}: {_counts(plain)} of {len(TYPES)} types as they are by default.", ""]
    lines += ["| type | path | why |", "| --- | --- | --- |"]
    for name in TYPES:
        if name in NOT_BUILT:
            lines.append(f"| `{name}` | not tried | {NOT_BUILT[name]} |")
        elif name in plain:
            lines.append(f"| `{name}` | {PATHS[plain[name]['kind']]} | {reason(plain[name])} |")
    lines += [
        "",
        f"{len(changed)} changed configurations of them: {_counts(changed)}. Those that take another path:",
        "",
    ]
    lines += ["| configuration | path | why |", "| --- | --- | --- |"]
    for name, verdict in changed.items():
        if verdict["kind"] != found[name.split(":")[0]]["kind"]:
            lines.append(f"| `{name}` | {PATHS[verdict['kind']]} | {reason(verdict)} |")
    return "\n".join(lines)


def _counts(found: Mapping[str, Mapping[str, Any]]) -> str:
    counts = Counter(PATHS[verdict["kind"]] for verdict in found.values())
    return ", ".join(f"{counts[path]} {path}" for path in PATHS.values() if counts[path])


def fill(page: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with the table between its marks."""
    before, rest = page.split(START)
    return f"{before}{START}\n{table(found)}\n{END}{rest.split(END, 1)[1]}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.architectures", description=__doc__)
    parser.add_argument("--stale", action="store_true", help="keep what was found with another state of the engine")
    args = parser.parse_args()
    found = sweep(CASES, stale=args.stale)
    PAGE.write_text(fill(PAGE.read_text(), found))
    bad = [name for name, verdict in found.items() if verdict["kind"] in ("silent", "traceback")]
    print(f"{PAGE}: {len(found)} cases; wrong or failing: {', '.join(bad) or 'none'}")


if __name__ == "__main__":
    main()
