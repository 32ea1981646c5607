"""Clauses of praise and complaint, and reviews made of them.

A clause's polarity is a property of the whole clause: about half of them carry a word of the other side ("not
bad", "anything but good"), so that single words say little. In a contrast the main part decides.
"""

from __future__ import annotations

from random import Random

from . import lexicon as lex

NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"


def adjective(rng: Random, domain: str, good: bool) -> str:
    """An adjective of the given side, from the domain's list or the general one."""
    table = lex.GOOD_ADJ if good else lex.BAD_ADJ
    return rng.choice(table[domain if rng.random() < 0.55 else "any"])


def subject(rng: Random, domain: str, item: str) -> tuple[str, str]:
    """A noun phrase with its past verb: an aspect of the thing, or the thing itself."""
    if rng.random() < 0.3:
        return f"the {item}", "was"
    aspect = rng.choice(lex.ASPECTS[domain])
    return f"the {aspect}", "were" if aspect in lex.PLURAL_ASPECTS else "was"


def clause(rng: Random, domain: str, good: bool, item: str) -> str:
    """One clause, without a capital or a full stop, whose meaning is good or bad."""
    what, was = subject(rng, domain, item)
    strong = rng.choice(lex.STRONG) + " " if rng.random() < 0.35 else ""
    side, other = adjective(rng, domain, good), adjective(rng, domain, not good)
    noun = rng.choice(lex.GOOD_NOUN if good else lex.BAD_NOUN)
    other_noun = rng.choice(lex.BAD_NOUN if good else lex.GOOD_NOUN)
    verb = rng.choice(lex.GOOD_VERB if good else lex.BAD_VERB)
    draw = rng.random()
    if draw < 0.16:
        return f"{what} {was} {strong}{side}"
    if draw < 0.22:
        return f"I {verb} {what}"
    if draw < 0.27:
        return f"{what} {was} a {noun}"
    if draw < 0.40:
        return event(rng, domain, good)
    if draw < 0.54:
        negator = rng.choice(("not", "never", "not at all", "by no means", "hardly", "far from", "anything but"))
        return f"{what} {was} {negator} {other}"
    if draw < 0.61:
        return f"I {rng.choice(('cannot', 'would not', 'could never'))} call {what} {other}"
    if draw < 0.68:
        return f"{what} {'had nothing' if rng.random() < 0.5 else 'was not even'} {other}"
    if draw < 0.75:
        free_of = rng.choice(("was free of", "was without", "did not bring any", "showed no"))
        return f"{what} {free_of} {other_noun}"
    if draw < 0.82:
        return f"nobody could say that {what} {was} {other}"
    if draw < 0.88:
        hope = f"I had {'feared' if good else 'hoped'}"
        return (
            f"{what} {was} less {other} than {hope}" if rng.random() < 0.5 else f"{what} {was} not as {other} as {hope}"
        )
    if draw < 0.94:
        return f"{what} {was} more {side} than I had {'hoped' if good else 'feared'}"
    return f"{rng.choice(lex.HEDGES)} {what} {was} {strong}{side}"


def event(rng: Random, domain: str, good: bool) -> str:
    """Something that happened and speaks for itself."""
    text = rng.choice((lex.GOOD_EVENTS if good else lex.BAD_EVENTS)[domain])
    return text.replace("{n}", str(rng.randint(2, 9))).replace("{unit}", rng.choice(lex.UNITS))


def hearsay(rng: Random, domain: str, good: bool, item: str) -> str:
    """What others say: it names a side that the speaker may not share."""
    who = rng.choice(
        (
            "my friends said",
            "the box says",
            "others wrote",
            "people told me",
            "the seller claims",
            "I had read",
        )
    )
    what, was = subject(rng, domain, item)
    return f"{who} that {what} {was} {adjective(rng, domain, good)}"


def contrast(rng: Random, domain: str, good: bool, item: str) -> str:
    """A sentence with both sides, whose main part (the last word in the matter) has the given polarity."""
    main, minor = clause(rng, domain, good, item), clause(rng, domain, not good, item)
    draw = rng.random()
    if draw < 0.3:
        return f"although {minor}, {main}"
    if draw < 0.5:
        return f"{main}, even though {minor}"
    if draw < 0.75:
        return f"{minor}, but {main}"
    if draw < 0.9:
        return f"{hearsay(rng, domain, not good, item)}, yet {main}"
    return f"{main}, no matter that {minor}"


