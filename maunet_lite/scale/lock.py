"""One run at a time in a folder: a lock that says who holds it, and that ends with its holder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def one_run_in(folder: str | Path, name: str = "", *, keep: bool = True) -> Iterator[None]:
    """Hold a folder, or a file in it, for one run; whoever comes meanwhile is told by whom it is held.

    The lock is the operating system's: it ends with the process that holds it, however that ends. The thread
    that holds it may take it again, as a run of several parts does.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    name : str
        Of the result that is written, if others may be written beside it.
    keep : bool
        Whether a folder that was made stays if nothing came into it.

    Raises
    ------
    BlockingIOError
        If it is held: by which process, on which machine, since when.
    OSError
        If nothing can be written there.

    Examples
    --------
    >>> folder = getfixture("tmp_path") / "out"
    >>> with one_run_in(folder):
    ...     print(sorted(path.name for path in folder.iterdir()))
    ['.in-use.lock', '.in-use.txt']
    >>> list(folder.iterdir())
    []
    """
    folder = Path(folder).resolve()
    made = not keep and not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path, holder = (folder / f".{name}{'.' if name else ''}in-use.{suffix}" for suffix in ("lock", "txt"))
    lock = FileLock(path, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        who = holder.read_text(errors="replace") if holder.exists() else "another process"
        advice = "wait until it has ended, or give another --out"
        raise BlockingIOError(f"{folder / name} is in use by {who}: {advice}") from None
    try:
        since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since}")
        yield
    finally:
        if lock.lock_counter == 1:
            for file in (holder, path):
                with suppress(OSError):  # Windows removes no file that is open: it stays, and blocks nobody
                    file.unlink()
        lock.release()
        if made:
            with suppress(OSError):  # it holds something
                folder.rmdir()
