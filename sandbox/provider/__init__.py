"""A stand-in for `pulumi-resource-aws`: the AWS types this project uses, on any endpoint that boto3 is pointed at.

`python -m sandbox.provider ENGINE_ADDRESS` is what a `pulumi-resource-aws` on PATH executes.
"""
