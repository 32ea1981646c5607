"""Running text about the small world, for pre-training: its words and reasoning, none of the task formats.

``document(rng)`` gives one text. Verdicts, answers and relations appear only as prose ("so she kept it",
"both said the same"), never behind a prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from . import comments, facts, numbers, opinions, snippets, twins
from . import lexicon as lex

_DOMAINS = ("film", "home", "clothing")
# What follows an opinion, by its side. Few and frequent forms: each says the same of every opinion before it.
_AFTER_CLAUSE = {
    opinions.POSITIVE: ("That is good.", "That is good.", "{who} liked that.", "This is praise."),
    opinions.NEGATIVE: ("That is bad.", "That is bad.", "{who} did not like that.", "This is blame."),
    opinions.NEUTRAL: ("That is neither.", "That is neither.", "{who} did not mind that.", "This is no side."),
}
_AFTER_REVIEW = {
    opinions.POSITIVE: ("So {who} liked it.", "So {who} liked it.", "{who} was positive about it.", "{who} kept it."),
    opinions.NEGATIVE: (
        "So {who} did not like it.",
        "So {who} did not like it.",
        "{who} was negative about it.",
        "{who} threw it away.",
    ),
    opinions.NEUTRAL: (
        "So {who} did not mind it.",
        "So {who} did not mind it.",
        "{who} was neutral about it.",
        "{who} shrugged.",
    ),
}
_SAME = {True: "Yes, it is the same.", False: "No, it is not the same."}
_AFTER_STATEMENT = {
    facts.ENTAILED: ("Yes, that must be so.", "That must be so.", "This is true."),
    facts.UNKNOWN: ("Maybe, that is open.", "That is open.", "We cannot tell."),
    facts.CONTRADICTED: ("No, that cannot be so.", "That cannot be so.", "This is false."),
}


def opinion_text(rng: Random) -> str:
    """Opinions about a thing, each followed by what it shows."""
    who, domain = facts.person(rng), rng.choice(_DOMAINS)
    item = opinions.item_of(rng, domain)
    if rng.random() < 0.55:
        line = rng.choice((_plain_side, _plain_side, _turned_side, _same_side))
        return " ".join(line(rng, domain, item) for _ in range(rng.randint(3, 8)))
    draw = rng.random()
    by_clause = draw < 0.61
    parts = [f"{who} spoke about the {item}."]
    for _ in range(rng.randint(2, 5) if by_clause else rng.randint(1, 2)):
        label = rng.choices((opinions.POSITIVE, opinions.NEGATIVE, opinions.NEUTRAL), (0.42, 0.42, 0.16))[0]
        after = _AFTER_CLAUSE if by_clause else _AFTER_REVIEW
        if by_clause and label == opinions.NEUTRAL:
            said = opinions.sentence(opinions.neutral_clause(rng, domain, item))
        elif by_clause:
            make = opinions.contrast if rng.random() < 0.2 else opinions.clause
            said = opinions.sentence(make(rng, domain, label == opinions.POSITIVE, item))
        elif draw > 0.88 and label != opinions.NEUTRAL:
            said = opinions.long_review(rng, label)
        else:
            said = opinions.short_review(rng, domain, label)
        parts.append(f"{said} {rng.choice(after[label]).format(who=who)}")
    return " ".join(parts)


def _plain_side(rng: Random, domain: str, item: str) -> str:
    """One plain opinion and its side."""
    what, was = opinions.subject(rng, domain, item)
    if rng.random() < 0.12:
        return f"{facts.capital(what)} {was} {rng.choice(lex.NEUTRAL_ADJ)}. That is neither."
    good = rng.random() < 0.5
    noun = rng.choice(lex.GOOD_NOUN if good else lex.BAD_NOUN)
    verb = rng.choice(lex.GOOD_VERB if good else lex.BAD_VERB)
    said = rng.choice(
        (
            f"{what} {was} {opinions.adjective(rng, domain, good)}",
            f"{what} {was} {opinions.adjective(rng, domain, good)}",
            f"{what} {was} {rng.choice(lex.STRONG)} {opinions.adjective(rng, domain, good)}",
            f"{what} {was} a {noun}",
            f"I {verb} {what}",
            opinions.event(rng, domain, good),
        )
    )
    return f"{opinions.sentence(said)} That is {'good' if good else 'bad'}."


def _turned_side(rng: Random, domain: str, item: str) -> str:
    """One opinion and the same one turned around by a negation, in either order."""
    what, was = opinions.subject(rng, domain, item)
    good = rng.random() < 0.5
    word = opinions.adjective(rng, domain, good)
    negator = rng.choice(("not", "not", "never", "not at all", "by no means", "hardly", "far from", "anything but"))
    turned = rng.choice(
        (
            f"{what} {was} {negator} {word}",
            f"{what} {was} {negator} {word}",
            f"I {rng.choice(('cannot', 'would not', 'could never'))} call {what} {word}",
            f"nobody could say that {what} {was} {word}",
        )
    )
    pair = [(f"{what} {was} {word}", good), (turned, not good)]
    rng.shuffle(pair)
    return " ".join(f"{opinions.sentence(said)} That is {'good' if side else 'bad'}." for said, side in pair)


def _same_side(rng: Random, domain: str, item: str) -> str:
    """Opinion words of one side next to each other, or of both sides set against each other."""
    what, was = opinions.subject(rng, domain, item)
    good = rng.random() < 0.5
    one, two, three = (opinions.adjective(rng, domain, good) for _ in range(3))
    other = opinions.adjective(rng, domain, not good)
    noun = rng.choice(lex.GOOD_NOUN if good else lex.BAD_NOUN)
    verb = rng.choice(lex.GOOD_VERB if good else lex.BAD_VERB)
    side = "good" if good else "bad"
    return rng.choice(
        (
            f"{facts.capital(what)} {was} {one}, {two} and {three}.",
            f"{facts.capital(what)} {was} not {other} but {one}.",
            f"What is {one} is {side}, and what is {other} is not.",
            f"{one.capitalize()} is {side}. {other.capitalize()} is {'bad' if good else 'good'}.",
            f"Who {verb} {what} found it {one}.",
            f"It was {one}, in a word: a {noun}.",
        )
    )


def statement_text(rng: Random) -> str:
    """Something is known; a second statement must then be so, cannot be so, or is open."""
    parts = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        relation = rng.choice((facts.ENTAILED, facts.UNKNOWN, facts.CONTRADICTED))
        one, two = facts.pair(rng, relation)
        parts.append(f"We know this: {one} {two} {rng.choice(_AFTER_STATEMENT[relation])}")
    return " ".join(parts)


def twin_text(rng: Random) -> str:
    """The same thing told twice, or another thing in nearly the same words; or who did it and to whom."""
    parts = []
    for _ in range(rng.choice((2, 3, 4))):
        draw = rng.random()
        if draw < 0.08:
            parts.append(twins.roles(rng))
        elif draw < 0.2:
            one, two = twins.twin(rng, True)
            parts.append(f"{one} In other words: {two}")
        elif draw < 0.45:
            told, others = twins.probes(rng, rng.choice((1, 2, 3)))
            parts.append(told)
            parts += [f"{other} {_SAME[same]}" for other, same in others]
        else:
            same = rng.random() < 0.5
            one, two = twins.twin(rng, same)
            parts.append(f"{one} {two} {_SAME[same]}")
    return " ".join(parts)


def sum_text(rng: Random) -> str:
    """Sums told in words or written in signs."""
    parts = []
    for _ in range(rng.randint(4, 12)):
        draw = rng.random()
        total = numbers.draw_sum(rng, 1 if draw < 0.85 else 2, limit=rng.choice((20, 99)))
        if draw < 0.6 or draw > 0.92:
            parts.append(f"{total.signs()} = {total.value}.")
        else:
            parts.append(f"{total.words()} is {total.value}.")
    return " ".join(parts)


def story_text(rng: Random) -> str:
    """A counting story that keeps the count as it goes, or sums it up at the end."""
    story = numbers.draw_story(rng, rng.choice((1, 1, 2, 2, 3)))
    if rng.random() < 0.35:
        return " ".join([*story.sentences, "Let us count. " + story.worked().replace("The answer is", "So it is")])
    parts: list[str] = []
    steps = iter(story.steps)
    for i, text in enumerate(story.sentences):
        parts.append(text)
        if i in (0, story.aside_at):
            continue
        left, operation, right, value = next(steps)
        signs = numbers.Sum((left, right), (operation,), value).signs()
        parts.append(f"{signs} = {value}.")
    return " ".join(parts)


def code_text(rng: Random) -> str:
    """A listing: comments say what the functions below them do."""
    lines = []
    for _ in range(rng.randint(1, 4)):
        snippet = snippets.draw_snippet(rng, rng.choice((1, 1, 2, 2, 3)))
        lines.append(f"# {snippet.name} {snippet.text}" if rng.random() < 0.6 else f"# {snippet.text}")
        lines.append(
            snippet.source()
            if rng.random() < 0.5
            else f"def {snippet.name}({snippet.argument}):\n    return {snippet.expression}"
        )
    return "\n".join(lines)


def talk_text(rng: Random) -> str:
    """Polite and rude talk, and how it was taken."""
    parts = []
    for _ in range(rng.choice((1, 2, 3))):
        rude = rng.random() < 0.5
        a = facts.person(rng)
        b = facts.person(rng, a)
        said = comments.comment(rng, rude)
        lead = rng.choice((f"{a} said to {b}: ", f"{a} wrote to {b}: ", f"Then {a} spoke. ", f"{a} shouted: "))
        ends = (
            (
                f"{b} was hurt.",
                "That was rude.",
                "Those were toxic words.",
                f"{a} had to leave the room.",
                f"It was an attack on others, and {b} left.",
            )
            if rude
            else (
                f"{b} nodded.",
                "That was a fair thing to say.",
                "Those were clean words.",
                f"{a} was thanked.",
                f"It hurt nobody, and {b} stayed.",
            )
        )
        parts.append(f"{lead}{said} {rng.choice(ends)}")
    return " ".join(parts)


def knowledge_text(rng: Random) -> str:
    """What words mean: kinds of things, opposites, words of the same meaning, sides of opinion words."""
    parts = []
    for _ in range(rng.randint(3, 8)):
        draw = rng.random()
        if draw < 0.35:
            kind = rng.choice(tuple(lex.KINDS))
            parts.append(
                f"{facts.capital(facts.article(rng.choice(lex.KINDS[kind])))} is "
                f"{rng.choice(('a kind of', 'some sort of'))} {kind}."
            )
        elif draw < 0.55:
            one, two = rng.sample(rng.choice(lex.OPPOSITES + lex.STATE_OPPOSITES), 2)
            parts.append(f"What is {one} is not {two}.")
        elif draw < 0.7:
            one, two = rng.sample(rng.choice(lex.ACT_VERBS), 2)
            parts.append(f"What was {one} was {two}.")
        else:
            good, domain = rng.random() < 0.5, rng.choice(("film", "home", "clothing"))
            parts.append(
                f"It is {'good' if good else 'bad'} when {facts.article(opinions.item_of(rng, domain))} is "
                f"{opinions.adjective(rng, domain, good)}."
            )
    return " ".join(parts)


MAKERS: tuple[tuple[Callable[[Random], str], float], ...] = (
    (opinion_text, 0.20),
    (statement_text, 0.13),
    (twin_text, 0.24),
    (sum_text, 0.16),
    (story_text, 0.14),
    (code_text, 0.06),
    (talk_text, 0.06),
    (knowledge_text, 0.01),
)


def document(rng: Random) -> str:
    """One text of a kind drawn by the shares in ``MAKERS``."""
    make = rng.choices([maker for maker, _ in MAKERS], [share for _, share in MAKERS])[0]
    return make(rng)
