"""Pairs of sentences of almost the same words that do or do not say the same: who did what to whom, and when."""

from __future__ import annotations

from random import Random

from . import lexicon as lex
from .facts import article, capital, person


def _swap_roles(rng: Random, same: bool) -> tuple[str, str]:
    if rng.random() < 0.5:
        one, two = (f"the {rng.choice(lex.COLOURS)} {animal}" for animal in rng.sample(lex.ANIMALS, 2))
        _, past, participle, _ = rng.choice(lex.ANIMAL_VERBS)
    else:
        if rng.random() < 0.5:
            one = person(rng)
            two = person(rng, one)
        else:
            one, two = (f"the {job}" for job in rng.sample(lex.JOBS, 2))
        _, past, participle, _ = rng.choice(lex.MUTUAL_VERBS)
    place, time = rng.choice(lex.PLACES), rng.choice(lex.TIMES)
    tail = f"in the {place}"
    first = f"{one} {past} {two} {tail} {time}"
    agent, patient = (one, two) if same else (two, one)
    second = rng.choice(
        (
            f"{patient} was {participle} by {agent} {tail} {time}",
            f"{time} {agent} {past} {patient} {tail}",
            f"{tail} {patient} was {participle} by {agent} {time}",
            f"it was {agent} who {past} {patient} {tail} {time}",
            f"{time} it was {patient} whom {agent} {past} {tail}",
        )
    )
    return first, second


def _transfer(rng: Random, same: bool) -> tuple[str, str]:
    one = person(rng)
    two = person(rng, one)
    out, back = rng.choice(lex.TRANSFER_VERBS)
    thing = f"the {rng.choice(lex.COLOURS)} {rng.choice(lex.COUNTABLE)}"
    time = rng.choice(lex.TIMES)
    first = f"{one} {out} {thing} to {two} {time}"
    giver, taker = (one, two) if same else (two, one)
    return first, rng.choice(
        (
            f"{taker} {back} {thing} from {giver} {time}",
            f"{time} {giver} {out} {thing} to {taker}",
            f"{time} {taker} {back} {thing} from {giver}",
        )
    )


def _compare(rng: Random, same: bool) -> tuple[str, str]:
    one = person(rng)
    two = person(rng, one)
    more, less = rng.sample(rng.choice(lex.OPPOSITES), 2)
    place = rng.choice(lex.PLACES)
    first = f"at the {place} {one} was {more} than {two}"
    high, low = (one, two) if same else (two, one)
    return first, rng.choice(
        (
            f"{low} was {less} than {high} at the {place}",
            f"{high} was {more} than {low} at the {place}",
            f"at the {place} {low} was {less} than {high}",
            f"of the two at the {place}, {high} was the {more} one and not {low}",
        )
    )


def _order(rng: Random, same: bool) -> tuple[str, str]:
    who, time = person(rng), rng.choice(lex.TIMES)
    one, two = rng.sample(lex.PLACES, 2)
    go_one, go_two = f"went to the {one}", f"went to the {two}"
    first = f"{time} {who} {go_one} before going to the {two}"
    early, late = (go_one, go_two) if same else (go_two, go_one)
    late_place, early_place = (two, one) if same else (one, two)
    return first, rng.choice(
        (
            f"{time} {who} {late} after going to the {early_place}",
            f"{who} {early} before going to the {late_place} {time}",
            f"{time} {who} {early} and then to the {late_place}",
            f"after the {early_place} {who} {late} {time}",
        )
    )


def _attributes(rng: Random, same: bool) -> tuple[str, str]:
    who, place = person(rng), rng.choice(lex.PLACES)
    verb, synonym = rng.choice(lex.ACT_VERBS)
    one, two = rng.sample(lex.COUNTABLE, 2)
    colour_one, colour_two = rng.sample(lex.COLOURS, 2)
    first = (
        f"{who} {verb} {article(f'{colour_one} {one}')} and {article(f'{colour_two} {two}')} at the {place}"
    )
    if not same:
        colour_one, colour_two = colour_two, colour_one
    a, b = article(f"{colour_one} {one}"), article(f"{colour_two} {two}")
    said = rng.choice((verb, synonym))
    return first, rng.choice(
        (
            f"at the {place} {who} {said} {b} and {a}",
            f"{who} {said} {b} and {a} at the {place}",
            f"at the {place} {who} {said} {a} and {b}",
        )
    )


def twin(rng: Random, same: bool) -> tuple[str, str]:
    """Two sentences of almost the same words; they say the same or, in another order, something else."""
    make = rng.choice((_swap_roles, _swap_roles, _transfer, _compare, _order, _attributes))
    first, second = make(rng, same)
    if rng.random() < 0.5:
        first, second = second, first
    return capital(first) + ".", capital(second) + "."
