"""Running text about the small world, for pre-training: its words and reasoning, none of the task formats.

``document(rng)`` gives one text. Verdicts, answers and relations appear only as prose ("so she kept it",
"both said the same"), never behind a prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from . import comments, facts, numbers, opinions, snippets, twins
from . import lexicon as lex

_LIKED = (
    "So {who} liked it.",
    "In the end {who} was happy with it.",
    "{who} told the others to get one.",
    "It was clear that {who} liked it.",
    "{who} smiled at the thought of it.",
    "The opinion of {who} was positive.",
    "{who} was in favour of it.",
    "{who} gave it five stars.",
    "{who} praised it to everyone.",
    "That was a positive report.",
)
_DISLIKED = (
    "So {who} did not like it.",
    "In the end {who} was unhappy with it.",
    "{who} told the others to keep away from it.",
    "It was clear that {who} did not like it.",
    "{who} sighed at the thought of it.",
    "The opinion of {who} was negative.",
    "{who} was against it.",
    "{who} gave it one star.",
    "{who} complained to everyone.",
    "That was a negative report.",
)
_SHRUGGED = (
    "So {who} did not mind it.",
    "{who} neither liked nor disliked it.",
    "{who} had no strong feeling.",
    "The opinion of {who} was neutral.",
    "{who} gave it three stars.",
    "{who} shrugged.",
    "{who} stayed neutral.",
    "{who} could live with it or without it.",
)


def opinion_text(rng: Random) -> str:
    """Somebody talks about a thing, and a sentence shows what they made of it."""
    who, domain = facts.person(rng), rng.choice(("film", "home", "clothing"))
    item = opinions.item_of(rng, domain)
    draw = rng.random()
    parts: list[str] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        label = rng.choices((opinions.POSITIVE, opinions.NEGATIVE, opinions.NEUTRAL), (0.4, 0.4, 0.2))[0]
        if draw < 0.2 and label != opinions.NEUTRAL:
            said = opinions.long_review(rng, label)
        elif draw < 0.5:
            said = opinions.short_review(rng, domain, label)
        elif label == opinions.NEUTRAL:
            said = opinions.sentence(opinions.neutral_clause(rng, domain, item))
        else:
            make = opinions.contrast if rng.random() < 0.35 else opinions.clause
            said = opinions.sentence(make(rng, domain, label == opinions.POSITIVE, item))
        ends = {opinions.POSITIVE: _LIKED, opinions.NEGATIVE: _DISLIKED, opinions.NEUTRAL: _SHRUGGED}[label]
        lead = rng.choice(
            (
                f"{who} spoke about the {item}. ",
                f"{who} wrote: ",
                f"{who} said of the {item}: ",
                f"This is what {who} wrote about the {item}. ",
            )
        )
        parts.append(f"{lead}{said} {rng.choice(ends).format(who=who)}")
        who = facts.person(rng, who)
    return " ".join(parts)


def statement_text(rng: Random) -> str:
    """Something is known, and what that makes certain, impossible or open."""
    parts = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        relation = rng.choice((facts.ENTAILED, facts.UNKNOWN, facts.CONTRADICTED))
        one, two = facts.pair(rng, relation)
        claim = (
            two[0].lower() + two[1:-1]
            if two.split()[0]
            in {"The", "A", "Nobody", "All", "Some", "None", "Not", "Most", "There", "Half", "No", "Only"}
            else two[:-1]
        )
        ends = {
            facts.ENTAILED: (
                f"So it is certain that {claim}.",
                f"{two} That follows from it.",
                f"{two} That must be so.",
                f"{two} Yes, this is true.",
            ),
            facts.UNKNOWN: (
                f"Whether {claim} we cannot tell.",
                f"{two} That may be so or not.",
                f"{two} Maybe so, maybe not.",
                f"{two} This is open.",
            ),
            facts.CONTRADICTED: (
                f"So it cannot be that {claim}.",
                f"{two} That cannot be so.",
                f"{two} No, this is false.",
                f"{two} That goes against it.",
            ),
        }[relation]
        lead = rng.choice(
            ("", "We know this: ", "It is told that this happened: ", "", f"{facts.person(rng)} saw it all. ")
        )
        parts.append(f"{lead}{one} {rng.choice(ends)}")
    return " ".join(parts)


def twin_text(rng: Random) -> str:
    """Two people tell the same thing, or nearly."""
    parts = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        same = rng.random() < 0.5
        one, two = twins.twin(rng, same)
        a = facts.person(rng)
        b = facts.person(rng, a)
        lead = rng.choice(
            (
                (f"{a} said: ", f"{b} said: "),
                (f"{a} told it so. ", f"{b} told it so. "),
                (f"{a} wrote: ", f"But {b} wrote: "),
                ("", "Or in other words: "),
            )
        )
        if lead[0] == "":
            same = True
            one, two = twins.twin(rng, True)
        ends = (
            (
                "So both said the same.",
                "That is the same thing.",
                "They agreed.",
                "These words mean the same.",
                "Did they agree? They said yes.",
            )
            if same
            else (
                "So they did not say the same.",
                "That is another thing.",
                "They did not agree.",
                "These words do not mean the same.",
                "Did they agree? They said no.",
            )
        )
        parts.append(f"{lead[0]}{one} {lead[1]}{two}" + ("" if lead[0] == "" else f" {rng.choice(ends)}"))
    return " ".join(parts)


def sum_text(rng: Random) -> str:
    """Sums told in words or written in signs."""
    parts = []
    for _ in range(rng.randint(3, 9)):
        draw = rng.random()
        total = numbers.draw_sum(rng, 1 if draw < 0.75 else 2)
        if draw < 0.55:
            a, b = total.numbers[0], total.numbers[1]
            forms = {
                "plus": (
                    f"{a} and {b} make {total.value}.",
                    f"If you add {b} to {a}, you get {total.value}.",
                    f"{total.words()} is {total.value}.",
                ),
                "minus": (
                    f"{a} without {b} leaves {total.value}.",
                    f"If you take {b} away from {a}, {total.value} are left.",
                    f"{total.words()} is {total.value}.",
                ),
                "times": (
                    f"{a} times {b} is {total.value}.",
                    f"{a} taken {b} times makes {total.value}.",
                    f"{total.words()} gives {total.value}.",
                ),
            }[total.operations[0]]
            parts.append(rng.choice(forms))
        elif draw < 0.85:
            parts.append(f"{total.signs()} = {total.value}.")
        else:
            parts.append(f"{total.words()} is {total.value}.")
    return " ".join(parts)


def story_text(rng: Random) -> str:
    """A counting story that keeps the count as it goes, or sums it up at the end."""
    story = numbers.draw_story(rng, rng.choice((1, 1, 2, 2, 3)))
    if rng.random() < 0.35:
        return " ".join(
            [*story.sentences, "Let us count. " + story.worked().replace("The answer is", "So it is")]
        )
    parts: list[str] = []
    steps = iter(story.steps)
    for i, text in enumerate(story.sentences):
        parts.append(text)
        if i in (0, story.aside_at):
            continue
        left, operation, right, value = next(steps)
        signs = numbers.Sum((left, right), (operation,), value).signs()
        parts.append(
            rng.choice(
                (
                    f"Now there are {value}.",
                    f"That makes {value}.",
                    f"{signs} = {value}.",
                    f"{signs} = {value}.",
                )
            )
        )
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
        lead = rng.choice(
            (f"{a} said to {b}: ", f"{a} wrote to {b}: ", f"Then {a} spoke. ", f"{a} shouted: ")
        )
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
    (opinion_text, 0.22),
    (statement_text, 0.14),
    (twin_text, 0.14),
    (sum_text, 0.14),
    (story_text, 0.14),
    (code_text, 0.10),
    (talk_text, 0.07),
    (knowledge_text, 0.05),
)


def document(rng: Random) -> str:
    """One text of a kind drawn by the shares in ``MAKERS``."""
    make = rng.choices([maker for maker, _ in MAKERS], [share for _, share in MAKERS])[0]
    return make(rng)
