"""Checks and facts that every reader needs: the path, the content hash, the user's overrides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ferritin.errors import FormatError, HeaderError, InputError, ParameterError
from ferritin.scan import Scan
from ferritin.units import ms_to_s

_FULL_HASH_BYTES = 64 << 20
_BLOCK, _N_BLOCKS = 1 << 18, 64
FREQUENCY_TOLERANCE = 0.05
"""How far the nominal field strength may be from the proton frequency's: magnets sold as 3 T have 2.89 T."""


def existing(path: str | Path) -> Path:
    """The path, when it is there and not empty. Raises InputError or FormatError."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} is not there; expected a raw .h5 file or a folder of NIfTI files")
    if path.is_file() and path.stat().st_size == 0:
        raise FormatError(f"{path} is empty (0 bytes); copy or export it again")
    return path


def content_hash(path: Path) -> str:
    """ "sha256:..." of the whole content; above 64 MiB of the size and 64 blocks of 256 KiB spread over the file."""
    size = path.stat().st_size
    with open(path, "rb") as f:
        if size <= _FULL_HASH_BYTES:
            return f"sha256:{hashlib.file_digest(f, 'sha256').hexdigest()}"
        digest = hashlib.sha256(str(size).encode())
        for i in range(_N_BLOCKS):
            f.seek((size - _BLOCK) * i // (_N_BLOCKS - 1))
            digest.update(f.read(_BLOCK))
    return f"sha256-of-64-blocks:{digest.hexdigest()}"


def echo_times_s(te_ms: Sequence[float] | None) -> tuple[float, ...] | None:
    """Echo times given by the user [ms] in seconds; None stays None. Raises HeaderError for what must be seconds."""
    if te_ms is None:
        return None
    if len(te_ms) and max(te_ms) < 0.3:
        raise HeaderError(
            f"echo times {[float(t) for t in te_ms]} look like seconds, expected ms (--te-ms 4 12 20, say)"
        )
    return tuple(ms_to_s(float(t)) for t in te_ms)


def signs(polarity: str | Sequence[int] | None) -> tuple[int, ...] | None:
    """Readout directions given as "+-+-" or (1, -1, 1, -1); None stays None."""
    if polarity is None:
        return None
    known = {"+": 1, "-": -1, 1: 1, -1: -1}
    if not len(polarity) or any(p not in known for p in polarity):
        raise ParameterError(f"polarity {polarity!r} is not made of + and -; give one sign for each echo, like +-+-")
    return tuple(known[p] for p in polarity)


def phase_sign_of(sign: str | int) -> int:
    """+1 for "+" and -1 for "-". Raises ParameterError."""
    try:
        return {"+": 1, "-": -1, 1: 1, -1: -1}[sign]
    except (KeyError, TypeError):
        raise ParameterError(f"phase sign {sign!r} is not known; expected + or -") from None


def scan_of(path: Path, **attributes: Any) -> Scan:
    """Make the Scan; its own complaints are said with the file's name."""
    try:
        return Scan(**attributes)
    except InputError as why:
        raise type(why)(f"{path}: {why}") from None
