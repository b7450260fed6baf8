"""The machine: full disks, strangers at the port, busy cores; and that each promise names its test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import maunet_lite.scale.cores as machine
from maunet_lite.course.running.process import counted
from maunet_lite.course.running.report import NotebookRun

REPOSITORY = Path(__file__).resolve().parents[2]
EMPTY = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from maunet_lite.data import write_labels
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
from maunet_lite.cli.main import app
"""


def limited(code: str, tmp_path: Path) -> subprocess.CompletedProcess:
    """Run code in a process whose files may have 2,000 bytes, as on a disk that is nearly full."""
    command = [sys.executable, "-c", EMPTY + code]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {
        "PYTHONPATH": str(REPOSITORY), "MPLCONFIGDIR": str(tmp_path),
    })  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of processes")
def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    code = """
labels = np.random.default_rng(0).permutation(9000).reshape(90, 100)
for write in (lambda: write_labels("a_label.tiff", labels),):
    try:
        write()
    except OSError as error:
        print(error.errno)
"""
    (tmp_path / "a_label.tiff").write_bytes(b"before")
    result = limited(code, tmp_path)
    assert result.stdout.split() == ["27"], result.stderr[-500:]  # EFBIG
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a_label.tiff"]
    assert (tmp_path / "a_label.tiff").read_bytes() == b"before"


@pytest.mark.slow
def test_a_full_disk_ends_commands_in_a_line(tmp_path, disks):
    options = [str(disks / "images"), "--out", "out", "--device", "cpu"]
    result = limited(f"sys.argv[1:] = {['segment', *options]!r}\nsys.exit(app())", tmp_path)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    options = ["--data", str(disks), "--out", "run", "--steps", "1", "--device", "cpu", "--set", "patch=32"]
    code = f"sys.argv[1:] = {['train', *options]!r}\nsys.exit(app())"
    result = limited(code, tmp_path)
    assert result.returncode == 2
    assert "make space" in result.stderr or "free some space" in result.stderr, result.stderr[-500:]
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_stranger_at_the_port_is_refused():
    distributed = pytest.importorskip("distributed")
    from maunet_lite.scale.pool import open_pool

    with open_pool(workers=1) as pool:
        address = pool._client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert list(pool.map(abs, [-1])) == [(0, 1)]
        for security, way in ((None, "tcp"), (distributed.security.Security.temporary(), "tls")):
            with pytest.raises((OSError, ValueError)):
                distributed.Client(
                    address.replace("tls", way), security=security, timeout=2, set_as_default=False
                )


# busy machines


def test_time_counts_as_far_as_there_were_cores():
    assert counted(10, computed=0, threads=2, idle=1.0) == 10, "asleep beside idle cores"
    assert counted(10, computed=20, threads=2, idle=0.0) == 10, "it has all its cores"
    assert counted(10, computed=10, threads=2, idle=0.0) == 5, "half of them are taken"
    assert counted(10, computed=0, threads=2, idle=0.0) == 1, "what stands still is stopped some day"
    assert counted(10, computed=99, threads=2, idle=0.0) == 10


def test_it_is_said_that_the_machine_was_busy():
    assert "busy" not in NotebookRun("a", Path("a.py"), {}, "ok", minutes=10, busy_minutes=1).line()
    assert (
        "for 8.0 of them others had its cores"
        in NotebookRun("a", Path("a.py"), {}, "ok", minutes=10, busy_minutes=8).line()
    )


@pytest.mark.parametrize(
    ("idle", "jobs", "threads"), [(8, 1, 8), (8, 3, 2), (4.6, 1, 5), (0.2, 1, 1), (3, 2, 3)]
)
def test_a_process_takes_the_idle_cores(monkeypatch, idle, jobs, threads):
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    monkeypatch.setattr(machine, "idle_cores", lambda: idle)
    found = machine.shared_cores(jobs)
    assert found["OMP_NUM_THREADS"] == str(threads)
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"


def test_each_promise_names_a_test_that_there_is():
    page = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    names = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?` \|$", page, re.MULTILINE)
    promises = [line for line in page.splitlines() if line.startswith("| ") and "| test |" not in line]
    assert len(names) == len(promises) > 20
    for file, test in names:
        assert re.search(
            rf"^def {test or 'test_'}", (REPOSITORY / file).read_text(encoding="utf-8"), re.MULTILINE
        )


def test_cases_of_the_fuzzer_are_the_same_for_the_same_seed(tmp_path):
    from benchmarks import fuzz

    for kind in ("tiff", "png", "labels", "records"):
        assert fuzz.make(kind, 3) == fuzz.make(kind, 3)
        assert len({fuzz.make(kind, seed) for seed in range(8)}) > 4
        good = fuzz.make(kind, 3, frozenset(range(5)))
        assert good == fuzz.KINDS[kind][0](fuzz.random.Random(f"{kind} 3"))
    np.testing.assert_equal(fuzz.changed({"a": 1}, fuzz.random.Random(1)) != {"a": 1}, True)
