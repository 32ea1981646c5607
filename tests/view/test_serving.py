"""The live page as a reader has it: the server is a process of its own, and so is the run that it looks on."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.study import Study
from view.conftest import Served, tiny

Start = Callable[..., Served]


def parts(page: str) -> dict[str, str]:
    """The parts of a page that the script compares, with their hashes."""
    return dict(re.findall(r'data-part="([^"]+)" data-hash="([0-9a-f]{16})"', page))


def files(folder: Path) -> dict[str, int]:
    """All files of a folder and when they were written."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_cell_appears_while_a_run_goes_on_and_ctrl_c_ends_it_at_once(study_file: Path, view: Start) -> None:
    served = view(study_file)
    first = served.read()
    assert "No cell yet" in first and 'data-live="' in first
    # The scripts come with the first page; the parts that take its place bring none.
    assert "setUpTraits" in first and "setUpMatrix" in first
    assert not (study_file.parent / "runs").exists()
    state = json.loads(served.read("/state"))
    assert (state["done"], state["total"], state["losses"]) == (0, 19, [])
    command = [sys.executable, "-m", "traitscope", "run", str(study_file), "-q"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        served.until(lambda: json.loads(served.read("/state"))["revision"] > state["revision"])
        served.until(lambda: "first" in parts(served.read("/")))
        assert run.wait(120) == 0
    finally:
        run.kill()
    served.until(lambda: json.loads(served.read("/state"))["done"] == 19)
    served.until(lambda: "the rest" not in served.read("/") and "15 measured" in served.read("/"))
    status, seconds, err = served.end()
    assert (status, err) == (0, "Ctrl-C ends it.\n")
    # What is left in its middle is not waited for, nor is all that the libraries hold looked through.
    assert seconds < 3
    assert not list(study_file.parent.rglob(".traitscope-*")) and not list(study_file.parent.rglob("*.live"))


def test_the_page_is_that_of_the_file_and_reading_it_changes_nothing(copy: Path, view: Start) -> None:
    Study.open(copy).report()
    written, before = (copy.parent / "runs/tiny/report.html").read_text(), files(copy.parent)
    served = view(copy.parent / "runs/tiny")
    served.read()
    served.until(lambda: json.loads(served.read("/state"))["revision"] >= 3)
    live = served.read("/")
    assert parts(live).keys() == parts(written).keys() and len(parts(live)) > 8
    assert {name for name, mark in parts(live).items() if parts(written)[name] != mark} <= {"warnings", "configuration"}
    assert 'id="live"' in live and 'id="live"' not in written and "data-live=" not in written.split("<script>")[0]
    for _ in range(3):
        served.read("/examples?model=tone-s0&task=tone&q=warm")
        served.read("/state")
    # Caches of the index and of what was found are kept as every verb keeps them.
    changed = {path for path, when in files(copy.parent).items() if before.get(path) != when}
    assert {Path(path).name for path in changed} <= {"index.json", "local.json", "inputs.json", "cells.parquet"}
    assert served.end()[0] == 0


def test_the_policy_that_is_sent_is_the_pages_own_and_allows_no_frame(filled: Path, view: Start) -> None:
    served = view(filled)
    page = served.read()
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    with served._browser.open(served.home + "/") as answer:
        told = answer.headers["content-security-policy"]
    assert (
        told == f"{policy}; frame-ancestors 'none'" and "unsafe-inline'; img" in told and "script-src 'sha256-" in told
    )


def test_it_refuses_over_the_wire_what_the_guard_refuses(filled: Path, view: Start) -> None:
    served = view(filled)
    port = int(served.home.rsplit(":", 1)[1])
    token = served.address.rsplit("=", 1)[1]
    cookie = {"Cookie": f"traitscope-{port}={token}"}
    cases: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", "/", {}, 403),
        ("GET", "/?token=wrong", {}, 403),
        ("GET", f"/?token={token}", {}, 303),
        ("GET", f"/?token={token}", {"Host": f"evil.example:{port}"}, 403),
        ("GET", "/", cookie, 200),
        ("HEAD", "/", cookie, 200),
        ("POST", "/", cookie, 405),
        ("GET", "/state", {**cookie, "Origin": "http://evil.example"}, 403),
        ("GET", "/../../etc/passwd", cookie, 404),
        ("GET", "/%2e%2e/study.yaml", cookie, 404),
        ("GET", "/study.yaml", cookie, 404),
        ("GET", "/examples?model=..&task=tone", cookie, 404),
        ("GET", "/examples?model=tone-s0&task=%2e%2e%2ftone", cookie, 404),
    ]
    for method, path, headers, wanted in cases:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        asked.request(method, path, headers=headers)
        answer = asked.getresponse()
        body = answer.read().decode()
        assert answer.status == wanted, (method, path, headers, body)
        assert "Traceback" not in body and answer.headers["cache-control"] == "no-store"
        asked.close()
    # It listens on this address alone.
    with (
        pytest.raises(OSError),
        socket.create_connection((socket.gethostbyname(socket.gethostname()), port), 2) as made,
    ):
        assert made.getsockname()[0].startswith("127.")
        raise OSError


