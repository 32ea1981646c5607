"""``traitscope train``: the missing adapters."""

from __future__ import annotations

from traitscope.cli.common import (
    DEFAULT_STUDY,
    BaseOption,
    JsonOption,
    ModelsOption,
    OnOption,
    OutOption,
    QuietOption,
    ReplaceOption,
    ReportToOption,
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
    base: BaseOption = None,
    changes: SetOption = None,
    on: OnOption = None,
    shard: ShardOption = None,
    quiet: QuietOption = False,
    report_to: ReportToOption = None,
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
        bases=base,
        report_to=report_to,
        json=json,
        on=on,
    )
