"""What the README lets its reader try: it does what it says."""

from __future__ import annotations

import pytest

from sandbox import rollback
from tests.lifecycle.account import Account


def test_a_bad_model_is_rolled_back_while_clients_ask(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(account.sandbox, "say", said.append)
    engine: list[str] = []
    rollback.rehearse(account.sandbox, engine.append, "never")
    output = "\n".join(engine)
    assert "-error-rate fired: Threshold Crossed" in output
    assert "is live and answers as before" in output
    assert "ModelError" in said[-2]
    assert said[-1].endswith("answers: setosa, virginica")
