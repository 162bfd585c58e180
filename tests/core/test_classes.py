"""Class schemes."""

from __future__ import annotations

import pytest

from napari_liverdx.core.classes import ClassKind, ClassScheme, TissueClass
from tests.support.models import CLASSES


def test_class_scheme_rejects_nonsense() -> None:
    with pytest.raises(ValueError, match="#rrggbb"):
        TissueClass("a", "A", "red", ClassKind.NORMAL)
    one = TissueClass("a", "A", "#000000", ClassKind.NORMAL)
    with pytest.raises(ValueError, match="two"):
        ClassScheme((one,))
    with pytest.raises(ValueError, match="differ"):
        ClassScheme((one, one))
    with pytest.raises(KeyError, match="no class 'x'"):
        ClassScheme(CLASSES).index("x")
