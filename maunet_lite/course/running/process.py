"""One notebook in a process of its own: its memory can be measured, its time limited, its crash borne.

The runner's side is `execute`. The other side is ``python -m maunet_lite.course.running.process JOB``, which
lets papermill execute the notebook (it writes it again and again while cells run) and then makes its page,
whatever happened to the kernel. What the executed notebook says is the result.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil

from maunet_lite.course.display import collect
from maunet_lite.course.publishing.pages import write_page
from maunet_lite.course.publishing.sources import load
from maunet_lite.course.running.report import NotebookRun, ask_gpus
from maunet_lite.scale import idle_cores, shared_cores

_POLL_SECONDS = 0.2
_GPU_SECONDS = 2  # torch gives memory of a GPU back late
_GRACE_SECONDS = 20  # for a process whose kernel was ended: to save what there is

Stop = Callable[[float], str | None]  # the seconds that a notebook had its cores, to why it must end


def execute(run: NotebookRun, folder: Path, jobs: int, stop: Stop) -> NotebookRun:
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
        Asked five times a second, with the seconds that the notebook had its cores: while other programs keep
        them busy, they count in part. When it returns a status ("timeout",
        "interrupted"), the kernel is ended with what it started, and that becomes the status of the run.

    Returns
    -------
    NotebookRun
        `run`.
    """
    files, log = folder / "files" / run.name, folder / f"{run.name}.log"
    files.mkdir(parents=True)
    executed, html = folder / f"{run.name}.ipynb", folder / f"{run.name}.html"
    job = {"source": str(run.source), "html": str(html), "parent": os.getpid()}
    job["papermill"] = {"output_path": str(executed), "cwd": str(files), "parameters": run.parameters}
    with log.open("w", encoding="utf-8") as stream:
        command = [sys.executable, "-m", __name__, json.dumps(job)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": stream, "stderr": stream}
        # In a session of its own, for Ctrl-C is for the runner, which then ends its processes in order.
        environment = _environment(folder, jobs)
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    stopped = _watch(process, run, stop, int(environment["OMP_NUM_THREADS"]))
    run.executed, run.html = (path if path.exists() else None for path in (executed, html))
    _collect(run, process.returncode == 0, stopped, log)
    return run


def _watch(process: subprocess.Popen, run: NotebookRun, stop: Stop, threads: int) -> str | None:
    """Measure time and memory until the process has ended; return why it was stopped, if it was."""
    started, stopped, deadline = time.monotonic(), None, float("inf")
    before, had, used, asked = started, 0.0, 0.0, 0.0
    while process.poll() is None:
        now = time.monotonic()
        kernel, memory, computed = _kernel(process)
        run.peak_memory_mib = max(run.peak_memory_mib, round(memory / 2**20))
        if now - asked > _GPU_SECONDS:
            asked, in_use = now, [int(mib) for mib in ask_gpus("memory.used") if mib.isdigit()]
            run.peak_gpu_mib = max(run.peak_gpu_mib, *in_use, 0)
        had += counted(now - before, max(0.0, computed - used), threads, idle_cores(None))
        before, used = now, computed
        if stopped is None and (stopped := stop(had)):
            deadline = now + _GRACE_SECONDS
        if stopped:
            for child in kernel:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        if now > deadline:
            process.kill()
        time.sleep(_POLL_SECONDS)
    seconds = time.monotonic() - started
    run.minutes, run.busy_minutes = round(seconds / 60, 3), round(max(0.0, seconds - had) / 60, 3)
    return stopped


def counted(seconds: float, computed: float, threads: int, idle: float) -> float:
    """Return what counts of some seconds against a limit: all of them, unless other programs had the cores.

    Parameters
    ----------
    seconds, computed : float
        That went by, and of CPU time that the notebook got meanwhile.
    threads : int
        Of the notebook.
    idle : float
        Cores that nobody used meanwhile. With one of them idle, nobody keeps the notebook from its work.

    Examples
    --------
    >>> counted(10, 2, 1, idle=1.0), counted(10, 5, 1, idle=0.0), counted(10, 0, 1, idle=0.0)
    (10, 5.0, 1.0)
    """
    return seconds if idle > 0.5 else min(seconds, max(0.1 * seconds, computed / threads))


def _kernel(process: subprocess.Popen) -> tuple[list[psutil.Process], int, float]:
    """Return the kernel with all that it started, their bytes of memory and seconds of CPU time together."""
    family, memory, computed = [], 0, 0.0
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    for member in family:
        with suppress(psutil.Error):  # it has just ended
            memory += member.memory_info().rss
            computed += sum(member.cpu_times()[:2])
    return family, memory, computed


def _environment(folder: Path, jobs: int) -> dict[str, str]:
    """Return the environment of a process: a share of the cores, no display, caches that can be written."""
    package = str(Path(__file__).resolve().parents[3])
    return {
        **shared_cores(jobs),
        "MPLCONFIGDIR": str(folder.parent / ".cache" / "matplotlib"),
        **os.environ,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
    }


def _collect(run: NotebookRun, ended_well: bool, stopped: str | None, log: Path) -> None:
    """Fill in records and status and, unless every cell ran, where the notebook stopped and why."""
    notebook = nbformat.v4.new_notebook()
    with suppress(OSError, ValueError):  # it is not there, or its process was killed while writing it
        notebook = nbformat.read(log.with_suffix(".ipynb"), as_version=4)
    run.records = collect(notebook)
    if ended_well and not stopped:
        run.status = "ok"
        log.unlink()
        return
    started = _started(notebook)
    raised = [cell for cell in started if cell.metadata.papermill.get("exception")]
    for cell in (raised or started)[-1:]:
        run.cell = cell.execution_count or started.index(cell) + 1
        run.cell_source = "\n".join([line for line in cell.source.splitlines() if line.strip()][:3])
    errors = [output for cell in raised for output in cell.outputs if output.output_type == "error"]
    run.status = stopped or ("failed" if errors else "died")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else "its process ended without a word"
    hint = " (often: memory ran out; a smaller --profile or fewer --jobs needs less)"
    run.error = {
        "timeout": f"Timeout: stopped after {run.minutes:.3g} minutes{run.busy()}",
        "interrupted": "Interrupted: stopped by Ctrl-C",
        "failed": f"{errors[-1].ename}: {errors[-1].evalue}" if errors else "",
        "died": f"Died: {last}{hint if 'DeadKernel' in last or not lines else ''}",
    }[run.status]


def _started(notebook: Any) -> list[Any]:
    """Return the code cells that papermill has begun to execute."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]


# The other side: in the process.


def main(text: str) -> None:
    """Execute the notebook of a job, and write its page even if that fails."""
    job = json.loads(text)
    threading.Thread(target=_leave_with, args=[job["parent"]], daemon=True).start()
    how = {"kernel_name": "python3", "language": "python", "start_timeout": 120, "progress_bar": False}
    how |= {"autosave_cell_every": 10} | job["papermill"]
    try:
        with tempfile.TemporaryDirectory(prefix="maunet-kernel-") as private:
            # Neither read nor write a person's settings: the home folder may be read-only. "python3" is then
            # this Python, whatever kernels are registered: without one of that name Jupyter starts its own.
            jupyter = (f"JUPYTER_{kind}" for kind in ("PATH", "RUNTIME_DIR", "CONFIG_DIR", "DATA_DIR"))
            os.environ.update({name: str(Path(private, name.lower())) for name in (*jupyter, "IPYTHONDIR")})
            source = Path(private, "source.ipynb")
            nbformat.write(load(Path(job["source"])), source)
            retry_dead_start(lambda: papermill.execute_notebook(source, **how), Path(how["output_path"]))
    finally:
        try:
            write_page(nbformat.read(how["output_path"], as_version=4), job["html"])
        except Exception as error:  # the page is a courtesy: the executed notebook is there
            print(f"no HTML page: {error}", file=sys.stderr)


def _leave_with(parent: int) -> None:
    """End this process soon after the runner is gone, so that a closed terminal leaves nothing behind."""
    while psutil.pid_exists(parent):
        time.sleep(1)
    os._exit(1)  # the kernel notices by itself that its parent is gone


def retry_dead_start(execute: Callable[[], None], executed: Path) -> None:
    """Call `execute`, and once more if the kernel died before the first cell.

    Kernels that start side by side sometimes choose the same port, and one of them dies; the second try
    succeeds.
    """
    try:
        execute()
    except RuntimeError:  # nbclient's DeadKernelError is one
        if executed.exists() and _started(nbformat.read(executed, as_version=4)):
            raise
        execute()


if __name__ == "__main__":
    main(sys.argv[1])
