"""Non-haem iron of the healthy brain by region and age, as measured by chemistry."""

from __future__ import annotations

import math
from types import MappingProxyType

from ferritin.errors import ParameterError

CURVES = MappingProxyType(
    {
        "globus_pallidus": (214.1, 0.09, 3.7),
        "putamen": (146.2, 0.04, 4.6),
        "caudate": (96.6, 0.05, 3.3),
        "frontal_white_matter": (39.5, 0.10, 3.1),
    }
)
"""A, k, C of A (1 − exp(−k·age)) + C in mg iron per kg of fresh tissue (the paper has mg per 100 g); age in years."""


def expected_iron(region: str, age_years: float) -> float:
    """Iron [mg/kg fresh tissue] of a region at an age, 0 to 100 years.

    References
    ----------
    Hallgren B, Sourander P. J Neurochem 1958;3:41.
    """
    if region not in CURVES:
        raise ParameterError(f"region '{region}' has no curve; there are {', '.join(CURVES)}")
    if not 0 <= age_years <= 100:
        raise ParameterError(f"age {age_years} years; expected 0 to 100")
    rise, rate, start = CURVES[region]
    return rise * (1 - math.exp(-rate * age_years)) + start
