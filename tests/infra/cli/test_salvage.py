"""What is read of a stack file that is not YAML as a whole."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from infra.cli.salvage import names_below, readable

BROKEN = """\
# yaml-language-server: $schema=./schema/stack.schema.json
config:
  aws:region: ap-northeast-1  # Tokyo
  aws:assumeRoles:
    - roleArn: arn:aws:iam::123456789012:role/deployer
  p:endpoints:
    # the first one
    iris:
      model: {path: models
    rose:
      model: {path: models}
  "p:bucket": {name: models}
secretsprovider: awskms://alias/pulumi
"""


def test_keys_whose_own_lines_are_yaml_are_kept_and_others_left_out() -> None:
    assert YAML(typ="safe", pure=True).load(readable(BROKEN)) == {
        "config": {
            "aws:region": "ap-northeast-1",
            "aws:assumeRoles": [{"roleArn": "arn:aws:iam::123456789012:role/deployer"}],
            "p:bucket": {"name": "models"},
        }
    }


@pytest.mark.parametrize("content", ["", "config: [", "just words", "config:\n\tx: 1\n"])
def test_a_file_without_such_keys_is_an_empty_configuration(content: str) -> None:
    assert YAML(typ="safe", pure=True).load(readable(content)) == {"config": None}


def test_the_keys_below_one_are_found_by_their_indentation() -> None:
    assert names_below(BROKEN, "p:endpoints") == ["iris", "rose"]
    assert names_below(BROKEN, "p:bucket") == names_below(BROKEN, "p:alarms") == []
