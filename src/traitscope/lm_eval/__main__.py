"""``python -m traitscope.lm_eval``: the harness' own command line, in which ``--model traitscope`` is known."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.lm_eval.model import BASE, adapter_folders, kept_model, own_cache


def _each_model(arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments of one model after the other: the base, then every adapter."""
    if arguments.get("peft") is not None:
        yield dict(arguments)
        return
    for name in (BASE, *adapter_folders(arguments.get("adapters", ()))):
        yield {**arguments, "peft": name}


def main() -> None:
    """The harness' command line; ``--model traitscope`` is run for the base, then for every adapter."""
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    setup_logging()
    cli = HarnessCLI()
    args = cli.parse_args()
    if getattr(args, "model", None) != "traitscope":
        cli.execute(args)
        return
    arguments = dict(args.model_args or {})
    if "base" in arguments:
        # The name under which the harness knows a base, which its results files are called after.
        arguments["pretrained"] = arguments.pop("base")
    cache = getattr(args, "use_cache", None)
    try:
        with kept_model():
            for one in _each_model(arguments):
                with own_cache(cache, str(one["peft"])) as args.use_cache:
                    args.model_args = one
                    cli.execute(args)
    except TraitscopeError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
