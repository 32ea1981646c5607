"""Sentences of almost the same words that do or do not say the same: exchanged roles, order or details."""

from __future__ import annotations

from random import Random

from . import lexicon as lex
from .facts import NUMBER_WORDS, article, capital, person, plural


def _two_who_act(rng: Random) -> tuple[str, str, str, str]:
    """Two beings and the past and participle of what one does to the other."""
    draw = rng.random()
    if draw < 0.4:
        one, two = (f"the {animal}" for animal in rng.sample(lex.ANIMALS, 2))
        verb = rng.choice(lex.ANIMAL_VERBS)
    elif draw < 0.5:
        one, two = (f"the {rng.choice(lex.COLOURS)} {animal}" for animal in rng.sample(lex.ANIMALS, 2))
        verb = rng.choice(lex.ANIMAL_VERBS)
    else:
        verb = rng.choice(lex.MUTUAL_VERBS)
        if draw < 0.75:
            one = person(rng)
            two = person(rng, one)
        else:
            one, two = (f"the {job}" for job in rng.sample(lex.JOBS, 2))
    return one, two, verb[1], verb[2]


def _where_and_when(rng: Random) -> tuple[str, str]:
    """Place and time with a leading space, each often left out."""
    place = f" in the {rng.choice(lex.PLACES)}" if rng.random() < 0.35 else ""
    time = f" {rng.choice(lex.TIMES)}" if rng.random() < 0.5 else ""
    return place, time


def _swap_roles(rng: Random, same: bool) -> tuple[str, str]:
    one, two, past, participle = _two_who_act(rng)
    place, time = _where_and_when(rng)
    first = f"{one} {past} {two}{place}{time}"
    agent, patient = (one, two) if same else (two, one)
    second = rng.choice(
        (
            f"{patient} was {participle} by {agent}{place}{time}",
            f"{patient} was {participle} by {agent}{time}{place}",
            f"{agent} {past} {patient}{time}{place}",
            f"it was {agent} who {past} {patient}{place}{time}",
            f"it was {patient} whom {agent} {past}{place}{time}",
        )
    )
    return first, second


def roles(rng: Random) -> str:
    """Something that happened, and who did it to whom."""
    one, two, past, participle = _two_who_act(rng)
    place, time = _where_and_when(rng)
    told = f"{one} {past} {two}" if rng.random() < 0.5 else f"{two} was {participle} by {one}"
    doer, other = f"The one who {past} was {one}.", f"The one who was {participle} was {two}."
    return f"{capital(told)}{place}{time}. " + (f"{doer} {other}" if rng.random() < 0.5 else f"{other} {doer}")


def _transfer(rng: Random, same: bool) -> tuple[str, str]:
    one = person(rng)
    two = person(rng, one)
    out, back = rng.choice(lex.TRANSFER_VERBS)
    thing = f"the {rng.choice(lex.COUNTABLE)}"
    _, time = _where_and_when(rng)
    first = f"{one} {out} {thing} to {two}{time}"
    giver, taker = (one, two) if same else (two, one)
    return first, rng.choice(
        (f"{taker} {back} {thing} from {giver}{time}", f"{time} {giver} {out} {thing} to {taker}".strip())
    )


def _compare(rng: Random, same: bool) -> tuple[str, str]:
    one = person(rng)
    two = person(rng, one)
    more, less = rng.sample(rng.choice(lex.OPPOSITES), 2)
    place, time = _where_and_when(rng)
    first = f"{one} was {more} than {two}{place}{time}"
    high, low = (one, two) if same else (two, one)
    return first, rng.choice(
        (
            f"{low} was {less} than {high}{place}{time}",
            f"{high} was {more} than {low}{time}{place}",
            f"of the two, {high} was {more}{place}{time}",
            f"of the two, {low} was {less}{place}{time}",
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
    first = f"{who} {verb} {article(f'{colour_one} {one}')} and {article(f'{colour_two} {two}')} at the {place}"
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


def probes(rng: Random, n: int) -> tuple[str, list[tuple[str, bool]]]:
    """A short sentence without place or time, and n sentences that say the same (True) or turn it around (False)."""
    draw = rng.random()
    if draw < 0.6:
        one, two, past, participle = _two_who_act(rng)
        forms: tuple[str, ...] = (
            "{a} " + past + " {b}",
            "{b} was " + participle + " by {a}",
            "it was {a} who " + past + " {b}",
            "it was {b} whom {a} " + past,
        )
    elif draw < 0.75:
        one = person(rng)
        two = person(rng, one)
        more, less = rng.sample(rng.choice(lex.OPPOSITES), 2)
        forms = ("{a} was " + more + " than {b}", "{b} was " + less + " than {a}")
    elif draw < 0.85:
        one = person(rng)
        two = person(rng, one)
        out, back = rng.choice(lex.TRANSFER_VERBS)
        thing = f"the {rng.choice(lex.COUNTABLE)}"
        forms = ("{a} " + out + f" {thing} to " + "{b}", "{b} " + back + f" {thing} from " + "{a}")
    else:
        who = person(rng)
        one, two = rng.sample(lex.PLACES, 2)
        forms = (
            who + " went to the {a} before going to the {b}",
            who + " went to the {b} after going to the {a}",
            who + " went to the {a} and then to the {b}",
        )
    told = capital(rng.choice(forms).format(a=one, b=two)) + "."
    others = []
    for _ in range(n):
        same = rng.random() < 0.5
        a, b = (one, two) if same else (two, one)
        others.append((capital(rng.choice(forms).format(a=a, b=b)) + ".", same))
    return told, others


def _detail(rng: Random, same: bool) -> tuple[str, str]:
    """One happening told in two orders and with synonyms; not the same if one detail was exchanged."""
    details = {
        "who": person(rng),
        "count": rng.choice(NUMBER_WORDS[2:]),
        "colour": rng.choice(lex.COLOURS),
        "thing": plural(rng.choice(lex.COUNTABLE)),
        "place": rng.choice(lex.PLACES),
        "time": rng.choice(lex.TIMES),
    }
    verbs = rng.choice(lex.ACT_VERBS)
    forms = (
        "{who} {verb} {count} {colour} {thing} at the {place} {time}",
        "{time} {who} {verb} {count} {colour} {thing} at the {place}",
        "at the {place} {who} {verb} {count} {colour} {thing} {time}",
        "{count} {colour} {thing} were {verb} by {who} at the {place} {time}",
    )
    one, two = rng.sample(forms, 2)
    first = one.format(verb=rng.choice(verbs), **details)
    if not same:
        options = {
            "who": lex.WOMEN + lex.MEN,
            "count": NUMBER_WORDS[2:],
            "colour": lex.COLOURS,
            "thing": tuple(plural(word) for word in lex.COUNTABLE),
            "place": lex.PLACES,
            "time": lex.TIMES,
        }
        changed = rng.choice(tuple(details))
        details[changed] = rng.choice([option for option in options[changed] if option != details[changed]])
    return first, two.format(verb=rng.choice(verbs), **details)


def twin(rng: Random, same: bool) -> tuple[str, str]:
    """Two sentences of almost the same words; they say the same, or roles, order or a detail are exchanged."""
    orders = (_swap_roles, _swap_roles, _transfer, _compare, _order, _attributes)
    make = _detail if rng.random() < 0.5 else rng.choice(orders)
    first, second = make(rng, same)
    while first == second:
        first, second = make(rng, same)
    if rng.random() < 0.5:
        first, second = second, first
    return capital(first) + ".", capital(second) + "."
