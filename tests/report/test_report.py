"""The report: one file, self-contained, with everything escaped, absent parts said, and the same bytes each time."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
import synthetic
from markupsafe import escape

from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.report import write_report
from traitscope.texts import minus


def full() -> Findings:
    return Findings(
        name="reviews-and-maths",
        scores=synthetic.matrix(),
        traits=synthetic.traits(),
        effects=synthetic.effects(),
        stats=synthetic.stats(),
        layers=synthetic.layers(),
        causal=synthetic.causal(),
        correlates=synthetic.correlates(),
        facts=(("Base model", "tiny"),),
        config="study: reviews-and-maths\nbase: tiny  # <smallest>\n",
        lock={"traitscope": "0.1.0"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    write_report(full(), place)
    return place


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects addresses, open elements, scripts and identifiers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.unclosed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in {"meta", "input", "br", "link", "img"}:
            self.unclosed.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "action", "data", "srcset"}:
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.unclosed and self.unclosed[-1] == tag:
            self.unclosed.pop()

    def handle_endtag(self, tag):
        assert self.unclosed.pop() == tag


def test_the_page_loads_nothing_from_anywhere(page):
    reader = Reader(page)
    # An empty icon, so that a browser asks no server for one.
    assert reader.addresses.count("data:,") == reader.tags.count("link") == 1
    assert all(a.startswith(("#", "data:image/png;base64,")) or a == "data:," for a in reader.addresses)
    assert "iframe" not in reader.tags
    assert not re.search(r"@import|url\((?!#|['\"]?data:)|\bimport\s*\(|fetch\((?![`'\"]/)|XMLHttpRequest", page)
    assert not re.findall(r'https?://(?!www\.w3\.org/(?:2000/svg|1999/xlink)")', page)


def test_the_page_is_well_formed_and_every_identifier_is_there_once(page):
    reader = Reader(page)
    assert reader.unclosed == []
    assert len(reader.ids) == len(set(reader.ids))
    # Addresses of cells are the panel's.
    anchors = {a[1:] for a in reader.addresses if a.startswith("#") and not a.startswith("#cell/")}
    used = anchors | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(reader.ids)


def test_every_section_and_figure_is_there(page, folder):
    sections = ("first", "transfer", "habits", "traits", "why", "layers", "prediction", "belt", "surprises", "controls")
    for part in (*sections, "across", "training", "cells", "methods", "configuration"):
        assert re.search(f'<section id="{part}"', page), part
    names = {p.stem for p in (folder / "figures").glob("*.svg")}
    from traitscope.report.figure_kinds import NAMES

    # Of several base models, of records and tags, of tasks that no mix saw, and of predictions.
    others = {"across", "length_densities", "relation_bars", "layer_unseen"}
    assert names == set(NAMES) - others - {"forecast_rankings", "forecast_calibration", "belt_coverage"}
    assert all(f'id="figure-{name}"' in page for name in names)


def test_the_findings_stand_in_words_with_their_q(page):
    effects = synthetic.effects()
    assert synthetic.traits().count.statement[1:] in page
    best = effects.of_kind("gain").sort_values("value").tail(1)
    assert minus(str(escape(effects.sentences(best).item()))) in page
    assert re.search(r'<span class="q">q [=<] ', page)
    assert synthetic.causal().verdict[1:] in page
    # Findings are written with hyphens, for terminals and files; the page sets true minus signs.
    assert all(minus(str(escape(line))) in page for line in synthetic.correlates().lines())


def test_the_table_of_cells_holds_every_cell_with_standard_error_and_n(page):
    table = page[page.index('id="every-cell"') :]
    rows = re.findall(r"<tr .*?</tr>", table[: table.index("</table>")], re.DOTALL)
    matrix = synthetic.matrix()
    assert len(rows) == matrix.scores_IN.size
    assert sum("missing" in row for row in rows) == 1
    assert f'data-sort="{matrix.stderr_IN[0, 0]:.9g}"' in rows[0]
    assert rows[0].count(f">{synthetic.N}</td>") == 1


def test_the_exact_configuration_is_in_the_page_escaped(page):
    assert "base: tiny  # &lt;smallest&gt;" in page
    assert "&#34;traitscope&#34;: &#34;0.1.0&#34;" in page


def test_figures_take_their_ink_from_the_page_and_read_well_in_print_and_dark(page):
    figure = page[page.index("<figure") : page.index("</figure>")]
    assert "var(--ink)" in figure and "var(--card)" in figure
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_tables_are_written_as_csv_that_reads_back(folder):
    cells = pd.read_csv(folder / "tables" / "cells.csv")
    matrix = synthetic.matrix()
    assert len(cells) == matrix.scores_IN.size
    first = cells[(cells["model"] == "base") & (cells["task"] == "imdb")].iloc[0]
    assert first["value"] == pytest.approx(matrix.scores_IN[0, 0])
    loadings = pd.read_csv(folder / "tables" / "loadings.csv", index_col=0)
    assert loadings.to_numpy() == pytest.approx(synthetic.traits().loadings_KN)


def tiny(models=("base", "a", "b"), tasks=("x", "y")) -> ScoreMatrix:
    frame = pd.DataFrame([[0.1 * i + 0.2 * n for n in range(len(tasks))] for i in range(len(models))])
    frame.index, frame.columns = list(models), list(tasks)
    return ScoreMatrix.from_wide(frame)


def test_absent_parts_are_said_and_are_no_error(tmp_path):
    contents = Findings(name="young", scores=tiny(), missing={"traits": "two adapters are too few"})
    page = write_report(contents, tmp_path).read_text(encoding="utf-8")
    assert "The traits have not been computed: two adapters are too few." in page
    assert "The layers have not been analysed (traitscope layers does it)." in page
    assert "The side effects have not been computed" in page
    assert "(no study file)" in page
    assert {p.stem for p in (tmp_path / "figures").glob("*.svg")} == {"scores", "gains"}


def test_a_matrix_without_base_row_is_reported_without_gains(tmp_path):
    write_report(Findings(name="foreign", scores=tiny(models=("m1", "m2", "m3"))), tmp_path)
    assert {p.stem for p in (tmp_path / "figures").glob("*.svg")} == {"scores"}


def test_a_figure_of_an_earlier_report_goes_and_a_users_own_stays(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "layer_tsne.svg").write_text("old")
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    write_report(Findings(name="young", scores=tiny()), tmp_path)
    assert not (tmp_path / "figures" / "layer_tsne.svg").exists()
    assert (tmp_path / "figures" / "mine.svg").exists()


def test_a_users_text_never_becomes_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    contents = Findings(
        name=f'{evil}" onload="x',
        scores=tiny(models=("base", evil, "{{ 7 * 7 }}"), tasks=(evil, "</style>")),
        facts=((evil, evil),),
        config=f"# {evil}\n</pre>",
        missing={"traits": evil},
    )
    page = write_report(contents, tmp_path).read_text(encoding="utf-8")
    assert evil not in page
    assert page.count("<script") == page.count("</script>") == 4  # the code, the names, and the panels of two tasks
    assert page.count("</style>") == 1 + page.count("<style type")
    assert "{{ 7 * 7 }}" in page
    assert Reader(page).unclosed == []


def test_the_same_results_give_the_same_bytes(tmp_path):
    contents = Findings(name="young", scores=tiny())
    write_report(contents, tmp_path / "a")
    write_report(contents, tmp_path / "b")
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 7
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
