"""``traitscope train``: the missing adapters."""

from __future__ import annotations

from traitscope.cli.common import (
    DEFAULT_STUDY,
    JsonOption,
    ModelsOption,
    OnOption,
    OutOption,
    QuietOption,
    ReplaceOption,
    SetOption,
    ShardOption,
    StudyArgument,
    friendly,
)
from traitscope.cli.run import fill, read_part


@friendly
def train(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    replace: ReplaceOption = False,
    models: ModelsOption = None,
    changes: SetOption = None,
    on: OnOption = None,
    shard: ShardOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Train the missing adapters, all together in one bank; evaluate nothing."""
    part = read_part(None, models, shard=shard)
    fill(
        study,
        out,
        quiet,
        lambda opened, stop: opened.train(replace=replace, stop=stop, **part),
        show=False,
        changes=changes,
        json=json,
        on=on,
    )
