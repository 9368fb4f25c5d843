"""Where in the model bucket the program keeps what is its own; artifacts are uploaded anywhere else."""

RELEASED = "models/"
"""What Models name: the execution role reads here, and nowhere else."""

HISTORY = "releases/"
"""What became of each release."""

AUTOSCALING = "autoscaling/"
"""The autoscaling of an endpoint, while it is off."""
