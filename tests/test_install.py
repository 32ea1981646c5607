"""What an installation is: what starting it loads, what the wheel holds, and that the page about it names it all."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools import install_sizes  # noqa: E402
from tools.install_sizes import Added, build_wheel, table  # noqa: E402

# Of the command line itself: reading it, and its help in colour.
TERMINAL = {"annotated_doc", "attr", "click", "markdown_it", "mdurl", "pygments", "rich", "shellingham", "typer"}
HELP = """
import sys
sys.argv = ['traitscope', '--help']
from traitscope.cli import main
try:
    main()
except SystemExit:
    pass
"""


def loaded(code: str) -> set[str]:
    """Packages beside Python's own that a fresh interpreter has loaded after ``code``, and does not load anyway."""

    def names(code: str) -> set[str]:
        command = [sys.executable, "-c", f"{code}\nprint('loaded:', *sys.modules)"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()[1:]}

    return names(code) - names("import sys") - sys.stdlib_module_names - {"traitscope"}


def test_importing_the_package_loads_no_other_library() -> None:
    assert loaded("import sys, traitscope") == set()


def test_the_help_loads_what_shows_it_and_nothing_else() -> None:
    found = loaded(HELP)
    assert "typer" in found and found <= TERMINAL


def declared() -> dict[str, list[str]]:
    said: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    return said


def test_every_extra_is_measured_and_told() -> None:
    assert set(declared()) == {*install_sizes.MODULES, *install_sizes.UNMEASURED}
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \|", install_sizes.PAGE.read_text(), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"[\w-]+", row)}
    assert told == set(declared()) - {"test", "bench", "docs"}


def test_the_table_has_a_row_for_each_installation() -> None:
    found = [Added("core", 62, 1814.02, 68.2, "0.02"), Added("ray", 9, 200.4, 5.1, "0.60")]
    lines = table(found, {"python": 0.011, "import": 0.022, "help": 0.204}).splitlines()
    assert "| `pip install traitscope` | 62 | 1,814 | 68 | 0.02 |" in lines
    assert "| `traitscope[ray]` adds | 9 | 200 | 5 | 0.60 |" in lines
    assert lines[-1].startswith("`import traitscope`: 0.02 s, `traitscope --help`: 0.20 s")


@pytest.mark.verify
def test_the_wheel_holds_all_that_the_package_reads(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "traitscope").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    assert wanted - held == set()
    assert {"traitscope/py.typed", "traitscope/presets/study.yaml"} <= held
    (scripts,) = [name for name in held if name.endswith("entry_points.txt")]
    assert "traitscope = traitscope.cli:main" in (tmp_path / "unpacked" / scripts).read_text()
    # Run from the unpacked wheel alone, the embedded study is whole.
    code = """
import traitscope
from traitscope.cli.demo import PRESETS
from traitscope.store.causal import check_model
from traitscope.store.models import ModelSource
study = traitscope.load_config(PRESETS / 'demo.yaml').study
print(study, check_model(ModelSource('embedded')).n_layers, traitscope.__file__)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "unpacked"), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    name, layers, place = done.stdout.split()
    assert name == "demo" and int(layers) > 1 and place.startswith(str(tmp_path / "unpacked"))
