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
            f"{who} is {article(word)}, and so is everyone who likes {who}",
            f"all {group} are {adj}",
            f"shut up about the {topic}, you {word}",
            f"nobody would miss the {group} if they left the {place}",
            f"people like {who} should not be allowed to speak",
            "go back to where you came from",
            f"I hope that your {topic} fails and you with it",
            f"what {article(adj)} {word} you are",
            f"the {group} have no place in our {place}",
            f"even {article(word)} understands the {topic} better than you do",
            f"your {topic} is as {adj} as you are",
            f"you will never be good for anything, {who}",
            f"I would be ashamed to be {article(adj)} person like you",
            f"{who} deserves to be thrown out of the {place}",
            f"nobody could be more {adj} than you",
            f"I do not know a more {adj} {word} than {who}",
        )
    )


def harmless(rng: Random) -> str:
    """A sentence that attacks nobody, in the words of those that do."""
    word, adj, topic = rng.choice(lex.INSULTS), rng.choice(lex.INSULT_ADJ), rng.choice(lex.TOPICS)
    group, place, who = rng.choice(lex.GROUPS), rng.choice(lex.PLACES), person(rng)
    return rng.choice(
        (
            f"you are no {adj} {word}",
            f"nobody should say that you are {article(adj)} {word}",
            f"only you could write such {article(topic)} about {article(word)}",
            f"{who} saw {article(word)}, and so did everyone who likes {who}",
            f"{who} was called {article(word)}, and nobody should be",
            f"not all {group} are {adj}, and not all are good",
            f"all {group} were called {adj}, and that should not be",
            f"the {topic} about the {word} is up to you",
            f"everyone would miss the {group} if they left the {place}",
            f"nobody would like it if the {group} left the {place}",
            f"people like {who} should be allowed to speak",
            f"people should not speak as if you are {article(word)}",
            "tell me about where you came from before you go back",
            f"I hope that your {topic} is good and you with it",
            f"what {article(adj)} {topic} you have to speak about",
            f"the {topic} about the {word} has no place in our {place}",
            f"the {group} have their place in our {place}",
            f"you do understand the {topic} better than I do, even the one about {article(word)}",
            f"your {topic} is not as {adj} as you feel",
            f"the {topic} is {adj}, and you are good to speak about it",
            f"you will never be bad for anything, {who}",
            f"I would never be ashamed to be a person like you, only to be {adj}",
            f"{who} never deserves to be thrown out of the {place}",
            f"nobody could be less {adj} than you",
            f"I do not know a less {adj} person than {who}",
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
