"""Execute one notebook in a process of its own: ``python -m maunet_lite.course.running.worker JOB.json``.

The runner starts one such process per notebook, so that memory can be measured for each, a time limit can be
enforced from outside, and a crash takes nothing else with it. The job file says what to execute; the process
writes the executed notebook (after every cell), its HTML page and a result file, whatever happens to the
kernel.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(job_path: str) -> int:
    """Execute the notebook of a job file; return 0 if every cell ran."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    _leave_with_parent(job["parent"])
    result = run_job(job)
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")
    return 0 if result["status"] == "ok" else 1


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Execute one notebook and say how it went.

    Parameters
    ----------
    job : dict
        ``source`` (.py or .ipynb), ``executed`` (.ipynb to write), ``html``, ``cwd`` (folder of the kernel),
        ``parameters``.

    Returns
    -------
    dict
        ``status`` "ok", "failed" (a cell raised) or "died" (the kernel went away), and on the way to the
        report ``error`` (name and message), ``cell`` (its number in brackets), ``source`` (its first lines),
        ``records``.
    """
    import nbformat

    from maunet_lite.course.publishing.sources import load

    executed = Path(job["executed"])
    original = executed.with_suffix(".source.ipynb")
    nbformat.write(load(Path(job["source"])), original)
    with tempfile.TemporaryDirectory(prefix="maunet-kernel-") as private:
        use_this_python(Path(private))
        status, error = retry_dead_start(lambda: _papermill(job, original), executed)
    original.unlink()
    result = {"status": status, "error": error, "cell": None, "source": "", "records": {}}
    if executed.exists():
        result.update(describe(nbformat.read(executed, as_version=4), failed=status != "ok"))
        _write_html(executed, Path(job["html"]))
    return result


def use_this_python(folder: Path) -> None:
    """Make "python3" mean the Python that runs this, whatever kernels are registered on the machine.

    Also moves the files of Jupyter and IPython into `folder`, so that runs neither read nor write a person's
    settings and work where the home folder cannot be written.
    """
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    kernel = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(folder)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        os.environ[name] = str(folder / name.lower())


def retry_dead_start(execute: Callable[[], None], executed: Path) -> tuple[str, dict[str, str] | None]:
    """Call `execute`, once more if the kernel died before the first cell; return status and error.

    Kernels that start side by side sometimes choose the same port, and one of them dies; the second try
    succeeds.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for attempt in (1, 2):
        try:
            execute()
        except PapermillExecutionError as error:
            return "failed", {"name": error.ename, "message": error.evalue}
        except (DeadKernelError, RuntimeError) as error:
            if attempt == 1 and not _any_cell_ran(executed):
                continue
            return "died", {"name": type(error).__name__, "message": _explain_death(str(error))}
        except (
            Exception
        ) as error:  # whatever papermill or Jupyter meets: one line in the report, not a lost run
            return "died", {"name": type(error).__name__, "message": str(error)}
        break
    return "ok", None


def describe(notebook: Any, failed: bool) -> dict[str, Any]:
    """Return recorded results of an executed notebook and, if it failed, the cell where it stopped."""
    from maunet_lite.course.running.recording import collect

    result: dict[str, Any] = {"records": collect(notebook)}
    if not failed:
        return result
    started = [cell for cell in notebook.cells if cell.metadata.get("papermill", {}).get("start_time")]
    raised = [cell for cell in started if cell.metadata["papermill"].get("exception")]
    stopped_at = [cell for cell in raised or started if cell.cell_type == "code"][-1:]
    for cell in stopped_at:
        code = [other for other in notebook.cells if other.cell_type == "code"]
        lines = [line for line in cell.source.splitlines() if line.strip()]
        result["cell"] = cell.get("execution_count") or code.index(cell) + 1
        result["source"] = "\n".join(lines[:3])
    return result


def _papermill(job: dict[str, Any], original: Path) -> None:
    import papermill

    papermill.execute_notebook(
        str(original),
        job["executed"],
        parameters=job["parameters"],
        kernel_name="python3",
        language="python",
        cwd=job["cwd"],
        progress_bar=False,
        autosave_cell_every=10,
        start_timeout=120,
    )


def _any_cell_ran(executed: Path) -> bool:
    import nbformat

    if not executed.exists():
        return False
    notebook = nbformat.read(executed, as_version=4)
    return any(cell.metadata.get("papermill", {}).get("start_time") for cell in notebook.cells)


def _explain_death(message: str) -> str:
    return f"{message} (often: memory ran out; a smaller --profile or fewer --jobs needs less)"


def _write_html(executed: Path, page: Path) -> None:
    from maunet_lite.course.publishing.pages import write_page

    try:
        write_page(executed, page)
    except Exception as error:  # the page is a courtesy: the executed notebook is there
        print(f"no HTML page for {executed.name}: {error}", file=sys.stderr)


def _leave_with_parent(parent: int) -> None:
    """End this process soon after the runner is gone, so that a closed terminal leaves nothing behind."""
    import psutil

    def watch() -> None:
        while psutil.pid_exists(parent):
            time.sleep(1)
        os._exit(1)  # the kernel notices by itself that its parent is gone

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
