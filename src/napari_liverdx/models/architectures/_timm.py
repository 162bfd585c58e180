"""timm, imported so that it does not bring down a process that draws with Mesa.

timm imports torchvision, which imports Triton, which carries its own LLVM. Mesa's software and
AMD drivers load another LLVM into the global symbol scope, and if they came first, as they do in
a napari window, Triton binds to the wrong one and the process dies. Deep binding makes each
library prefer its own symbols.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["timm"]


@contextmanager
def _own_symbols_first() -> Iterator[None]:
    if not hasattr(os, "RTLD_DEEPBIND"):
        yield
        return
    before = sys.getdlopenflags()
    sys.setdlopenflags(before | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        sys.setdlopenflags(before)


with _own_symbols_first():
    import timm
