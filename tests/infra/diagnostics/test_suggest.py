"""The word that was probably intended."""

from __future__ import annotations

import botocore.session
import pytest

from infra.diagnostics.suggest import AWS_WORDS, nearest
from infra.settings.reference import keys

SECTIONS = {
    path[:-1]: [key.path[-1] for key in keys() if key.path[:-1] == path[:-1]] for path in {key.path for key in keys()}
}
"""The keys of each section, by its path."""


def misspelt(key: str) -> list[str]:
    """With a letter doubled, one left out, in snake case and in capitals."""
    middle = len(key) // 2
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
    return [word for word in (key[:middle] + key[middle - 1 :], key[:-2] + key[-1], snake, key.upper()) if word != key]


@pytest.mark.parametrize("section", sorted(SECTIONS), ids=".".join)
def test_a_misspelt_key_is_recognized(section: tuple[str, ...]) -> None:
    known = SECTIONS[section]
    assert {key: {nearest(wrong, known) for wrong in misspelt(key)} for key in known} == {key: {key} for key in known}


OURS = [(word, ours) for word, keys_of_word in AWS_WORDS.items() for ours in keys_of_word]


@pytest.mark.parametrize(("word", "ours"), OURS)
def test_a_word_of_aws_is_recognized(word: str, ours: str) -> None:
    sections = [known for known in SECTIONS.values() if ours in known]
    assert sections
    for known in sections:
        assert word not in known
        assert nearest(word[0].lower() + word[1:], known) in AWS_WORDS[word]


@pytest.mark.parametrize("word", AWS_WORDS)
def test_a_word_of_aws_is_one(word: str) -> None:
    session = botocore.session.get_session()
    services = (session.get_service_model(name) for name in ("sagemaker", "application-autoscaling"))
    assert any(
        word in service.shape_for(name).members
        for service in services
        for name in service.shape_names
        if service.shape_for(name).type_name == "structure"
    )


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("env", ["environment", "endpoints"], "environment"),
        ("prod", ["production", "development"], "production"),
        ("instance_type", ["instanceType"], "instanceType"),
        ("containerStartupHealthCheckTimeoutInSeconds", ["startupHealthCheckSeconds"], "startupHealthCheckSeconds"),
        ("xyzzy", ["min", "max"], None),
    ],
)
def test_a_word_is_recognized_by_its_beginning_or_most_of_its_letters(
    word: str, known: list[str], expected: str | None
) -> None:
    assert nearest(word, known) == expected
