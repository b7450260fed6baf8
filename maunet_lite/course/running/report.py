"""What a run of notebooks came to: a record per notebook, as JSON for programs and HTML for people."""

from __future__ import annotations

import html
import json
import platform
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from maunet_lite import __version__
from maunet_lite.data import atomic_path

_MARKS = {"ok": "✔", "failed": "✘", "died": "✘", "timeout": "⏱", "interrupted": "■", "not run": "–"}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class NotebookRun:
    """One executed notebook.

    Attributes
    ----------
    status : str
        "ok", "failed" (a cell raised), "died" (the kernel went away), "timeout", "interrupted" or "not run".
    minutes, peak_memory_mib : float
        Wall time with the start of the kernel; highest resident memory of the kernel and its children.
    cell : int or None
        The failing cell, as numbered in brackets beside it in the executed notebook; `cell_source` are its
        first lines.
    error : dict or None
        ``name`` and ``message``.
    records : dict
        What the notebook handed over with `maunet_lite.course.record`.
    """

    name: str
    source: Path
    parameters: dict[str, Any]
    status: str = "not run"
    minutes: float = 0.0
    peak_memory_mib: float = 0.0
    cell: int | None = None
    cell_source: str = ""
    error: dict[str, str] | None = None
    records: dict[str, Any] = field(default_factory=dict)
    executed: Path | None = None
    html: Path | None = None

    def line(self, width: int = 0) -> str:
        """Return one line for the console, and if the notebook failed, what failed below it."""
        text = f"{_MARKS[self.status]} {self.name:{width}}  {self.status:9} {self.minutes:5.1f} min  "
        text += f"{self.peak_memory_mib:6.0f} MiB"
        return text if self.status in ("ok", "not run") else f"{text}\n{_indent(self.failure())}"

    def failure(self) -> str:
        """Return where the notebook stopped and why, or an empty text."""
        if self.status in ("ok", "not run"):
            return ""
        where = f"cell [{self.cell}]:\n{_indent(self.cell_source)}\n" if self.cell else ""
        error = self.error or {"name": self.status, "message": ""}
        return f"{where}{error['name']}: {_ANSI.sub('', error['message'])}"


@dataclass
class Report:
    """A whole run; `ok` if every notebook ran to its end."""

    profile: str
    folder: Path
    parameters: dict[str, Any]
    jobs: int = 1
    runs: list[NotebookRun] = field(default_factory=list)
    started: datetime = field(default_factory=datetime.now)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether every notebook ran to its end."""
        return not self.interrupted and all(run.status == "ok" for run in self.runs)

    def summary(self) -> str:
        """Return one line: how many ran, how many did not, how long it took, where the report is."""
        good = sum(run.status == "ok" for run in self.runs)
        word = "interrupted: " if self.interrupted else ""
        return (
            f"{word}{good} of {len(self.runs)} notebooks ran to the end in {self.seconds / 60:.1f} min; "
            f"report: {self.folder / 'report.html'}"
        )


def write_report(report: Report) -> None:
    """Write ``report.json`` and ``report.html`` into the folder of the run."""
    with atomic_path(report.folder / "report.json") as path:
        path.write_text(json.dumps(to_dict(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with atomic_path(report.folder / "report.html") as path:
        path.write_text(to_html(report), encoding="utf-8")


def to_dict(report: Report) -> dict[str, Any]:
    """Return the report as plain data, with paths relative to its folder."""
    return {
        "ok": report.ok,
        "profile": report.profile,
        "parameters": report.parameters,
        "started": report.started.isoformat(timespec="seconds"),
        "minutes": round(report.seconds / 60, 3),
        "jobs": report.jobs,
        "interrupted": report.interrupted,
        "machine": _machine(),
        "notebooks": [_run_to_dict(run) for run in report.runs],
    }


def _run_to_dict(run: NotebookRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "status": run.status,
        "minutes": round(run.minutes, 3),
        "peak_memory_mib": round(run.peak_memory_mib),
        "parameters": run.parameters,
        "records": run.records,
        "cell": run.cell,
        "cell_source": run.cell_source,
        "error": run.error and {key: _ANSI.sub("", text) for key, text in run.error.items()},
        "executed": run.executed.name if run.executed and run.executed.exists() else None,
        "html": run.html.name if run.html and run.html.exists() else None,
    }


def _machine() -> dict[str, Any]:
    import os

    import psutil

    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "maunet_lite": __version__,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def to_html(report: Report) -> str:
    """Return the report as one page that needs nothing from the network."""
    rows = "\n".join(_row(run) for run in report.runs)
    machine = ", ".join(f"{key} {value}" for key, value in _machine().items())
    given = html.escape(json.dumps(report.parameters)) if report.parameters else "none"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Notebooks, profile {html.escape(report.profile)}</title>
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }}
 table {{ border-collapse: collapse; width: 100%; }}
 td, th {{ padding: .4rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }}
 td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
 .ok {{ color: #1b6e3c; }} .failed, .died, .timeout, .interrupted {{ color: #a3200d; }}
 pre {{ background: #f6f6f6; padding: .5rem; white-space: pre-wrap; margin: .3rem 0; }}
 dl {{ margin: 0; display: grid; grid-template-columns: auto auto; gap: 0 .8rem; font-size: .9em; }}
 dd {{ margin: 0; }}
</style></head><body>
<h1>{"All notebooks ran" if report.ok else "Not all notebooks ran"}</h1>
<p>{html.escape(report.summary())}</p>
<table><thead><tr><th>notebook</th><th>status</th><th class="n">minutes</th>
<th class="n">peak memory / MiB</th><th>recorded results</th></tr></thead><tbody>
{rows}
</tbody></table>
<p>Profile {html.escape(report.profile)}, parameters given: {given}, side by side: {report.jobs},
started {report.started:%Y-%m-%d %H:%M}.<br>{html.escape(machine)}.</p>
</body></html>
"""


def _row(run: NotebookRun) -> str:
    links = [
        f'<a href="{html.escape(path.name)}">{word}</a>'
        for path, word in ((run.html, "page"), (run.executed, "notebook"))
        if path and path.exists()
    ]
    failure = f"<pre>{html.escape(run.failure())}</pre>" if run.failure() else ""
    results = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{_value(value)}</dd>" for name, value in run.records.items()
    )
    return (
        f"<tr><td>{html.escape(run.name)}<br><small>{' · '.join(links)}</small></td>"
        f'<td class="{run.status.split()[0]}">{_MARKS[run.status]} {run.status}{failure}</td>'
        f'<td class="n">{run.minutes:.1f}</td><td class="n">{run.peak_memory_mib:.0f}</td>'
        f"<td><dl>{results}</dl></td></tr>"
    )


def _value(value: Any) -> str:
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _indent(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())
