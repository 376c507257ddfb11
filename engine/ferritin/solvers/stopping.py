"""When an iteration ends: a rule watches a number and keeps the record."""

from __future__ import annotations

from typing import Any

from ferritin.errors import ParameterError
from ferritin.stages import Record


class Stopping:
    """Stop when the watched number falls to the tolerance, or after so many iterations.

    `step(value)` returns True at the end. The value may be a device scalar: it is read only every `every` iterations.
    """

    def __init__(self, iterations: int, tolerance: float, *, every: int = 1, progress: Any = None):
        if iterations < 1 or not tolerance >= 0:
            raise ParameterError(
                f"iterations = {iterations}, tolerance = {tolerance}; expected at least 1 and a tolerance >= 0"
            )
        self.iterations, self.tolerance, self.every = iterations, tolerance, every
        self.progress = progress
        self.done, self.value, self.reason = 0, None, "iterations"

    @property
    def due(self) -> bool:
        """Whether this iteration's value will be read."""
        return (self.done + 1) % self.every == 0 or self.done + 1 >= self.iterations

    def step(self, value: Any = None) -> bool:
        """Count one iteration; `value` is needed only when `due`."""
        read = self.due
        self.done += 1
        if self.progress:
            self.progress(self.done, self.iterations)
        if read and value is not None:
            self.value = float(value)
            if self.value <= self.tolerance:
                self.reason = "tolerance"
                return True
        return self.done >= self.iterations

    def record(self, *notes: str) -> Record:
        """What happened."""
        return Record(self.done, self.value, self.reason, notes)
