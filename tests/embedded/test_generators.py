"""The ten generators: seeded, disjoint, varied, as declared, and not to be solved by single words."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.tasks import embedded
from traitscope.tasks.embedded import NAMES, SKILLS, TASKS, generate

CHOICE = [name for name in NAMES if TASKS[name].shares]


def text_of(name: str, row: dict[str, str]) -> str:
    return "\n".join(row[column] for column in TASKS[name].text_columns)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_fixes_the_rows_and_another_seed_gives_others(name: str) -> None:
    assert generate(name, "train", 40, 3) == generate(name, "train", 40, 3)
    assert generate(name, "train", 40, 3) != generate(name, "train", 40, 4)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_rows_are_the_first_of_more(name: str) -> None:
    assert generate(name, "eval", 120, 0)[:50] == generate(name, "eval", 50, 0)


@pytest.mark.parametrize("name", NAMES)
def test_thousands_of_rows_differ_and_no_split_shares_one_whatever_the_seeds(name: str) -> None:
    train = [text_of(name, row) for row in generate(name, "train", 3000, 0)]
    held_out = {text_of(name, row) for seed in (0, 1) for row in generate(name, "eval", 300, seed)}
    assert len(set(train)) == 3000
    assert not held_out & set(train)


def test_the_balanced_copy_shares_no_train_row_with_the_skewed_tasks_eval_rows() -> None:
    train = {row["text"] for row in generate("short_reviews_balanced", "train", 2000, 0)}
    assert not train & {row["text"] for row in generate("short_reviews", "eval", 500, 0)}


@pytest.mark.parametrize("name", NAMES)
def test_columns_lengths_and_skills_are_as_declared(name: str) -> None:
    task = TASKS[name]
    fewest, most = task.words
    for row in generate(name, "train", 1000, 1):
        assert tuple(row) == task.columns
        assert all(isinstance(value, str) and value == value.strip() and value for value in row.values())
        assert fewest <= len(text_of(name, row).split()) <= most
    assert SKILLS[name] == task.skills and task.skills


@pytest.mark.parametrize("name", CHOICE)
def test_class_shares_are_exact_over_every_fifty_rows(name: str) -> None:
    shares = TASKS[name].shares
    assert sum(shares.values()) == pytest.approx(1.0)
    rows = generate(name, "eval", 200, 5)
    for start in range(0, 200, 50):
        counts = Counter(row["label"] for row in rows[start : start + 50])
        assert counts == {label: round(50 * share) for label, share in shares.items()}


def best_single_word_rule(name: str, rows: list[dict[str, str]]) -> float:
    """Accuracy of the best rule "this word there: one class, else another" on the rows that it was made from."""
    labels = sorted(TASKS[name].shares)
    totals = np.array([sum(row["label"] == label for row in rows) for label in labels])
    with_word: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(labels)))
    for row in rows:
        for word in set(text_of(name, row).lower().replace(".", " ").replace(",", " ").replace("!", " ").split()):
            with_word[word][labels.index(row["label"])] += 1
    return max(float(counts.max() + (totals - counts).max()) for counts in with_word.values()) / len(rows)


@pytest.mark.parametrize("name", CHOICE)
def test_no_single_word_solves_a_task(name: str) -> None:
    rows = generate(name, "train", 2000, 0)
    assert best_single_word_rule(name, rows) < max(TASKS[name].shares.values()) + 0.2


# Held-out accuracy that word counts alone may reach; label noise bounds every task at about 0.96.
WORD_COUNTS_CEILING = {
    "long_reviews": 0.62,
    "short_reviews": 0.88,
    "short_reviews_balanced": 0.72,
    "clothing_reviews": 0.70,
    "entailment": 0.78,
    "paraphrase": 0.63,
    "toxicity": 0.945,
}


@pytest.mark.parametrize("name", CHOICE)
def test_word_counts_alone_do_not_solve_a_task(name: str) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, held_out = generate(name, "train", 1500, 0), generate(name, "eval", 600, 0)
    counts = CountVectorizer(binary=True, token_pattern=r"\w+")
    x = counts.fit_transform([text_of(name, row) for row in train])
    model = LogisticRegression(C=0.3, max_iter=300).fit(x, [row["label"] for row in train])
    x_held_out = counts.transform([text_of(name, row) for row in held_out])
    assert model.score(x_held_out, [row["label"] for row in held_out]) < WORD_COUNTS_CEILING[name]


def test_an_unknown_name_an_unknown_split_and_too_many_rows_are_refused_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(TraitscopeError, match=r"no embedded task 'reviews'.*\n.*long_reviews"):
        generate("reviews", "train", 5, 0)
    with pytest.raises(TraitscopeError, match=r"no split 'test'.*\n.*train or eval"):
        generate("arithmetic", "test", 5, 0)
    monkeypatch.setattr(embedded, "_MAX_TRIES", 2)
    with pytest.raises(TraitscopeError, match=r"no more than about .* different eval rows.*\n.*fewer"):
        generate("arithmetic", "eval", 1000, 0)
