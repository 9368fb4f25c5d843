"""The order of a replacement: nothing that an endpoint depends on is deleted before the endpoint has moved."""

from __future__ import annotations

from copy import copy

import pulumi


def keep_until_replaced(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """A stack transformation: create the replacement of every resource before its predecessor is deleted.

    Without it a resource whose program gives a physical name is deleted first, even when the name itself changes
    (pulumi-terraform-bridge, `nameRequiresDeleteBeforeReplace`), and with it every resource that depends on it and
    would be replaced: a new role name deletes the live EndpointConfiguration and Model. With it the engine deletes
    predecessors at the end of the deployment, after UpdateEndpoint, and after a rollback it keeps them.

    A resource that AWS does not accept twice asks for the opposite itself, and no endpoint may depend on it.
    """
    if not isinstance(args.resource, pulumi.CustomResource) or args.opts.delete_before_replace is not None:
        return None
    opts = copy(args.opts)
    opts.delete_before_replace = False
    return pulumi.ResourceTransformationResult(args.props, opts)
