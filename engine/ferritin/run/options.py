"""Command-line options that click does not have: several values after one option, and sizes such as 6GiB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import click

from ferritin.errors import ParameterError


class SeveralValues(click.Command):
    """A command whose `--te-ms` takes every number that follows it: `--te-ms 4 12 20 28`."""

    several: ClassVar[tuple[str, ...]] = ("--te-ms",)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        spread, option = [], None
        for arg in args:
            if option and _is_number(arg):
                spread += [option, arg]
                continue
            option = arg if arg in self.several else None
            spread += [] if option else [arg]
        return super().parse_args(context, spread)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def size_in_bytes(text: str | None) -> int | None:
    """`6GiB`, `800 MB` or a plain number of bytes; None passes. Raises ParameterError."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d*)?|\.\d+)\s*([kMGT]?)(i?)B?\s*", text)
    if not match:
        raise ParameterError(f"--memory {text!r} is not a size; write for example 6GiB")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " "))


def named_files(pairs: tuple[str, ...]) -> dict[str, Path | tuple[Path, ...]]:
    """`ARTIFACT=FILE` texts as a mapping; an artifact that comes several times has several files, in their order."""
    out: dict[str, list[Path]] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not file:
            raise ParameterError(f"--in {pair!r} is not ARTIFACT=FILE, for example local_field=field.nii.gz")
        out.setdefault(name.strip(), []).append(Path(file))
    return {name: tuple(paths) if len(paths) > 1 else paths[0] for name, paths in out.items()}
