"""The error tree. Every message holds the value, what was expected and what to do.

FerritinError
├── InputError (ValueError)          a file or array cannot be used; the command line exits with 1
│   ├── FormatError                  the file is not what its name says, or is damaged
│   ├── HeaderError                  the file opens, but what it says of the scan is missing or absurd
│   ├── ShapeError                   arrays that belong together differ in shape
│   └── AmbiguousError               two readings are possible; the message names the option that decides
├── ParameterError (ValueError)      a method's parameter is out of its range
├── UnknownMethodError (LookupError) no such stage, method or parameter
├── MemoryLimitError (MemoryError)   the run would not fit into the memory it was given
└── DeviceError (RuntimeError)       the device asked for is not there
"""

from collections.abc import Iterable
from contextlib import contextmanager
from itertools import islice
from typing import Any


def few(values: Iterable[Any], n: int = 8) -> str:
    """A list as a message shows it: in full when short, else the first n."""
    shown = [getattr(v, "tolist", lambda v=v: v)() for v in islice(values, n + 1)]
    return str(shown) if len(shown) <= n else f"{str(shown[:n])[:-1]}, ...]"


class FerritinError(Exception):
    """Base of every error that ferritin raises on purpose."""


class InputError(FerritinError, ValueError):
    """A file or an array cannot be used."""


class FormatError(InputError):
    """The file is not what its name says, or is damaged."""


class HeaderError(InputError):
    """The file opens, but what it says of the scan is missing or absurd."""


class ShapeError(InputError):
    """Arrays that belong together differ in shape."""


class AmbiguousError(InputError):
    """Two readings are possible; the message names the option that decides."""


class ParameterError(FerritinError, ValueError):
    """A parameter of a method is out of its range."""


class UnknownMethodError(FerritinError, LookupError):
    """No such stage, method or parameter."""


class MemoryLimitError(FerritinError, MemoryError):
    """The run would not fit into the memory that it was given."""


class DeviceError(FerritinError, RuntimeError):
    """The device that was asked for is not there."""


@contextmanager
def as_input_error():
    """Say as an InputError what a ValueError inside the block says: the kernels know no errors of the project."""
    try:
        yield
    except FerritinError:
        raise
    except ValueError as why:
        raise InputError(str(why)) from None
