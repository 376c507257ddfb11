"""The array namespaces that a test runs over, and the crossings between them and the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import strict


def cupy_or_skip() -> Any:
    """cupy, or a skip that says what is missing."""
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    try:
        found = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as why:
        pytest.skip(f"no CUDA device: {why}")
    if not found:
        pytest.skip("no CUDA device")
    return cupy


@pytest.fixture(params=["numpy", "strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> Any:
    """Each array namespace: numpy, the strict stand-in, and cupy where there is a device."""
    return {"numpy": lambda: np, "strict": lambda: strict.xp, "cupy": cupy_or_skip}[request.param]()


@pytest.fixture
def cupy() -> Any:
    """cupy, where there is a device."""
    return cupy_or_skip()


def _to_xp(xp: Any, x: Any) -> Any:
    return xp.asarray(x) if isinstance(x, np.ndarray) else x


def _to_np(x: Any) -> Any:
    return x.get() if hasattr(x, "get") and hasattr(x, "dtype") else x


@pytest.fixture
def to_xp(xp: Any) -> Any:
    """Copy a host array into the test's namespace; anything else passes."""
    return lambda x: _to_xp(xp, x)


@pytest.fixture
def to_np() -> Any:
    """Copy an array of any namespace to the host; anything else passes."""
    return _to_np
