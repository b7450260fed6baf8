"""The correction tool as a widget: the page draws and sends strokes, the session does the work.

The image travels once, as a PNG; of the label map only the box that has changed, compressed. So the tool is
as quick on Colab or a remote server as the line allows, and needs no extension of the server.
"""

import threading
import zlib
from pathlib import Path
from typing import Any

import anywidget
import cv2
import numpy as np

from maunet_lite.course.correction.edits import box_of
from maunet_lite.course.correction.session import Session
from maunet_lite.figures import to_display

SLOW = ("fine_tune", "segment_again")


def correct(images: str | Path, labels: str | Path | None = None, **options: Any) -> "Corrector":
    """Open images in the correction tool: paint, erase, split, merge, delete and draw cells; save; retrain.

    Parameters
    ----------
    images, labels, **options
        As `Session` takes them: the images, the folder of label maps that ``maunet-lite segment`` wrote,
        ``out=`` (the dataset folder for what is saved), ``model=``, ``diameter=``, ``channel=``, ``plane=``.

    Returns
    -------
    Corrector
        The last line of a cell of JupyterLab, Notebook 7, VS Code or Colab. Its ``session`` does the same
        from code.

    Examples
    --------
    ::

        from maunet_lite.course import correct

        correct("my_images/", "results/", out="mine")
    """
    return Corrector(Session(images, labels, **options))


class Corrector(anywidget.AnyWidget):
    """The widget around a `session`; `working` names what it does in the background, such as "fine_tune"."""

    _esm = Path(__file__).with_name("widget.js")
    _css = Path(__file__).with_name("widget.css")

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session, self.working, self._lock = session, "", threading.Lock()
        self._sent: tuple[Any, Any] = (None, None)  # pixels and labels, as the page has them
        self.on_msg(lambda widget, content, buffers: self.act(**content))

    def act(self, do: str, **how: Any) -> None:
        """Do what the page asks for, a method of the session; in a thread what takes minutes."""
        if do not in SLOW:
            self._run(do, **how)
        elif not self.working:
            self.working = do
            threading.Thread(target=self._run, args=(do,), kwargs=how, daemon=True).start()
            self._tell()

    def _run(self, do: str, **how: Any) -> None:
        try:
            text, failed = getattr(self.session, do)(**how) or "", False
        except Exception as error:  # there is no cell whose output could hold it
            text, failed = str(error) if isinstance(error, (ValueError, OSError)) else repr(error), True
        self.working = "" if do in SLOW else self.working
        self._tell(text, failed)

    def _tell(self, text: str = "", failed: bool = False) -> None:
        """Send what the page lacks: the image, what has changed of the labels, how all stands."""
        session, draft = self.session, self.session.picture.draft
        with self._lock:
            pixels, before = self._sent
            if pixels is not session.pixels:
                rgb = np.round(255 * to_display(session.pixels)).astype(np.uint8)
                png = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
                self.send({"show": "image", "shape": rgb.shape[:2]}, [png])
                before = np.zeros_like(draft.labels)
            rows, columns = box_of(draft.labels != before)
            part = np.ascontiguousarray(draft.labels[rows, columns], "<i4")
            box = [rows.start, columns.start, *part.shape]
            self.send({"show": "labels", "box": box}, [zlib.compress(part, 1)])
            self._sent = session.pixels, draft.labels.copy()
        queue = [(p.path.name, str(p.doubt), p.done, p.changed) for p in session.queue]
        state = {"queue": queue, "index": session.queue.index(session.picture), "working": self.working}
        steps = {"undo": len(draft.done), "redo": len(draft.undone)}
        self.send({"show": "state", "text": text, "failed": failed, **steps, **state})
