"""The page as it is served: made anew by a thread of its own when cells land or findings are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.texts import count_of, safe
from traitscope.view.live import Folder, Mark, Now, together

if TYPE_CHECKING:
    from traitscope.report.figures import Drawn
    from traitscope.study import Study

# Seconds from one glance at the folder's files to the next.
GLANCE_S = 1.0
# Of the time while a run goes on: at most a quarter for the page, at most a tenth for findings, not before a minute.
PAGE_SHARE, FINDINGS_SHARE, FIRST_FINDINGS_S = 4.0, 10.0, 60.0
# What takes long to find; all else is looked up each time.
SLOW = ("traits", "effects", "stats", "explanation", "layers", "causal", "correlates", "across")

_NONE: dict[str, Any] = dict.fromkeys(SLOW)


@dataclass(frozen=True, slots=True)
class Page:
    """What is served.

    Attributes:
        revision: counts up with every other page.
        html: the document. study: as it was opened for it. findings: shown; None before the first cell.
    """

    revision: int
    html: bytes
    study: Study
    findings: Findings | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """Findings that took long, of the cells that were there then."""

    findings: Findings
    drawn: list[Drawn]
    at: datetime
    cells: int


class Looks:
    """Looks at a study's folder again and again.

    Args:
        opened: opens the study anew; called by the thread, so that nothing of an earlier look is kept.
        first: the study as it was opened already.
    """

    def __init__(self, opened: Callable[[], Study], first: Study) -> None:
        self._opened = opened
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="traitscope-looks", daemon=True)
        self._folders: dict[str, Folder] = {}
        self._shown: Mark | None = None
        self._tried: Mark | None = None
        self._found: _Found | None = None
        self._began = self._page_due = self._findings_due = time.monotonic()
        self.trouble = ""
        self._follow(first)
        self.page = self._waiting(first, 1)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def end(self, patience_s: float = 0.0) -> None:
        """Looks no more; what is being made is waited for so long and then left."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(patience_s)

    def now(self) -> Now:
        """How far the study is at this moment."""
        return together(self._folders)

    def _go_on(self) -> None:
        while not self._ended.is_set():
            try:
                self.look()
            except TraitscopeError as error:
                self.trouble = error.what
            except Exception as error:  # the page that is there is served on
                self.trouble = f"{type(error).__name__}: {error}"
            self._ended.wait(GLANCE_S)

    def look(self) -> None:
        """Makes the page anew where something has changed and its time has come."""
        start, busy = time.monotonic(), any(folder.busy() for folder in self._folders.values())
        landed = tuple(one for folder in self._folders.values() for one in folder.mark())
        found = landed + tuple(one for folder in self._folders.values() for one in folder.found_mark())
        if landed != self._shown and (start >= self._page_due or not busy):
            self._glance(busy)
            self._shown = landed
            self._page_due = time.monotonic() + PAGE_SHARE * (time.monotonic() - start)
            self._findings_due = max(self._findings_due, self._began + FIRST_FINDINGS_S)
        elif found != self._tried and self.page.findings is not None and (start >= self._findings_due or not busy):
            self._find()
            # Findings that this look has kept are no reason for another.
            self._tried = landed + tuple(one for folder in self._folders.values() for one in folder.found_mark())
            self._findings_due = time.monotonic() + FINDINGS_SHARE * (time.monotonic() - start)
        else:
            return
        self.trouble = ""

    def _follow(self, study: Study) -> None:
        """Keeps the folders in step with the study, whose file may have changed."""
        known = {folder.root: folder for folder in self._folders.values()}
        folders = {}
        for name, part in study.by_base().items():
            folders[name] = known.get(part.folder.root) or Folder(part)
            folders[name].follow(part)
        self._folders = folders

    def _open(self) -> Study:
        study = self._opened()
        # Findings of a look are the page's, and stay in memory: what the folder holds is the run's and the verbs'.
        for one in (study, *study.inner):
            one.only_looked_at = True
        self._follow(study)
        return study

    def _glance(self, busy: bool) -> None:
        """A page of the cells that are there, with the findings of the last look."""
        for folder in self._folders.values():
            folder.begin()
        study = self._open()
        with study.one_look():
            try:
                self._count(study)
                shown = study.outline()
            except TraitscopeError as error:
                if any(folder.any_cell() for folder in self._folders.values()):
                    raise
                self.trouble = error.what
                self.page = self._waiting(study, self.page.revision + 1)
                return
        self._put(study, self._with_last(shown, busy))

    def _count(self, study: Study) -> None:
        for folder in self._folders.values():
            part = next(part for part in study.by_base().values() if part.folder.root == folder.root)
            if not part.folder.exists():
                folder.know(set())
                continue
            cells = {f"cells/{head.model}/{head.task}" for head in part.cells()}
            folder.know(cells, (part.changed_adapters(), len(part.present().changed)))

    def _with_last(self, shown: Findings, busy: bool) -> Findings:
        """A glance's findings with the slow ones of the last look, and a word about them."""
        last = self._found
        if last is None:
            why = "findings are made from time to time while a run goes on" if busy else "findings are being made now"
            return replace(shown, missing=dict.fromkeys(SLOW, why))
        slow = {name: getattr(last.findings, name) for name in SLOW}
        when = f"{last.at:%H:%M} from {count_of(last.cells, 'cell')}"
        note = f"A run goes on. The matrix is of the cells that are there; all other findings were made at {when}."
        if not busy:
            note = f"Findings were made at {when}; they are being made anew at this moment."
        return replace(shown, **slow, missing=last.findings.missing, warnings=(note, *shown.warnings))

    def _find(self) -> None:
        """All findings anew; the layers only where they were analysed, since no model is loaded here."""
        from traitscope.report.figures import draw

        study = self._open()
        findings = study.analyse(load=False)
        drawn = draw(findings)
        scores = findings.scores
        cells = int((scores.status_IN == "measured").sum())
        now = datetime.now().astimezone()
        self._found = _Found(findings, drawn, now, cells)
        self._publish(study, findings, drawn)

    def _put(self, study: Study, findings: Findings) -> None:
        """The page of a glance: its own figures of the matrix, those of the last look for the rest."""
        from traitscope.report.figures import draw

        plain = replace(findings, **_NONE)
        own = draw(plain)
        anew = {one.name for one in own}
        drawn = [*own, *(one for one in (self._found.drawn if self._found else ()) if one.name not in anew)]
        try:
            self._publish(study, findings, drawn)
        except (KeyError, IndexError, TypeError, ValueError):
            # Findings of fewer models than the matrix has by now do not go with it everywhere.
            missing = dict.fromkeys(SLOW, "findings are of fewer cells than there are by now, and are made anew")
            self._publish(study, replace(plain, missing=missing), own)

    def _publish(self, study: Study, findings: Findings, drawn: list[Drawn]) -> None:
        from traitscope.report.page import render_page

        revision = self.page.revision + 1
        text = render_page(findings, drawn, (), revision=revision)
        self.page = Page(revision, text.encode(), study, findings)

    def _waiting(self, study: Study, revision: int) -> Page:
        from traitscope.report.page import render_waiting

        begun = any(folder.any_cell() for folder in self._folders.values())
        return Page(revision, safe(render_waiting(study.config.study, revision, begun=begun)).encode(), study)
