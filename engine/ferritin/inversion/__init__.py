"""From a field to its sources: what the stages background, dipole and sources share."""
