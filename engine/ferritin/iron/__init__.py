"""Brain iron: calibrations of R2* and susceptibility, concentrations by age, tables of regions."""

from ferritin.iron.hallgren_sourander import CURVES, expected_iron
from ferritin.iron.regions import region_table
from ferritin.registry import export

export(__name__, globals())

__all__ = ["CURVES", "chi", "expected_iron", "r2star", "region_table"]
