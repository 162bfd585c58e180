"""What version 0.1.0 wrote; see ``tests/data/v010/README.md``."""

from __future__ import annotations

import json
from typing import Any

from tests.support.paths import REPOSITORY

GOLDEN = REPOSITORY / "tests" / "data" / "v010"

WROTE: dict[str, Any] = json.loads((GOLDEN / "identities.json").read_text(encoding="utf-8"))
"""Names, UUIDs and keys that it derived."""
