"""Where in the model bucket the program keeps what is its own; artifacts are uploaded anywhere else."""

UPLOADED = "artifacts/"
"""Where people upload by convention, and where `python -m infra policy uploader` lets them."""

RELEASED = "models/"
"""What Models name: the execution role reads here, and nowhere else."""


def released(endpoint: str, variant: str | None = None) -> str:
    """Where the released artifacts of an endpoint are, or those of one of its several variants. No endpoint's prefix
    is the beginning of another one's: names have no slash."""
    return f"{RELEASED}{endpoint}/{variant}/" if variant else f"{RELEASED}{endpoint}/"


HISTORY = "releases/"
"""What became of each release."""

AUTOSCALING = "autoscaling/"
"""The autoscaling of an endpoint, while it is off."""
