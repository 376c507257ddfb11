"""Fixtures that run the CUDA entries of the kernels without a GPU."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferritin_kernels import api, cpu, gpu

HERE = Path(__file__).parent
SANITIZE = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="session")
def host_cuda_binary(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build the host program around one entry with the sanitizers; once per entry and compile-time numbers."""
    folder = tmp_path_factory.mktemp("host_cuda")

    @cache
    def build(kernel: str, entry: str, struct: str, defines: tuple[tuple[str, int], ...]) -> Path:
        binary = folder / "-".join([entry, *(str(value) for _, value in defines)])
        macros = {"FERRITIN_HEADER": f'"{kernel}.cuh"', "FERRITIN_ENTRY": entry, "FERRITIN_RECORD": struct}
        flags = [f"-D{name}={value}" for name, value in (*macros.items(), *defines)]
        command = ["g++", "-std=c++17", "-O1", "-g1", "-Wno-unknown-pragmas", *SANITIZE, *flags]
        include = f"-I{Path(gpu.__file__).parent}"
        subprocess.run([*command, include, "-o", binary, HERE / "host_cuda.cpp"], check=True, timeout=300)
        return binary

    return build


@pytest.fixture
def on_host_cuda(monkeypatch: pytest.MonkeyPatch, host_cuda_binary: Callable[..., Path], tmp_path: Path) -> Any:
    """A context in which every kernel launch goes through its __global__ entry under the sanitizers."""

    def launch(
        kernel: str,
        n_voxel: int,
        arrays: Mapping[str, Any],
        numbers: Mapping[str, Any],
        *,
        defines: Mapping[str, int] | None = None,
        threads: int | None = None,
        entry: str | None = None,
        struct: str | None = None,
    ) -> None:
        dtype = api.record(kernel, struct)
        struct = struct or api.struct_name(kernel)
        binary = host_cuda_binary(kernel, entry or kernel, struct, tuple(sorted((defines or {}).items())))
        record = np.zeros((), dtype)
        for name, number in numbers.items():
            record[name] = number
        there = {name: array for name, array in arrays.items() if array is not None}
        case = tmp_path / "case"
        with case.open("wb") as file:
            np.array([n_voxel, dtype.itemsize, len(there)], np.int64).tofile(file)
            record.tofile(file)
            for name, array in there.items():
                np.array([dtype.fields[name][1], array.nbytes], np.int64).tofile(file)
                file.write(array.tobytes())
        done = subprocess.run([binary, case], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        with case.open("rb") as file:
            file.seek(24 + dtype.itemsize)
            for array in there.values():
                file.seek(16, 1)
                data = file.read(array.nbytes)
                if array.flags.writeable:
                    array[...] = np.frombuffer(data, array.dtype).reshape(array.shape)

    class Context:
        def __enter__(self) -> None:
            monkeypatch.setattr(api, "launch", launch)

        def __exit__(self, *_: Any) -> None:
            monkeypatch.undo()

    return Context()


@pytest.fixture(params=[1, 3, 4, 0])
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Each instruction set that is built here and that this machine can run."""
    best = cpu.library()
    if not (Path(cpu.__file__).parent / f"_cpu_{request.param}.so").exists():
        pytest.skip(f"no CPU library of level {request.param}")
    if request.param > best.ferritin_cpu_level():
        pytest.skip(f"this machine cannot run level {request.param}")
    library = cpu.library(request.param)
    monkeypatch.setattr(cpu, "library", lambda *_: library)
    return request.param
