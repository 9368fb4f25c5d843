"""Metric math of graphs alone: PERIOD, and searches for metrics (CloudWatch User Guide, "Using math expressions" and
"Search expression syntax")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sandbox.aws.metrics import MetricKey

_PERIOD = re.compile(r"PERIOD\((\w+)\)")
_SEARCH = re.compile(r"SEARCH\(\s*'\{([^},]+)((?:,[^},]+)*)\}\s*([^']*)',\s*'([^']+)'\s*(?:,\s*(\d+)\s*)?\)")
_TERM = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s"]+))\s*')
_TOKEN = re.compile(r"[A-Za-z]+|\d+")

#: The series that PERIOD is replaced by: how many seconds of AWS's time each period has. IDs of queries begin in lower
#: case.
PERIOD = "PERIOD"

MAX_FOUND = 500
"""Time series that a search returns at most."""


def in_full(queries: Iterable[Mapping[str, Any]], period: int, known: Iterable[MetricKey]) -> Iterator[dict[str, Any]]:
    """GetMetricData's queries with a query for each metric that a search finds, of which `ResultId` and `Found` say
    whose it is and what was found.

    PERIOD is in AWS's seconds: a period in which time passes faster here has more of what AWS publishes once a minute.

    Raises:
        ValueError: the search is not one of those known here.
    """
    for query in queries:
        expression = _PERIOD.sub(PERIOD, query.get("Expression", ""))
        if "SEARCH(" not in expression:
            yield {**query, **({"Expression": expression} if expression else {})}
            continue
        search = _SEARCH.search(expression)
        if search is None or "SEARCH(" in expression[search.end() :]:
            raise ValueError(f"The search expression {expression!r} is not in the sandbox.")
        namespace, names, terms, statistic, _ = search.groups()
        dimensions = {name.strip() for name in names.split(",") if name.strip()}
        found = [key for key in known if _matches(key, namespace.strip(), dimensions, terms)]
        for number, key in enumerate(sorted(found, key=lambda key: sorted(key.dimensions))[:MAX_FOUND]):
            id_ = f"{query['Id']}_{number}"
            listed = [{"Name": name, "Value": value} for name, value in key.dimensions]
            metric = {"Namespace": key.namespace, "MetricName": key.name, "Dimensions": listed}
            stat = {"Metric": metric, "Period": period, "Stat": statistic}
            yield {"Id": f"{id_}_metric", "MetricStat": stat, "ReturnData": False}
            of_metric = expression[: search.start()] + f"{id_}_metric" + expression[search.end() :]
            label = " ".join(value for _, value in sorted(key.dimensions))
            yield {**query, "Id": id_, "Expression": of_metric, "ResultId": query["Id"], "Found": label}


def _matches(key: MetricKey, namespace: str, dimensions: set[str], terms: str) -> bool:
    """Whether a metric has the schema and every term: all of a value in quotes, or else each of its tokens."""
    values = {**dict(key.dimensions), "MetricName": key.name}
    if key.namespace != namespace or {name for name, _ in key.dimensions} != dimensions:
        return False
    if _TERM.sub("", terms).strip():
        raise ValueError(f"The search term {terms!r} is not in the sandbox.")
    for name, exact, partial in _TERM.findall(terms):
        value = values.get(name, "")
        if exact and value != exact:
            return False
        if not {token.lower() for token in _TOKEN.findall(partial)} <= {t.lower() for t in _TOKEN.findall(value)}:
            return False
    return True