def neutral_clause(rng: Random, domain: str, item: str) -> str:
    """A clause that takes no side."""
    what, was = subject(rng, domain, item)
    draw = rng.random()
    if draw < 0.35:
        strong = rng.choice(lex.STRONG) + " " if rng.random() < 0.25 else ""
        return f"{what} {was} {strong}{rng.choice(lex.NEUTRAL_ADJ)}"
    if draw < 0.65:
        return f"{what} {was} neither {adjective(rng, domain, True)} nor {adjective(rng, domain, False)}"
    if draw < 0.75:
        middle = rng.choice(("not great and not terrible", "half good and half bad", "not good and not bad"))
        return f"{what} {was} {middle}"
    return rng.choice(lex.NEUTRAL_EVENTS)


def sentence(text: str) -> str:
    """Capital letter and full stop."""
    return text[0].upper() + text[1:] + "."


def item_of(rng: Random, domain: str) -> str:
    """A thing of the domain."""
    return rng.choice(lex.ITEMS[domain])


def film_title(rng: Random) -> str:
    """An invented title of two words."""
    return f"The {rng.choice(lex.TITLE_HEADS)} {rng.choice(lex.TITLE_TAILS)}"


def short_review(rng: Random, domain: str, label: str) -> str:
    """One to three sentences about a product."""
    item = item_of(rng, domain)
    opening = opening_line(rng, item) if rng.random() < 0.45 else ""
    if label == NEUTRAL:
        parts = [sentence(neutral_clause(rng, domain, item))]
        if rng.random() < 0.5:
            first = rng.random() < 0.5
            parts.append(
                sentence(
                    f"{clause(rng, domain, first, item)}, and at the same time {clause(rng, domain, not first, item)}"
                )
            )
            rng.shuffle(parts)
        elif rng.random() < 0.4:
            parts.append(sentence(neutral_clause(rng, domain, item)))
    else:
        good = label == POSITIVE
        make = contrast if rng.random() < 0.45 else clause
        parts = [sentence(make(rng, domain, good, item))]
        if rng.random() < 0.4:
            parts.append(sentence(clause(rng, domain, good, item)))
            rng.shuffle(parts)
    return " ".join(filter(None, [opening, *parts]))


def opening_line(rng: Random, item: str) -> str:
    """A sentence before the opinion that has none itself."""
    name = rng.choice(lex.WOMEN + lex.MEN)
    who = rng.choice(
        (
            f"my friend {name}",
            "my sister",
            "my brother",
            f"the {rng.choice(lex.JOBS)}",
            "my father",
            "myself",
            "the office",
        )
    )
    colour = rng.choice(lex.COLOURS)
    return rng.choice(
        (
            f"I bought the {colour} {item} {rng.choice(lex.TIMES)}.",
            f"This {item} was a present for {who}.",
            f"I ordered the {colour} {item} for {who}.",
            f"The {colour} {item} came in a {rng.choice(lex.KINDS['container'])}.",
            f"I paid {rng.randint(5, 99)} coins for this {item}.",
        )
    )


def long_review(rng: Random, label: str) -> str:
    """Five to eight sentences about a film: its plot, then opinions, most of which agree with the label."""
    good, item = label == POSITIVE, rng.choice(lex.ITEMS["film"])
    opening = f"{film_title(rng)} is a {rng.choice(lex.GENRES)} {item}. {plot_line(rng)}"
    n_opinions = rng.randint(3, 5)
    n_against = rng.choice((0, 1, 1)) if n_opinions == 3 else rng.choice((1, 1, 2))
    opinions = []
    for i in range(n_opinions):
        agrees = i >= n_against
        make = contrast if agrees and rng.random() < 0.3 else clause
        opinions.append(sentence(make(rng, "film", good == agrees, item)))
    rng.shuffle(opinions)
    if rng.random() < 0.4:
        verdict = contrast(rng, "film", good, item) if rng.random() < 0.4 else clause(rng, "film", good, item)
        opinions.append(f"{rng.choice(('In the end', 'All in all', 'In short', 'To sum up'))}, {verdict}.")
    return " ".join([opening, *opinions])


def plot_line(rng: Random) -> str:
    """What the film is about, in words that may sound good or bad without being an opinion."""
    who, job, place = rng.choice(lex.WOMEN + lex.MEN), rng.choice(lex.JOBS), rng.choice(lex.PLACES)
    mood = rng.choice(lex.GOOD_ADJ["any"] + lex.BAD_ADJ["any"])
    goal = rng.choice(("friend", "enemy", "secret", "family"))
    find = rng.choice(("letter", "crime", "treasure", "war"))
    return rng.choice(
        (
            f"It tells of a {mood} {job} who lives in a {place}.",
            f"In it a {job} called {who} looks for a {mood} {goal}.",
            f"{who}, a {job}, finds a {mood} {find} near the {place}.",
            f"A {mood} {rng.choice(lex.ANIMALS)} comes to the {place} and changes the life of a {job}.",
        )
    )
