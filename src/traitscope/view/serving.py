"""The server: a socket of this machine, the guard before the pages, and an end at once on Ctrl-C."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.store.files import TEMPORARY, machine
from traitscope.view.guard import HOST, Guard

if TYPE_CHECKING:
    from traitscope.study import Study

# Seconds that an answer under way, and a look, are waited for at the end.
PATIENCE_S = 0.2


def check_extra() -> None:
    """Sees whether the packages of the server are here.

    Raises:
        TraitscopeError: one is not.
    """
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise TraitscopeError(
            f"the live page needs {error.name}, which is not installed",
            where="traitscope view",
            fix="pip install 'traitscope[view]'; or traitscope report, which writes the page as a file",
        ) from error
    assert starlette and uvicorn


def listening(port: int | None) -> socket.socket:
    """A socket of this machine alone.

    Args:
        port: None for one that is free.

    Raises:
        TraitscopeError: it is taken, or may not be used.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Else the port of a server that has just ended is taken for a minute.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port or 0))
        made.listen(64)
    except OSError as error:
        made.close()
        taken = error.errno == errno.EADDRINUSE
        what = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
        fix = "name another one, or leave --port out: a free one is chosen"
        raise TraitscopeError(what, where=f"port {port}", fix=fix) from None
    return made


def serve(opened: Callable[[], Study], first: Study, port: int | None, told: Callable[[str], None]) -> None:
    """Serves the live page of a study until Ctrl-C.

    Args:
        opened: opens the study anew. first: the same as it was opened already.
        port: None for one that is free.
        told: is given the address, with its token, once it answers.

    Raises:
        TraitscopeError: the extra is missing, or the port is taken.
    """
    check_extra()
    import uvicorn

    from traitscope.view.looks import Looks
    from traitscope.view.pages import application

    with listening(port) as bound:
        number, token = bound.getsockname()[1], secrets.token_urlsafe(32)
        looks = Looks(opened, first)
        server = uvicorn.Server(
            uvicorn.Config(
                Guard(application(looks), token, number),
                # Nothing is printed: an access log would hold the token.
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                http="h11",
                loop="asyncio",
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=PATIENCE_S,
            )
        )
        looks.start()
        try:
            # The socket takes connections already; they are answered once the loop runs.
            told(f"http://{HOST}:{number}/?token={token}")
            with suppress(KeyboardInterrupt):
                server.run(sockets=[bound])
        except KeyboardInterrupt:
            pass
        finally:
            looks.end(PATIENCE_S)
            _sweep(first.folder.root)


def _sweep(root: Path) -> None:
    """Removes what a look that was left in its middle has half-written."""
    own = f"{TEMPORARY}{machine()}-{os.getpid()}-"
    roots = (root, *root.glob("bases/*"))
    for folder in (
        *roots,
        *(one / "analysis" for one in roots),
        *(path for one in roots for path in one.glob("cells/*")),
    ):
        with suppress(OSError):
            for path in folder.iterdir():
                if path.name.startswith(own):
                    path.unlink(missing_ok=True)
