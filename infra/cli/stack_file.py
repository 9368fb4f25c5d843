"""A stack by its name: its settings and its AWS, without the Pulumi engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.cli.place import Place, located
from infra.cli.project import Project, StackFileError
from infra.cli.stack_text import StackText

if TYPE_CHECKING:
    from infra.aws.session import AwsSession
    from infra.diagnostics.problem import Problem
    from infra.settings.stack import Settings


def stack_path(stack: str, directory: Path) -> Path:
    """The stack's file in the project that `directory` lies in.

    Args:
        stack: its name, or `organization/project/stack`.

    Raises:
        StackFileError: there is no project, or no such file in it.
    """
    files = Project.at(directory.absolute()).stack_directory
    path = files / f"Pulumi.{stack.rpartition('/')[2]}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(each.name for each in files.glob("Pulumi.*.yaml"))) or "none"
        raise StackFileError(f"there is no {path.name} in {files}. Stack files there: {there}.")
    return path


@dataclass(frozen=True)
class StackFile:
    """`Pulumi.<stack>.yaml` of a project. Values that only the engine knows are warned of on stderr."""

    stack: str
    text: StackText

    @classmethod
    def find(cls, stack: str, directory: Path) -> StackFile:
        """
        Raises:
            StackFileError: there is no such stack, or its file is wrong whatever the settings in it are.
        """
        text = StackText.read(stack_path(stack, directory))
        if text.problems:
            raise _refused(text.path, text.problems)
        for place, warning in text.not_checked:
            print(located(warning, place, text.path), file=sys.stderr)
        return cls(stack.rpartition("/")[2], text)

    def settings(self) -> Settings:
        """The stack's settings; secrets among them read as `stack_text.SECRET`.

        Raises:
            StackFileError: with every problem of the configuration at once, each with its place.
        """
        from infra.diagnostics.problem import ConfigurationError
        from infra.settings.load import load

        if (endpoints := f"{self.text.project}:endpoints") in self.text.secret_as_a_whole:
            raise StackFileError(
                f"{self.text.path.name}: {endpoints} is secret as a whole, and only the engine can decrypt it. Make "
                "the single values in it secret that are: pulumi config set --secret --path "
                f"'{endpoints}.ENDPOINT.environment.KEY'"
            )
        try:
            return load(self.text.pulumis_config, self.text.project, self.text.secret, self.stack)
        except ConfigurationError as error:
            if not (problems := [each for each in error.problems if self.text.can_tell(each)]):
                missing = ", ".join(each.key for each in error.problems)
                raise StackFileError(
                    f"{self.text.path} lacks what this command has to know: {missing}. As the engine alone opens "
                    f"the environments ({self.text.environments}), give these values in the file, or in Pulumi.yaml."
                ) from None
            raise _refused(self.text.path, [(self.text.place(each.path), each) for each in problems]) from None

    def session(self, tolerant: bool = False) -> AwsSession:
        """AWS as the stack's `aws` provider sees it.

        Args:
            tolerant: whether misspelt keys of the provider count as what they are like, and unknown ones are left out.

        Raises:
            StackFileError: a key of the provider is secret, or no region is known.
            AwsSessionRefused: these calls cannot follow a key of the provider, or are of another account.
        """
        from infra.aws.errors import aws_calls
        from infra.aws.session import AwsSession
        from infra.settings.load import provider_config

        if secret := sorted(key for key in self.text.secret if key.startswith("aws:")):
            raise StackFileError(
                f"{self.text.path.name}: {', '.join(secret)} is secret, and only the engine can decrypt it. Take it "
                "out, and give credentials through the environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, …), as pulumi "
                "takes them too."
            )
        config = self.text.pulumis_config
        aws = provider_config(config, self.text.project) if tolerant else config
        session = AwsSession({key: value for key, value in aws.items() if key.startswith("aws:")})
        with aws_calls("credentials"):
            if session.region is None:
                raise StackFileError(f"{self.text.path.name} has no aws:region that can be read. Set AWS_REGION.")
        _ = session.account_id  # refuses credentials of an account that the provider would refuse
        return session


def _refused(path: Path, placed: Sequence[tuple[Place, Problem]]) -> StackFileError:
    """As `validate` shows it."""
    count = "1 problem" if len(placed) == 1 else f"{len(placed)} problems"
    ordered = sorted(placed, key=lambda each: (each[0].line, each[0].column))
    lines = "\n".join(f"  {located(problem, place, path)}" for place, problem in ordered)
    return StackFileError(f"the stack file has {count}:\n{lines}")
