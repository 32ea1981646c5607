"""``python tools/install_sizes.py``: what an installation takes, measured in a fresh environment, for the docs.

The wheel is built from this tree, installed into a fresh virtual environment under the versions of ``constraints.txt``,
and every extra on top of it, one at a time. Nothing of the environment that runs this is used but pip and setuptools.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "install.md"
CONSTRAINTS = ROOT / "constraints.txt"
# What an extra is there for; those left out bring no module of their own.
MODULES = {
    "4bit": "bitsandbytes", "gguf": "gguf", "lm-eval": "lm_eval", "polars": "polars", "ray": "ray", "spacy": "spacy",
    "tensorboard": "tensorboard", "view": "uvicorn", "wandb": "wandb",
}  # fmt: skip
# They bring what others measure: compilers, or the tools of those who work on traitscope itself; trackio asks for other
# versions than those of ``constraints.txt``.
UNMEASURED = ("test", "bench", "docs", "smollm2", "trackio")
STARTS = {"python": ["-c", "pass"], "import": ["-c", "import traitscope"], "help": ["-m", "traitscope", "--help"]}
# Of which the fastest counts: the others waited for the disk or for other programs.
TIMES = 7


@dataclass(frozen=True, slots=True)
class Added:
    """What one installation added: packages, megabytes on disk, seconds of installing, seconds of its first import."""

    name: str
    packages: int
    megabytes: float
    seconds: float
    imported: str


class Environment:
    """A virtual environment that knows nothing of the one that runs this."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Standard output of its Python with these arguments, started outside the source tree."""
        done = subprocess.run(
            [self.python, *arguments], cwd=cwd or self.folder, env=self.clean, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{' '.join(map(str, arguments))}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    def packages(self) -> set[str]:
        """Names of what is installed."""
        return {re.split(r"[=@ ]", line)[0] for line in self.run("-m", "pip", "freeze", "--all").splitlines()}

    def megabytes(self) -> float:
        """Of the disk's blocks, in 10^6 bytes."""
        return sum(path.lstat().st_blocks for path in self.folder.rglob("*")) * 512 / 1e6

    def add(self, name: str, what: str, module: str) -> tuple[Added, set[str]]:
        """Installs something, and says what that added."""
        before, size, begun = self.packages(), self.megabytes(), time.perf_counter()
        self.run("-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, what)
        seconds, fresh = time.perf_counter() - begun, self.packages() - before
        taken = "" if not module else f"{self.fastest(['-c', f'import {module}']):.2f}"
        return Added(name, len(fresh), self.megabytes() - size, seconds, taken), fresh

    def fastest(self, arguments: list[str]) -> float:
        """Seconds of a start, the interpreter's own among them."""
        taken = []
        for _ in range(TIMES):
            begun = time.perf_counter()
            self.run(*arguments)
            taken.append(time.perf_counter() - begun)
        return min(taken)


def build_wheel(out: Path) -> Path:
    """The wheel of this tree, built from a copy so that nothing is left in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), str(copy)]
        subprocess.run([sys.executable, *command], check=True)
    (wheel,) = out.glob("traitscope-*.whl")
    return wheel


def table(found: list[Added], starts: dict[str, float]) -> str:
    """The page's table."""
    lines = [
        f"Python {platform.python_version()}, {platform.machine()}, torch for the CPU, the versions of "
        f"`constraints.txt`, {time.strftime('%Y-%m-%d')}.",
        "",
        "| installed | packages | MB on disk | installing, s | `import` of it, s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for one in found:
        name = "`pip install traitscope`" if one.name == "core" else f"`traitscope[{one.name}]` adds"
        lines.append(f"| {name} | {one.packages} | {one.megabytes:,.0f} | {one.seconds:.0f} | {one.imported} |")
    lines += [
        "",
        f"`import traitscope`: {starts['import']:.2f} s, `traitscope --help`: {starts['help']:.2f} s, of which "
        f"Python's own start takes {starts['python']:.2f} s.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    known = [name for name in declared if name not in UNMEASURED]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", default=",".join(known), help="which, with commas; empty: none")
    parser.add_argument("--work", type=Path, help="where the environment is made; removed at the end")
    parser.add_argument("--demo", action="store_true", help="run `traitscope demo` from the wheel as well")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to fill")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        work = Path(folder)
        wheel = build_wheel(work)
        place = Environment(work / "venv")
        core, _ = place.add("core", str(wheel), "traitscope")
        print(core, flush=True)
        starts = {name: place.fastest(arguments) for name, arguments in STARTS.items()}
        print(starts, flush=True)
        if args.demo:
            begun = time.perf_counter()
            place.run("-m", "traitscope", "demo", "--quiet", cwd=work)
            print(f"demo: {time.perf_counter() - begun:.0f} s, {work / 'runs/demo/report.html'}", flush=True)
        found = [core]
        for name in filter(None, args.extras.split(",")):
            try:
                one, fresh = place.add(name, f"{wheel}[{name}]", MODULES.get(name, ""))
            except SystemExit as error:
                print(f"{name} cannot be had here: {str(error)[-500:]}", flush=True)
                continue
            print(one, flush=True)
            found.append(one)
            place.run("-m", "pip", "uninstall", "--quiet", "--yes", *sorted(fresh))
    text = args.page.read_text()
    marked = re.compile(r"(<!-- table: install -->\n).*?(<!-- end -->)", flags=re.DOTALL)
    args.page.write_text(marked.sub(lambda marks: f"{marks[1]}{table(found, starts)}\n{marks[2]}", text))


if __name__ == "__main__":
    main()
