"""Model cards reject nonsense."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.support.models import make_card


def test_cards_reject_nonsense() -> None:
    for change in ({"mpp": 0}, {"temperature": -1}, {"surprise": 1}, {"name": "No Spaces"}):
        with pytest.raises(ValidationError):
            make_card(**change)
