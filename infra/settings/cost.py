"""The settings of what the stack may cost."""

from __future__ import annotations

from infra.settings.section import Section, setting

_PROJECT = "this project: on-demand prices of AWS's price list, for 730 hours"


class CostSettings(Section):
    """A limit on the price of the endpoints."""

    monthly_limit: float | None = setting(
        "US dollars a month. `pulumi preview` and `pulumi up` fail before anything is registered if the largest fleets "
        "of all endpoints together cost more; requests are not counted. Requires prices.REGION.json (`python -m infra "
        "cost update-prices`).",
        default=None,
        gt=0,
        allow_inf_nan=False,
        example=2000,
        source=_PROJECT,
    )
    warning_percent: float = setting(
        "Percent of monthlyLimit above which `pulumi preview` and `pulumi up` warn.",
        default=80,
        gt=0,
        le=100,
        example=80,
        source=_PROJECT,
    )
