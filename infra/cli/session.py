"""The AWS session of a stack, without the Pulumi engine."""

from __future__ import annotations

from infra.aws.errors import aws_calls
from infra.aws.session import AwsSession
from infra.cli.project import StackFileError
from infra.cli.stack_file import StackFile
from infra.settings.load import provider_config


def aws_session(file: StackFile, tolerant: bool = False) -> AwsSession:
    """A session as the `aws` provider of the stack would open it.

    Args:
        tolerant: read misspelt keys of the provider, and ignore unknown ones.

    Raises:
        StackFileError: a key of the provider is secret, or no region is known.
        AwsSessionRefused: the session cannot honor a key of the provider, or is of another account.
    """
    if secret := sorted(key for key in file.secret_keys if key.startswith("aws:")):
        raise StackFileError(
            f"{file.path.name}: {', '.join(secret)} is secret, and only the engine can decrypt it. Remove it, and set "
            "credentials in the environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, …), where Pulumi reads them too."
        )
    config = provider_config(file.pulumi_config, file.project.name) if tolerant else file.pulumi_config
    session = AwsSession(config, patient=False)
    with aws_calls("credentials"):
        if session.region is None:
            raise StackFileError(f"{file.path.name} has no readable aws:region. Set it in the file, or set AWS_REGION.")
    _ = session.account_id  # refuses credentials of an account that the provider would refuse
    return session
