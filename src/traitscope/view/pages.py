"""What the server answers: the page, how far the run is, single examples. Nothing that is asked changes anything."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.report.digging import dig
from traitscope.texts import safe, safe_json
from traitscope.view.examples import Query, find
from traitscope.view.guard import NOTHING, framed_by_none
from traitscope.view.live import as_json
from traitscope.view.looks import Looks

_POLICY = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


def policy_of(page: bytes) -> str:
    """The content-security policy that a page brings in its head; one that allows nothing where it brings none."""
    found = _POLICY.search(page[:100_000])
    return html.unescape(found[1].decode()) if found else NOTHING


def _head(findings: Findings | None, query: Query) -> dict[str, Any]:
    """What a cell's panel says above its examples; nothing of a cell that the page does not hold yet."""
    if findings is None or query.model not in findings.scores.models or query.task not in findings.scores.tasks:
        return {}
    return {"head": dig(findings, query.model, query.task, 0).head()}


def application(looks: Looks) -> Any:
    """The pages as a Starlette application, without a guard.

    ``/`` is the page; ``/state`` says how far the run is, and the revision of the page; ``/examples`` gives single
    examples of a cell (``examples.Query``).
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def page(request: Request) -> Response:
        body = looks.page.html
        headers = {"content-security-policy": framed_by_none(policy_of(body))}
        return Response(body, media_type="text/html", headers=headers)

    def state(request: Request) -> Response:
        told = as_json(looks.now(), revision=looks.page.revision, trouble=safe(looks.trouble, line=True))
        return Response(told, media_type="application/json")

    def examples(request: Request) -> Response:
        try:
            query, shown = Query.read(request.query_params), looks.page
            found, status = find(shown.study, query), 200
            if not query.offset and not query.words:
                found |= _head(shown.findings, query)
        except TraitscopeError as error:
            found, status = {"error": safe(error.what, line=True), "where": error.where, "fix": error.fix}, 404
        text = safe_json(json.dumps(found, ensure_ascii=False, allow_nan=False))
        return Response(text.encode(), status, media_type="application/json")

    return Starlette(routes=[Route("/", page), Route("/state", state), Route("/examples", examples)])
