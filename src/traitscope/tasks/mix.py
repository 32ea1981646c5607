"""How many rows of each source go into a mix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from traitscope.config import MixConfig
from traitscope.errors import TraitscopeError


def mix_counts(
    mix: MixConfig,
    available: Mapping[str, int],
    clusters: Mapping[str, str] | None = None,
    *,
    where: str | None = None,
) -> dict[str, int]:
    """The number of first train rows that each source gives to the mix.

    Args:
        mix: the mix's settings.
        available: train rows of each of its sources, in order.
        clusters: the cluster of each source (for ``per_cluster``).
        where: the place that errors name.

    ``per_task`` takes as many of every source; ``per_cluster`` shares a number among the sources of a
    cluster, as evenly as their sizes allow (a small source gives all it has, the others the rest); ``rows``
    says it source by source; without any of them, all rows. With ``at_most`` a source or a cluster that has fewer
    rows gives all it has.

    Raises:
        TraitscopeError: if a source or a cluster has fewer rows than are asked for.
    """
    if mix.at_most and mix.per_task is not None:
        return {name: min(n, mix.per_task) for name, n in available.items()}
    if mix.per_task is not None or mix.rows is not None:
        wanted = {name: mix.rows[name] if mix.rows is not None else mix.per_task or 0 for name in available}
        for name, n in available.items():
            if n < wanted[name]:
                least = f"{name}: {n}" if mix.rows is not None else f"per_task: {min(available.values())}"
                raise TraitscopeError(
                    f"the mix asks for {wanted[name]} rows of {name!r}, which has {n}",
                    where=where,
                    fix=f"write {least} or less, or give {name!r} more rows",
                )
        return wanted
    if mix.per_cluster is None:
        return dict(available)
    members: dict[str, list[str]] = defaultdict(list)
    for name in available:
        members[(clusters or {})[name]].append(name)
    counts: dict[str, int] = {}
    for cluster, names in members.items():
        total = sum(available[n] for n in names)
        if total < mix.per_cluster and not mix.at_most:
            raise TraitscopeError(
                f"the mix asks for {mix.per_cluster} rows of the cluster {cluster!r}, which has {total}",
                where=where,
                fix=f"write per_cluster: {total} or less, or give its sources more train rows",
            )
        counts.update(_even(min(mix.per_cluster, total), {n: available[n] for n in names}))
    return {name: counts[name] for name in available}


def _even(total: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """``total`` shared as evenly as the sizes allow; what cannot be halved goes to the first names."""
    counts = dict.fromkeys(sizes, 0)
    while total:
        open_names = [n for n in sizes if counts[n] < sizes[n]]
        share = max(total // len(open_names), 1)
        for name in open_names:
            more = min(share, sizes[name] - counts[name], total)
            counts[name] += more
            total -= more
    return counts
