"""``python -m benchmarks [--full] [names...]``: each benchmark in a process of its own, one table at the end."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import OUT, Report, environment, table

NAMES = ("train", "score", "generate", "grid", "memory", "layers", "gpu", "scale")


def main() -> int:
    """Run, print, and say which benchmarks failed; the exit code is 1 if one did."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="which ones: " + ", ".join(NAMES))
    parser.add_argument("--full", action="store_true", help="the full sizes")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes that run through: proves nothing")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the JSON files and the table")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(NAMES)}")
    flags = ["--full"] * args.full + ["--tiny"] * args.tiny + ["--out", str(args.out)]
    reports, failed = [], []
    for name in args.names or NAMES:
        print(f"--- {name}", flush=True)
        path = args.out / f"{name}.json"
        path.unlink(missing_ok=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *flags], env=environment(), check=False)
        if done.returncode == 0 and path.exists():
            reports.append(Report.read(path))
        else:
            failed.append(name)
    text = table(reports)
    print(f"\n{text}")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text(text + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
