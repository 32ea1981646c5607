"""Things that happen in the world, and what follows from them, contradicts them or stays open.

``pair(rng, relation)`` gives two sentences whose relation is known because it was made so.
"""

from __future__ import annotations

from random import Random

from . import lexicon as lex

ENTAILED, UNKNOWN, CONTRADICTED = "entailed", "unknown", "contradicted"
_KIND_OF = {word: kind for kind, words in lex.KINDS.items() for word in words}
NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def person(rng: Random, other: str = "") -> str:
    """A first name, not the one given."""
    while True:
        name = rng.choice(lex.WOMEN + lex.MEN)
        if name != other:
            return name


def plural(word: str) -> str:
    """The plural of a regular noun of the lexicon."""
    irregular = {
        "mouse": "mice",
        "goose": "geese",
        "wolf": "wolves",
        "knife": "knives",
        "shelf": "shelves",
        "sheep": "sheep",
        "deer": "deer",
    }
    if word in irregular:
        return irregular[word]
    if word.endswith(("x", "ch", "sh", "s")) or word in {"potato", "tomato"}:
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def article(phrase: str) -> str:
    """The phrase with a or an before it."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def capital(text: str) -> str:
    """Upper-case first letter."""
    return text[0].upper() + text[1:]


def _different(rng: Random, options: tuple[str, ...], word: str) -> str:
    while True:
        pick = rng.choice(options)
        if pick != word:
            return pick


def _count_fact(rng: Random, relation: str) -> tuple[str, str]:
    who, (verb, synonym) = person(rng), rng.choice(lex.ACT_VERBS)
    noun, n, colour = rng.choice(lex.COUNTABLE), rng.randint(2, 9), rng.choice(lex.COLOURS)
    place, time = rng.choice(lex.PLACES), rng.choice(lex.TIMES)
    count = NUMBER_WORDS[n]
    premise = f"{who} {verb} {count} {colour} {plural(noun)} at the {place} {time}."
    if relation == ENTAILED:
        said = rng.choice((verb, verb, synonym))
        thing = plural(rng.choice((noun, noun, _KIND_OF[noun])))
        if _KIND_OF[noun] in {"fruit", "paper"} and thing == plural(_KIND_OF[noun]):
            thing = f"pieces of {_KIND_OF[noun]}"
        few = NUMBER_WORDS[n - 1]
        return premise, rng.choice(
            (
                f"{who} {said} {count} {thing}.",
                f"{who} {said} more than {few} {thing} {time}.",
                f"{who} {said} some {thing} at the {place}.",
                f"{capital(time)} {who} was at the {place}.",
                f"The {plural(noun)} that {who} {said} were {colour}.",
                f"{who} {said} at least {few} {plural(noun)}.",
            )
        )
    if relation == CONTRADICTED:
        wrong = NUMBER_WORDS[n + rng.randint(1, 3)]
        return premise, rng.choice(
            (
                f"{who} {verb} only {NUMBER_WORDS[n - 1]} {plural(noun)}.",
                f"{who} {verb} more than {wrong} {colour} {plural(noun)} {time}.",
                f"{who} {verb} no {plural(noun)} at the {place}.",
                f"The {plural(noun)} that {who} {verb} were {_different(rng, lex.COLOURS, colour)}.",
                f"{capital(time)} {who} was not at the {place}.",
                f"Nobody {verb} {colour} {plural(noun)} {time}.",
                f"{who} {verb} the {plural(noun)} at the {_different(rng, lex.PLACES, place)}, not at the {place}.",
            )
        )
    other = person(rng, who)
    return premise, rng.choice(
        (
            f"{who} {verb} {count} {plural(noun)} for {other}.",
            f"{other} {verb} {count} {colour} {plural(noun)} at the {place}.",
            f"The {count} {plural(noun)} were {rng.choice(lex.SIZES)}.",
            f"{who} {rng.choice(('likes', 'needs', 'often counts'))} {colour} {plural(noun)}.",
            f"{who} was at the {place} with {other} {time}.",
            f"{who} {verb} {plural(noun)} {_different(rng, lex.TIMES, time)} too.",
            f"{who} {verb} the {plural(noun)} at the {place} because of {other}.",
        )
    )


def _state_fact(rng: Random, relation: str) -> tuple[str, str]:
    state, opposite = rng.sample(rng.choice(lex.STATE_OPPOSITES), 2)
    who, job, place, time = person(rng), rng.choice(lex.JOBS), rng.choice(lex.PLACES), rng.choice(lex.TIMES)
    colour = rng.choice(lex.COLOURS)
    thing = f"the {colour} {rng.choice(lex.KINDS['container'])}" if rng.random() < 0.5 else who
    be = rng.choice(("was", "was still", "was again"))
    premise = f"{capital(time)} {thing} {be} {state}, said the {job} in the {place}."
    if relation == ENTAILED:
        return premise, rng.choice(
            (
                f"{capital(thing)} was not {opposite} {time}.",
                f"The {job} said that {thing} was {state}.",
                f"{capital(thing)} was {state} {time}.",
                f"A {job} was in the {place}.",
            )
        )
    if relation == CONTRADICTED:
        return premise, rng.choice(
            (
                f"{capital(thing)} was {opposite} {time}.",
                f"{capital(thing)} was not {state} {time}.",
                f"The {job} said that {thing} was {opposite}.",
                f"There was no {job} in the {place}.",
            )
        )
    return premise, rng.choice(
        (
            f"The {job} was {rng.choice((state, opposite))} {time}.",
            f"{capital(thing)} had been {rng.choice((state, opposite))} before.",
            f"The {job} in the {place} knew {person(rng, who)}.",
            f"{capital(thing)} was {_different(rng, lex.TIMES, time)} not {opposite}.",
        )
    )


def _group_fact(rng: Random, relation: str) -> tuple[str, str]:
    group, place, time = rng.choice(lex.GROUPS), rng.choice(lex.PLACES), rng.choice(lex.TIMES)
    verb, past = rng.choice(
        (
            ("like", "liked"),
            ("visit", "visited"),
            ("know", "knew"),
            ("praise", "praised"),
            ("leave", "left"),
            ("reach", "reached"),
        )
    )
    quantity = rng.choice(("all", "no", "some", "most"))
    subject_ = {
        "all": f"all the {group}",
        "no": f"none of the {group}",
        "some": f"some of the {group}",
        "most": f"most of the {group}",
    }[quantity]
    premise = f"{capital(subject_)} {past} the {place} {time}."
    table = {
        "all": (
            [
                f"some of the {group} {past} the {place}",
                f"no one of the {group} failed to {verb} the {place}",
                f"most of the {group} {past} the {place}",
            ],
            [
                f"none of the {group} {past} the {place}",
                f"some of the {group} did not {verb} the {place}",
                f"half of the {group} did not {verb} the {place}",
            ],
        ),
        "no": (
            [f"the {group} did not {verb} the {place}", f"all the {group} failed to {verb} the {place}"],
            [
                f"some of the {group} {past} the {place}",
                f"all the {group} {past} the {place}",
                f"a few of the {group} did {verb} the {place}",
            ],
        ),
        "some": (
            [
                f"not all the {group} failed to {verb} the {place}",
                f"there were {group} who {past} the {place}",
            ],
            [f"none of the {group} {past} the {place}", f"all the {group} failed to {verb} the {place}"],
        ),
        "most": (
            [f"some of the {group} {past} the {place}", f"there were {group} who {past} the {place}"],
            [f"none of the {group} {past} the {place}", f"only a few of the {group} {past} the {place}"],
        ),
    }
    unknown = [
        f"all the {_different(rng, lex.GROUPS, group)} {past} the {place}",
        f"the {group} {past} the {_different(rng, lex.PLACES, place)}",
        f"some of the {group} told {person(rng)} about the {place}",
        f"the {group} wanted to {verb} the {place} again",
    ]
    if quantity in {"some", "most"}:
        unknown += [f"all the {group} {past} the {place}", f"the tallest of the {group} {past} the {place}"]
    choices = {ENTAILED: table[quantity][0], CONTRADICTED: table[quantity][1], UNKNOWN: unknown}[relation]
    return premise, capital(rng.choice(choices)) + "."


def pair(rng: Random, relation: str) -> tuple[str, str]:
    """A statement and a second one that follows from it, may or may not be so, or cannot be."""
    draw = rng.random()
    make = _count_fact if draw < 0.5 else _state_fact if draw < 0.75 else _group_fact
    return make(rng, relation)
