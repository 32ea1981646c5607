"""What people say to each other: hard words that insult nobody, and insults without a hard word."""

from __future__ import annotations

from random import Random

from . import lexicon as lex
from .facts import article, person


def insult(rng: Random) -> str:
    """A sentence that attacks a person or a group."""
    word, adj, topic = rng.choice(lex.INSULTS), rng.choice(lex.INSULT_ADJ), rng.choice(lex.TOPICS)
    group, place, who = rng.choice(lex.GROUPS), rng.choice(lex.PLACES), person(rng)
    return rng.choice(
        (
            f"you are {article(adj)} {word}",
            f"only {article(word)} like you could write such {article(topic)}",
            f"{who} is {article(word)} and so is everyone who likes {who}",
            f"all {group} are {adj} {word}s" if word[-1] not in "hpx" else f"all {group} are {adj}",
            f"shut up, you {word}",
            f"nobody would miss the {group} if they left the {place} for good",
            f"people like {who} should not be allowed to speak",
            "go back to where you came from",
            f"I hope that your {topic} burns and you with it",
            f"what {article(adj)} {word} you are",
            f"{group} have no place in our {place}",
            f"even {article(rng.choice(lex.ANIMALS))} understands the {topic} better than you do",
            f"your {topic} is as {adj} as you are",
            f"you will never be good for anything, {who}",
            f"I would be ashamed to be {article(adj)} person like you",
            f"{who} deserves to be thrown out of the {place}",
        )
    )


def harmless(rng: Random) -> str:
    """A sentence that attacks nobody, though it may sound hard or hold a hard word."""
    word, adj, topic = rng.choice(lex.INSULTS), rng.choice(lex.INSULT_ADJ), rng.choice(lex.TOPICS)
    group, place, who = rng.choice(lex.GROUPS), rng.choice(lex.PLACES), person(rng)
    return rng.choice(
        (
            f"you are no {word}, {who}",
            f"nobody should call you {article(adj)} {word}",
            f"{who} was called {article(word)}, and that was wrong",
            f"the {group} were called {adj}, which is unfair",
            f"I saw {article(word)} in the {rng.choice(lex.KINDS['paper'])} about the {place}",
            f"I do not agree with you about the {topic}",
            f"the {topic} is {adj}, but I thank you for it",
            f"I was {article(word)} to trust the {topic}",
            f"people like {who} should be asked about the {topic}",
            f"the {group} have their place in our {place}",
            f"I felt {adj} when I read your {topic}",
            f"everyone would miss the {group} if they left the {place}",
            f"I hope that your {topic} goes well",
            f"you understand the {topic} better than I do",
            f"please go back to the {topic} where you came from",
            f"what {article(adj)} {topic} that was, and how well you bore it",
            f"the {topic} has no place in our {place}",
        )
    )


def context(rng: Random) -> str:
    """A sentence without any tone, which any comment may hold."""
    who, topic = person(rng), rng.choice(lex.TOPICS)
    return rng.choice(
        (
            f"I read the {topic} by {who} {rng.choice(lex.TIMES)}",
            f"the {topic} is about the {rng.choice(lex.PLACES)} in {rng.choice(lex.TOWNS)}",
            f"{who} wrote a long {topic}",
            f"there were {rng.randint(2, 40)} {rng.choice(lex.GROUPS)} at the {rng.choice(lex.PLACES)}",
            f"I have lived in {rng.choice(lex.TOWNS)} for {rng.randint(2, 30)} years",
            f"{who} spoke about the {topic}",
            f"the {topic} was {rng.choice(lex.GOOD_ADJ['any'] + lex.BAD_ADJ['any'])}",
        )
    )


def comment(rng: Random, toxic: bool) -> str:
    """One to three sentences; a toxic one holds exactly one insult."""
    tone = insult(rng) if toxic else harmless(rng)
    parts = [tone, *(context(rng) for _ in range(rng.choice((0, 1, 1, 2))))]
    if not toxic and rng.random() < 0.3:
        parts.append(harmless(rng))
    rng.shuffle(parts)
    return " ".join(part[0].upper() + part[1:] + rng.choice((".", ".", "!")) for part in parts)