def test_an_example_is_read_through_the_server(filled: Path, view: Start) -> None:
    served = view(filled)
    served.read()
    found = json.loads(served.read("/examples?model=tone-s0&task=tone&limit=1"))
    assert len(found["shown"]) == 1 and sum(found["counts"].values()) == 8 + found["counts"]["invalid"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        served.read("/examples?model=nobody&task=tone")
    assert json.loads(caught.value.read())["error"] == "there is no model 'nobody'"


def told(*arguments: object) -> str:
    """The error of a call that is refused."""
    done = CliRunner().invoke(app, ["view", *map(str, arguments), "--no-open"], env={"COLUMNS": "200"})
    assert done.exit_code == 2 and done.stdout == "", done.output
    return done.stderr


def test_what_stands_in_its_way_is_one_error_with_the_fix(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = told(filled, "--port", port)
    assert f"port {port}: is taken by another program" in error and "leave --port out" in error
    assert "this folder holds no study" in told(tmp_path) and "fix: name a study file" in told(tmp_path)
    assert "there is no such file" in told(tmp_path / "nowhere.yaml")
    matrix = tmp_path / "matrix.csv"
    matrix.write_text("model,tone\nbase,1\n")
    assert "traitscope report" in told(matrix)
    page = tmp_path / "report.html"
    page.write_text("<!DOCTYPE html>")
    error = told(page)
    assert "is a page, and needs no server" in error and "matrix" not in error
    monkeypatch.setitem(sys.modules, "starlette", None)
    error = told(filled)
    assert "starlette, which is not installed" in error and "pip install 'traitscope[view]'" in error


def test_of_several_base_models_those_that_are_named_are_served_and_looked_at_again(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tiny.STUDY.replace("base: {{model: {base}, dtype: fp32}}", "bases: {base}")
    bases = f"{{one: {{model: {base}}}, two: {{model: {tiny.make_base(tmp_path / 'other', 1)}}}}}"
    study, seen = tiny.make_study(tmp_path / "several", bases, text), list[list[str]]()

    def serve(opened: Callable[[], Study], first: Study, *_: Any) -> None:
        seen.extend([[*first.by_base()], [*opened().by_base()]])
        raise KeyboardInterrupt

    monkeypatch.setattr("traitscope.view.serve", serve)
    CliRunner().invoke(app, ["view", str(study), "--base", "two"])
    CliRunner().invoke(app, ["view", str(study)])
    assert seen == [["two"], ["two"], ["one", "two"], ["one", "two"]]
    assert "the study has one base model" in told(tiny.make_study(tmp_path / "one", base), "--base", "two")


def test_a_look_that_fails_is_told_and_the_page_is_served_on(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from traitscope.view.looks import Looks

    def opened() -> Study:
        return Study.open(copy)

    looks = Looks(opened, opened())
    looks.look()
    page = looks.page
    assert page.revision == 2 and b"15 measured" in page.html and looks.page.findings is not None

    def fails(*_: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(looks, "_find", fails)
    looks.start()
    for _ in range(100):
        if looks.trouble:
            break
        looks._ended.wait(0.1)
    looks.end(5)
    assert looks.trouble == "RuntimeError: no luck" and looks.page is page


def test_while_a_run_goes_on_the_matrix_is_new_and_the_rest_says_when_it_was_found(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from traitscope.report import figures
    from traitscope.report.figure_kinds import KINDS
    from traitscope.view import looks as module
    from traitscope.view.looks import Looks

    monkeypatch.setattr(module, "PAGE_SHARE", 0.0)  # however slow this machine is
    cell = copy.parent / "runs/tiny/cells/sums-s0/story"
    (cell / "cell.json").rename(cell / "later")
    monkeypatch.setattr(figures, "KINDS", [kind for kind in KINDS if kind.name == "gains"])
    looks = Looks(lambda: Study.open(copy), Study.open(copy))
    looks.look()
    assert set(looks.page.findings.missing.values()) == {"findings are being made now"}
    looks.look()
    assert looks.page.findings is not None and looks.page.findings.effects is not None
    before = looks.page.findings
    (cell / "later").rename(cell / "cell.json")
    drawings: list[Any] = []
    publish = looks._publish
    monkeypatch.setattr(looks, "_publish", lambda *given: (drawings.extend(given[2]), publish(*given)))
    with Study.open(copy).folder.leases() as leases:
        assert leases.acquire("cells/base/tone")
        Study.open(copy).folder.log("cell", unit="cells/sums-s0/story")
        looks.look()
        found = looks.page.findings
        assert (before.scores.status_IN == "measured").sum() == 14 and (
            found.scores.status_IN == "measured"
        ).sum() == 15
        assert found.effects is before.effects
        # The cell that landed stands in the drawing of the matrix, too, which is drawn once.
        old, new = (figures.draw(replace(one, **module._NONE))[0].data for one in (before, found))
        (drawn,) = drawings
        assert old != new == drawn.data
        assert "from 14 cells" in found.warnings[0] and found.warnings[0].encode() in looks.page.html
        revision = looks.page.revision
        looks.look()
        assert looks.page.revision == revision  # findings wait while a run goes on
    looks.look()
    assert looks.page.findings.effects is not before.effects and not looks.page.findings.warnings


def test_page_and_findings_take_their_share_of_the_time_and_no_more(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from traitscope.view import looks as module

    clock, busy, made, landed = [0.0], [1], list[tuple[str, float]](), [0]

    def takes(what: str, seconds: float) -> Callable[..., None]:
        def go(*_: Any) -> None:
            made.append((what, clock[0]))
            clock[0] += seconds

        return go

    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    study = Study.open(study_file)
    looks = module.Looks(lambda: study, study)
    folder = SimpleNamespace(
        busy=lambda: busy[0], mark=lambda: (("run.jsonl", landed[0], 0, 0),), found_mark=lambda: ()
    )
    looks._folders = {"": folder}  # type: ignore[dict-item]
    looks.page = replace(looks.page, findings=SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(looks, "_glance", takes("page", 1.0))
    monkeypatch.setattr(looks, "_find", takes("findings", 20.0))
    while clock[0] < 400.0:
        landed[0] += 1  # cells land all the time
        looks.look()
        clock[0] += 0.5
    pages, found = ([at for what, at in made if what == name] for name in ("page", "findings"))
    assert found[0] >= module.FIRST_FINDINGS_S and found[1] - found[0] >= 20.0 * (1 + module.FINDINGS_SHARE)
    assert len(found) == 2 and 60 < len(pages) <= 400.0 / (1 + module.PAGE_SHARE)
    # Once no run is at work neither waits.
    busy[0], made[:] = 0, []
    for _ in range(3):
        landed[0] += 1
        looks.look()
    looks.look()
    assert [what for what, _ in made] == ["page"] * 3 + ["findings"]


def test_a_look_at_several_base_models_keeps_no_finding_of_any(study_file: Path) -> None:
    from traitscope.view.looks import Looks

    study = Study.open(study_file)
    looks = Looks(lambda: study, study)
    parts = [SimpleNamespace(only_looked_at=False) for _ in range(2)]
    whole: Any = SimpleNamespace(inner=parts, only_looked_at=False, by_base=dict)
    looks._opened = lambda: whole
    looks._open()
    assert all(one.only_looked_at for one in (whole, *parts))


def test_a_first_page_of_examples_brings_what_stands_above_them(filled: Path) -> None:
    pytest.importorskip("starlette", reason="the extra view is not installed")
    from traitscope.view.looks import Page
    from traitscope.view.pages import application

    study = Study.open(filled)
    looks: Any = SimpleNamespace(page=Page(1, b"", study, study.outline()))
    (answer,) = (route.endpoint for route in application(looks).routes if route.path == "/examples")
    asked: dict[str, str] = {"model": "tone-s0", "task": "tone"}
    for more, there in (({}, True), ({"offset": "1"}, False), ({"q": "warm"}, False)):
        found = json.loads(answer(SimpleNamespace(query_params={**asked, **more})).body)
        assert ("head" in found) == there and "shown" in found


def test_what_a_look_left_half_written_is_swept_at_the_end(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="the extra view is not installed")
    from traitscope.store.files import TEMPORARY, machine
    from traitscope.view.looks import Looks
    from traitscope.view.serving import serve

    study = Study.open(copy)
    names = (f"{TEMPORARY}{machine()}-{os.getpid()}-x", f"{TEMPORARY}another-1-x")
    own, other = (study.folder.root / "analysis" / name for name in names)

    def run(*_: Any, **__: Any) -> None:
        own.parent.mkdir(exist_ok=True)
        own.touch()
        other.touch()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr(Looks, "start", lambda _: None)
    serve(lambda: study, study, None, lambda _: None)
    assert other.exists() and not own.exists()


def test_looking_writes_no_finding_into_the_folder_not_even_beside_damage(copy: Path) -> None:
    from traitscope.study import Study

    study = Study.open(copy)
    study.analyse()
    before = {path: path.read_bytes() for path in study.folder.analysis.iterdir() if path.is_file()}
    cell = next(iter(study.folder.cells.folder.glob("*/*/examples.parquet")))
    cell.write_bytes(b"garbage")
    looked = Study.open(copy)
    looked.only_looked_at = True
    looked.analyse(load=False)
    assert {path: path.read_bytes() for path in study.folder.analysis.iterdir() if path.is_file()} == before
