from __future__ import annotations

from typing import Any

import pytest

from infra.release.request import OWNER_TAG
from tests.infra.settings.config import PROJECT, VALID, assert_broken, broken, changed, settings

TAGS = VALID[f"{PROJECT}:tags"]


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("tags.costenv", "dev", "tags-differ-in-case"),
        ("tags.aws:x", "y", "reserved-tag-key"),
        ("tags.AWS:x", "y", "reserved-tag-key"),
        (f"tags.{OWNER_TAG}", "y", "reserved-tag-key"),
        ("tags.x", "a<b", "tag-characters"),
        ("tags.x", "two\nlines", "tag-characters"),
        ("tags.a<b", "x", "tag-characters"),
        ("tags", {f"x{n}": "y" for n in range(33)} | TAGS, "too-many-tags"),
    ],
)
def test_a_wrong_tag_is_refused(path: str, value: Any, rule: str) -> None:
    assert_broken(path, value, rule)


def test_a_cost_tag_in_another_case_is_refused_at_its_key() -> None:
    assert_broken("tags", {"costEnv": "prod", "CostService": "x"}, "cost-tag-spelling", "tags.costEnv")
    assert_broken("tags.CostEnv", "", "cost-tag-missing", "tags")


def test_a_key_with_dots_is_quoted() -> None:
    assert_broken("tags", TAGS | {"a.b": "x", "A.b": "x"}, "tags-differ-in-case", 'tags["A.b"]')


def test_tags_accept_the_letters_of_all_languages() -> None:
    assert settings(changed("tags.größe", "大 1/2"))


def test_every_wrong_tag_is_reported() -> None:
    wrong = {"a<b": "x", "c": "<", "d": "y" * 257, "aws:x": "y"}
    assert {key for key, _ in broken(changed("tags", TAGS | wrong))} == {f"tags.{key}" for key in wrong}
