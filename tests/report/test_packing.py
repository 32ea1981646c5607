"""The panels inside the page: they unpack to what they were, fit their room, and are the same bytes each time."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace

import digs
import pytest

from traitscope.records import Example
from traitscope.report import packing
from traitscope.report.digging import Digger
from traitscope.report.packing import PLACE, order, pack, packed_text, with_panels


@pytest.fixture(scope="module")
def found():
    return digs.findings(digs.by_hand())


def unpacked(text: str):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def rows(packed, model: str, tab: str):
    """The examples of a tab as the page's script puts them together."""
    cell = packed["cells"][model]
    made = []
    for at, answer in cell["rows"].get(tab, []):
        question = dict(packed["questions"][at])
        bases = question.pop("bases")
        base = {} if cell["head"]["base"] is None else {"base": bases[cell["head"]["base"]]}
        made.append({**question, **base, "model": answer})
    return made


def test_a_block_holds_every_panel_of_a_task_and_every_prompt_once(found):
    for block in pack(found, 10**7):
        packed = unpacked(block.text)
        digger = Digger(found)
        assert list(packed["cells"]) == list(found.scores.models)
        for model in found.scores.models:
            whole = json.loads(json.dumps(digger.dig(model, block.task, 20).to_json()))
            cell = packed["cells"][model]
            assert cell["head"] == {key: value for key, value in whole.items() if key != "rows"}
            for tab in whole["tabs"]:
                assert rows(packed, model, tab["key"]) == whole["rows"][tab["key"]]
        ids = [question["id"] for question in packed["questions"]]
        assert len(ids) == len(set(ids)) > 20


def test_the_same_findings_give_the_same_bytes(found):
    first, again = ([b.text for b in pack(found, 10**7)] for _ in range(2))
    assert first == again
    head = base64.b64decode(first[0])[:10]
    assert head[4:8] == bytes(4) and head[9] == 255  # neither the time nor the system


def test_less_room_gives_fewer_examples_and_says_so(found):
    wide = list(pack(found, 10**7))
    room = sum(len(b.block()) for b in wide) // 2
    tight = list(pack(found, room))
    assert sum(len(b.block()) for b in tight) <= room
    assert all(block.per_tab < 20 for block in tight)
    for block in tight:
        packed = unpacked(block.text)
        most = max(len(found) for cell in packed["cells"].values() for found in cell["rows"].values())
        assert most == block.per_tab
        assert f"At most {most} of an outcome are in this file" in packed["rule"]
    assert "At most" not in unpacked(wide[0].text)["rule"]


def test_all_tasks_show_as_many_examples_as_fit_together(found):
    size = sum(len(b.block()) for b in pack(found, 10**7))
    assert {b.per_tab for b in pack(found, size)} == {20}
    assert {b.per_tab for b in pack(found, size - 1)} == {10}


def test_the_heads_are_there_where_there_is_no_room_at_all(found):
    for block in pack(found, 0):
        packed = unpacked(block.text)
        assert block.per_tab == 0 and not packed["questions"]
        assert all(cell["head"]["changes"] for cell in packed["cells"].values())


def test_the_whole_page_stays_within_its_bytes(found, monkeypatch):
    page = f"<main>{'x' * 1000}</main>{PLACE}<script></script>"
    whole = with_panels(page, found)
    monkeypatch.setattr(packing, "PAGE", len(whole) - 4000)
    smaller = with_panels(page, found)
    assert len(smaller) <= len(whole) - 4000 and str(PLACE) not in smaller
    assert smaller.startswith("<main>x") and smaller.endswith("</script><script></script>")
    monkeypatch.setattr(packing, "LARGE", 9)
    assert with_panels(page, found) == whole  # nine cells are many, and may have more bytes


def test_hostile_names_and_texts_are_no_markup(found):
    evil = "x</script><img src=x onerror=alert(1)>\u202e\"'&"
    cells = digs.by_hand()
    for key in [key for key in cells.by_cell if key[1] == "tone"]:
        cells.by_cell[key[0], evil] = cells.by_cell.pop(key)
    cells.examples = lambda task: {  # type: ignore[method-assign]
        r.id: Example(r.id, evil, "") for r in cells.by_cell["base", task]
    }
    table = found.scores.table.assign(task=found.scores.table["task"].replace("tone", evil))
    metrics = {evil if task == "tone" else task: metric for task, metric in found.scores.metrics.items()}
    renamed = {evil if task == "tone" else task: unit for task, unit in found.scores.units.items()}
    scores = replace(found.scores, table=table, metrics=metrics, units=renamed, records={})
    hostile = replace(found, scores=scores, effects=None, cells=cells)
    text = "".join(str(b.block()) for b in pack(hostile, 10**7)) + str(order(hostile))
    assert re.findall(r"<[^>]*>", text).count("</script>") == len(scores.tasks) + 1 == text.count("<") / 2
    assert "\u202e" not in text and "onerror" in text  # the name is there, escaped
    names = json.loads(re.search(r'id="cell-order">(.*?)</script>', text).group(1))
    assert names["tasks"][0] == evil.replace("\u202e", "\\u202e")
    prompts = {q["prompt"] for b in pack(hostile, 10**7) for q in unpacked(b.text)["questions"]}
    assert prompts == {evil.replace("\u202e", "\\u202e")}


def test_thinner_panels_are_taken_evenly_from_what_was_shown(found):
    dug = [Digger(found).dig("tone-s0", "tone", 20)]
    tab = next(t for t in dug[0].tabs if t.key == "both_wrong")
    few = rows(unpacked(packed_text(dug, 3)), "tone-s0", "both_wrong")
    ids = [one.id for one in tab.shown]
    assert [one["id"] for one in few] == [ids[0], ids[len(ids) // 2], ids[-1]]
