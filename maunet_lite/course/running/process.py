"""One notebook in a process of its own: its memory can be measured, its time limited, its crash borne.

The runner's side is `execute`. The other side is ``python -m maunet_lite.course.running.process JOB``, which
lets papermill execute the notebook (it writes it again and again while cells run) and then makes its page,
whatever happened to the kernel. What the executed notebook says is the result.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from maunet_lite.course.display import collect
from maunet_lite.course.publishing.pages import write_page
from maunet_lite.course.publishing.sources import load
from maunet_lite.course.running.report import NotebookRun

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 20  # for a process whose kernel was ended: to save what there is
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def execute(run: NotebookRun, folder: Path, jobs: int, stop: Callable[[float], str | None]) -> NotebookRun:
    """Run one notebook to its end and fill in what came of it.

    Parameters
    ----------
    run : NotebookRun
        Which notebook, and with which parameters.
    folder : Path
        Gets the executed notebook and its page; the kernel works in ``files/NAME`` there. A notebook that
        fails leaves ``NAME.log``.
    jobs : int
        How many run side by side: each gets its share of the cores.
    stop : callable
        Asked five times a second, with the seconds since the start. When it returns a status ("timeout",
        "interrupted"), the kernel is ended with what it started, and that becomes the status of the run.

    Returns
    -------
    NotebookRun
        `run`.
    """
    files, log = folder / "files" / run.name, folder / f"{run.name}.log"
    files.mkdir(parents=True)
    executed, html = folder / f"{run.name}.ipynb", folder / f"{run.name}.html"
    job = {"source": run.source, "executed": executed, "html": html, "cwd": files}
    job = {name: str(path) for name, path in job.items()} | {
        "parameters": run.parameters,
        "parent": os.getpid(),
    }
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=_environment(folder, jobs),
            start_new_session=True,  # Ctrl-C is for the runner, which then ends its processes in order
        )
    stopped = _watch(process, run, stop)
    run.executed, run.html = (path if path.exists() else None for path in (executed, html))
    _collect(run, process.returncode == 0, stopped, log)
    for empty in (files, files.parent):
        if not any(empty.iterdir()):
            empty.rmdir()
    return run


def _watch(process: subprocess.Popen, run: NotebookRun, stop: Callable[[float], str | None]) -> str | None:
    """Measure time and memory until the process has ended; return why it was stopped, if it was."""
    started, stopped, deadline = time.monotonic(), None, float("inf")
    while process.poll() is None:
        now = time.monotonic()
        kernel = _children(process)
        run.peak_memory_mib = max(run.peak_memory_mib, round(sum(map(_memory, kernel)) / 2**20))
        if stopped is None and (stopped := stop(now - started)):
            deadline = now + _GRACE_SECONDS
        if stopped:
            for child in kernel:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        if now > deadline:
            process.kill()
        time.sleep(_POLL_SECONDS)
    run.minutes = round((time.monotonic() - started) / 60, 3)
    return stopped


def _children(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it has just ended
        return 0


def _environment(folder: Path, jobs: int) -> dict[str, str]:
    """Return the environment of a process: a share of the cores, no display, caches that can be written."""
    environment = dict(os.environ)
    threads = str(max(1, (os.cpu_count() or 1) // max(1, jobs)))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment.setdefault(name, threads)
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    environment.setdefault("MPLCONFIGDIR", str(folder.parent / ".cache" / "matplotlib"))
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    package = str(Path(__file__).resolve().parents[3])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
    return environment


def _collect(run: NotebookRun, ended_well: bool, stopped: str | None, log: Path) -> None:
    """Fill in records and status and, unless every cell ran, where the notebook stopped and why."""
    import nbformat

    notebook = nbformat.read(run.executed, as_version=4) if run.executed else nbformat.v4.new_notebook()
    run.records = collect(notebook)
    if ended_well and not stopped:
        run.status = "ok"
        log.unlink()
        return
    started = _started(notebook)
    raised = [cell for cell in started if cell.metadata.papermill.get("exception")]
    for cell in (raised or started)[-1:]:
        code = [other for other in notebook.cells if other.cell_type == "code"]
        run.cell = cell.execution_count or code.index(cell) + 1
        run.cell_source = "\n".join([line for line in cell.source.splitlines() if line.strip()][:3])
    errors = [output for cell in raised for output in cell.outputs if output.output_type == "error"]
    run.status = stopped or ("failed" if errors else "died")
    if stopped == "timeout":
        name, message = "Timeout", f"stopped after {run.minutes:.3g} minutes"
    elif stopped:
        name, message = "Interrupted", "stopped by Ctrl-C"
    elif errors:
        name, message = errors[-1].ename, _ANSI.sub("", errors[-1].evalue)
    else:
        name, message = "Died", _last_line(log)
    run.error = {"name": name, "message": message}


def _started(notebook: Any) -> list[Any]:
    """Return the code cells that papermill has begun to execute."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    line = lines[-1] if lines else "its process ended without a word"
    hint = " (often: memory ran out; a smaller --profile or fewer --jobs needs less)"
    return line + hint if not lines or "DeadKernelError" in line else line


# The other side: in the process.


def main(text: str) -> None:
    """Execute the notebook of a job, and write its page even if that fails."""
    job = json.loads(text)
    threading.Thread(target=_leave_with, args=[job["parent"]], daemon=True).start()
    try:
        with tempfile.TemporaryDirectory(prefix="maunet-kernel-") as private:
            use_this_python(Path(private))
            retry_dead_start(lambda: _papermill(job, Path(private)), Path(job["executed"]))
    finally:
        try:
            write_page(job["executed"], job["html"])
        except Exception as error:  # the page is a courtesy: the executed notebook is there
            print(f"no HTML page: {error}", file=sys.stderr)


def _leave_with(parent: int) -> None:
    """End this process soon after the runner is gone, so that a closed terminal leaves nothing behind."""
    while psutil.pid_exists(parent):
        time.sleep(1)
    os._exit(1)  # the kernel notices by itself that its parent is gone


def use_this_python(folder: Path) -> None:
    """Make "python3" mean the Python that runs this, whatever kernels are registered on the machine.

    Also moves the files of Jupyter and IPython into `folder`, so that runs neither read nor write a person's
    settings and work where the home folder cannot be written.
    """
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    kernel = {"argv": argv, "display_name": "Python 3", "language": "python"}
    spec.write_text(json.dumps(kernel), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(folder)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        os.environ[name] = str(folder / name.lower())


def retry_dead_start(execute: Callable[[], None], executed: Path) -> None:
    """Call `execute`, and once more if the kernel died before the first cell.

    Kernels that start side by side sometimes choose the same port, and one of them dies; the second try
    succeeds.
    """
    import nbformat

    try:
        execute()
    except RuntimeError:  # nbclient's DeadKernelError is one
        if executed.exists() and _started(nbformat.read(executed, as_version=4)):
            raise
        execute()


def _papermill(job: dict[str, Any], private: Path) -> None:
    import nbformat
    import papermill

    source = private / "source.ipynb"
    nbformat.write(load(Path(job["source"])), source)
    papermill.execute_notebook(
        str(source),
        job["executed"],
        parameters=job["parameters"],
        kernel_name="python3",
        language="python",
        cwd=job["cwd"],
        progress_bar=False,
        autosave_cell_every=10,
        start_timeout=120,
    )


if __name__ == "__main__":
    main(sys.argv[1])
