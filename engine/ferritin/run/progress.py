"""How far a run is: bars on a terminal, one line a stage elsewhere, nothing in Python unless asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

Advance = Callable[[int, int], None]
"""advance(i, n): i of n steps of the running stage are done."""


class Progress:
    """Tells nothing; the base of those that do.

    with progress.stages(["mask", "dipole"]) as told:
        with told.stage("mask", "signal") as advance: ...
    """

    @staticmethod
    def silent() -> Progress:
        """For use from Python and with --quiet."""
        return Progress()

    @staticmethod
    def for_terminal(stream: IO[str] | None = None) -> Progress:
        """Bars when the stream (standard error) is a terminal, else one line a stage."""
        stream = stream or sys.stderr
        return _Bars(stream) if stream.isatty() else _Lines(stream)

    @contextmanager
    def stages(self, names: Sequence[str]) -> Iterator[Progress]:
        """The run: the stages that will come, in order."""
        yield self

    @contextmanager
    def stage(self, stage: str, method: str) -> Iterator[Advance]:
        """One stage; yields what an iterative method calls after each step."""
        yield lambda i, n: None


class _Lines(Progress):
    """For logs: a line when a stage ends."""

    def __init__(self, stream: IO[str]):
        self.stream, self.done, self.total = stream, 0, 0

    @contextmanager
    def stages(self, names: Sequence[str]) -> Iterator[Progress]:
        self.done, self.total = 0, len(names)
        yield self

    @contextmanager
    def stage(self, stage: str, method: str) -> Iterator[Advance]:
        start, word = time.perf_counter(), "failed after "
        self.done += 1
        try:
            yield lambda i, n: None
            word = ""
        finally:
            seconds = time.perf_counter() - start
            print(f"[{self.done}/{self.total}] {stage} ({method}) {word}{seconds:.1f} s", file=self.stream, flush=True)


class _Bars(Progress):
    """For people: a bar for each stage, those to come already in sight."""

    def __init__(self, stream: IO[str]):
        self.stream = stream
        self.bars: Any = None
        self.tasks: dict[str, Any] = {}

    @contextmanager
    def stages(self, names: Sequence[str]) -> Iterator[Progress]:
        from rich import progress
        from rich.console import Console

        columns = (
            progress.SpinnerColumn(finished_text="[green]✓"),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=28),
            progress.TextColumn("{task.fields[steps]}", justify="right"),
            progress.TimeElapsedColumn(),
        )
        with progress.Progress(*columns, console=Console(file=self.stream)) as self.bars:
            self.tasks = {name: self.bars.add_task(f"[dim]{name}", total=1, start=False, steps="") for name in names}
            yield self

    @contextmanager
    def stage(self, stage: str, method: str) -> Iterator[Advance]:
        task, bars = self.tasks[stage], self.bars
        bars.update(task, description=f"{stage} [dim]{method}", total=None)
        bars.start_task(task)

        def advance(i: int, n: int) -> None:
            bars.update(task, completed=i, total=n, steps=f"{i}/{n}")

        try:
            yield advance
        except BaseException:
            bars.update(task, description=f"{stage} [red]failed", total=1)
            bars.stop_task(task)
            raise
        bars.update(task, completed=1, total=1)
