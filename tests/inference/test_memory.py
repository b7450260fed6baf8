from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.one_image import peak_memory
from maunet_lite.data import parse_bytes, show_bytes
from maunet_lite.inference import current_memory


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GiB", 4 * 1024**3),
        ("4 gib", 4 * 1024**3),
        ("4G", 4 * 1024**3),
        ("1.5MiB", 1024**2 * 3 // 2),
        ("2KB", 2000),
        ("1TB", 10**12),
        ("12", 12),
        (12, 12),
        (12.9, 12),
        ("100B", 100),
    ],
)
def test_amounts(text: str | float, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "4 iB", "-1GiB", "0", "GiB", "4GiBs", "1,5GiB"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="memory"):
        parse_bytes(text)


def test_shown_amounts_are_read_back() -> None:
    for n_bytes in (5, 1024, 3 * 1024**2, 7 * 1024**3, 2 * 1024**4):
        assert parse_bytes(show_bytes(n_bytes).replace(" bytes", "")) == n_bytes


def test_memory_grows_with_an_array() -> None:
    before = current_memory()
    array = np.ones(32 * 2**20)  # 256 MiB
    assert current_memory() - before > 128 * 2**20
    assert peak_memory() >= before + array.nbytes // 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux inherits its parent's peak")
def test_the_peak_of_the_process_that_started_this_one_does_not_count() -> None:
    ballast = np.ones(400 * 2**20, dtype=np.uint8)
    code = "from benchmarks.one_image import peak_memory; print(peak_memory())"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert int(run.stdout) < ballast.nbytes < peak_memory()
