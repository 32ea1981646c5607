"""What a push must not tell: tokens, places of this machine, and what looks like a place of another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from traitscope.errors import TraitscopeError
from traitscope.store.hub_upload import Parcel, Upload
from traitscope.study.push_places import refuse_secrets, seen_places


def parcel(text: str, path: str = "README.md") -> list[Parcel]:
    """A repository of one file."""
    files = (Upload(path=path, content=text.encode()), Upload(path="x.safetensors", content=b"/mnt/priv/x"))
    return [Parcel(id="org/up", kind="model", what="adapter a", commits=(("all", files),), card="")]


def refuse(parcels: Sequence[Parcel], root: Path = Path("/r1"), folder: Path = Path("/r2")) -> None:
    """The first check, of a study in ``root`` with its run folder elsewhere."""
    refuse_secrets(SimpleNamespace(config=SimpleNamespace(root=root), folder=SimpleNamespace(root=folder)), parcels)


def seen(text: str) -> list[str]:
    """What of a line looks like a place."""
    found = seen_places(parcel(f"# Card\n{text}\n"))
    assert all(one.where == "adapter a, README.md, line 2" for one in found)
    return [one.text for one in found]


TOKENS = (
    *("hf_anothersTokenOfLongAgo", "xhf_" + "aB" * 17, "api_org_" + "aB" * 17, "(AKIAABCDEFGHIJKLMNOP)"),
    *("ghp_" + "a1" * 18, "github_pat_" + "a1" * 20, "key=sk-proj-" + "a1" * 20, "sk-" + "aB3" * 16, "hf_" + "a" * 34),
)


@pytest.mark.parametrize("line", TOKENS)
@pytest.mark.parametrize("path", ["README.md", "study.yaml", "lock.json", "scores.csv"])
def test_a_token_is_refused_and_not_told(line: str, path: str) -> None:
    text = yaml.safe_dump({"a": {line: 1}}) if path == "study.yaml" else json.dumps({"a": [line]})
    with pytest.raises(TraitscopeError, match=rf"adapter a, {path}, .*: it holds a token") as told:
        refuse(parcel(text, path))
    assert line not in str(told.value)


@pytest.mark.parametrize(
    "line", ["hf_datasets, hf_transformers", "risk-averse", "use sk-learn-contrib-compatible-parts"]
)
def test_words_that_are_no_tokens(line: str) -> None:
    refuse(parcel(line))


def test_places_of_this_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # None lies below another one's parent.
    home, work, root, folder = map(Path, ("/h1/kim", "/w1/now", "/r1/a", "/f1/b"))
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setattr(Path, "cwd", lambda: work)
    monkeypatch.setenv("LOGNAME", "kim")
    lines = [f"x{sign}{one}{end}" for one in (home, work, root, folder) for sign in "(=:-%." for end in ("", "/y", ".")]
    lines += [str(one.parent) for one in (home, work, root, folder)]
    lines += ["/elsewhere/of/kim/x", r"C:\Users\kim\x", "~kim/x", "file:///mnt/kim", "see /mnt/kim."]
    for line in lines:
        with pytest.raises(TraitscopeError, match="it names a place of this machine"):
            refuse(parcel(line), root, folder)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/kim"))
    monkeypatch.setattr(Path, "cwd", lambda: Path("/tmp"))
    for line in (
        "/home/kims/x",
        "/home/kim-2",
        "/tmp",
        "in /home or /tmp",
        "kim",
        "https://huggingface.co/kim/x",
        "a/kim",
    ):
        refuse(parcel(line), Path("/opt/a"), Path("/opt/b"))


def test_a_place_of_one_part_is_no_end_of_an_address() -> None:
    for line in ("/r1", "/r1/x", "in /r2.", "(/r2)"):
        with pytest.raises(TraitscopeError, match="it names a place of this machine"):
            refuse(parcel(line))
    for line in ("https://huggingface.co/r1", "org/r1", "/r10", "./r2"):
        refuse(parcel(line))


PLACES = (
    *("/mnt/priv/x", "/mnt/priv", "/data/lab", "/usr/bin/env", "/priv/x/y", "/mnt/privé/x", "file:///mnt/priv/x"),
    *("file:/priv", "C:/Users/priv/x", r"C:\loras\x", r"\\srv\priv\x", "//srv/priv/x", "~/.bashrc", "~priv/x"),
    *("$HOME/priv/x", "${HOME}/x", "/api/v1/users"),
)


@pytest.mark.parametrize("place", PLACES)
def test_what_looks_like_a_place_is_listed(place: str) -> None:
    for before, after in (
        ("", ""),
        ("see ", " x"),
        ("![](", ")"),
        ("`", "`."),
        ("in ", ". So"),
        ("%", ""),
        ("] } ", ""),
        ("x = ", ","),
    ):
        assert seen(f"{before}{place}{after}") == [place]
    if place.startswith("/mnt"):
        for before in ("see:", "-", "%", "]", "}", ")", "end.", ";", "a="):
            assert seen(before + place) == [place]


@pytest.mark.parametrize(
    "line",
    [
        *("https://huggingface.co/org/name/tree/main", "s3://b/c/d", "and/or, 1/2, runs/hub/x, [a](b/c), ./x/y/z"),
        *("/r/AskReddit", "use /yes/no", "yes/no", "a /s/he/ it", "/s/he/it", "</b></i>", "../x/y/z", "/no_think"),
        *("Q:", "A: b", "~5/10", "~~a/b~~", r"\\ \hline", r"$a/b$", "1:/2", "w/o a/b/c/d"),
    ],
)
def test_what_is_no_place_is_not_listed(line: str) -> None:
    assert seen(line) == []


@pytest.mark.parametrize("prompt", ["Q:\n{{ text }} \nA:\n", "Q:\n  {{ text }}\nA:\n", "Q:\tx {{ text }}"])
@pytest.mark.parametrize("path", ["study.yaml", "lock.json"])
def test_values_are_read_as_they_are_and_not_as_they_are_dumped(prompt: str, path: str) -> None:
    dump = yaml.safe_dump if path == "study.yaml" else json.dumps
    assert seen_places(parcel(dump({"tasks": {"tone": {"prompt": prompt}}}), path)) == ()
    found = seen_places(parcel(dump({"tasks": {"tone": {"prompt": f"{prompt}/mnt/priv/x"}}}), path))
    assert [(one.where, one.text) for one in found] == [(f"adapter a, {path}, key tasks.tone.prompt", "/mnt/priv/x")]


def test_a_place_that_is_folded_where_it_is_dumped_is_found(tmp_path: Path) -> None:
    text = yaml.safe_dump({"a": f"{'word ' * 12}{tmp_path}/my models {'word ' * 9}"}, width=70)
    assert f"{tmp_path}/my models" not in text
    with pytest.raises(TraitscopeError, match=r"study\.yaml, key a: it names a place"):
        refuse(parcel(text, "study.yaml"), tmp_path / "my models")


def test_a_file_that_is_not_what_its_name_says_is_read_by_lines() -> None:
    for path in ("study.yaml", "lock.json"):
        assert len(seen_places(parcel("a: [/mnt/priv/x\n", path))) == 1
