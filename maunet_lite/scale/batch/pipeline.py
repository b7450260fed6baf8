"""How many images pass through one process, or many: read ahead, predict, finish behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maunet_lite.scale.batch import one_image
from maunet_lite.scale.batch.one_image import Job, Plan, Row

if TYPE_CHECKING:
    from maunet_lite.scale.pool import Pool

AHEAD = 2  # images read before the network asks for them
BEHIND = 3  # images that the network is done with, and the others are not
_SHARE = 6  # so many images are in memory at once
_PROCESS = 2**29  # bytes that the process takes before it has any image
_PLAIN = 1000  # a file is surely small if it takes so many times less than the memory


def is_zarr(path: Path) -> bool:
    """Tell whether a path is a folder that ends in ``.zarr``."""
    return path.is_dir() and path.suffix.lower() == ".zarr"


class Run:
    """One run over many images: which are to be done, and the rows of those that are."""

    def __init__(self, plan: Plan, jobs: list[Job], progress: bool) -> None:
        from tqdm import tqdm

        self.plan, self.jobs = plan, jobs
        self.rows: list[Row | None] = [None] * len(jobs)
        self.alone: list[int] = []  # images that leave no room for others
        self.blocks: list[int] = []  # images that do not fit
        self.bar = tqdm(total=len(jobs), unit="image", disable=None if progress else True)

    def all(self, pool: Pool | None, gpu_memory: str | int | None) -> None:
        """Do everything: first the many, side by side; then the large ones, one at a time."""
        with self.bar:
            todo = []
            for index, job in enumerate(self.jobs):
                try:
                    missing, reason = self.plan.todo(job)
                except (ValueError, OSError) as error:
                    self.note(index, one_image.failed(job, error))
                    continue
                if missing:
                    todo.append(index)
                else:
                    self.note(index, Row(job.image, job.labels, "skipped", reason=reason))
            if pool is None:
                self.pipeline(todo)
            else:
                self.spread(todo, pool)
            for index in self.alone:
                self.pipeline([index], alone=True)
            for index in self.blocks:
                self.in_blocks(index, pool, gpu_memory)

    def note(self, index: int, row: Row) -> None:
        """Keep what became of an image."""
        self.rows[index] = row
        self.bar.update()

    def pipeline(self, todo: list[int], alone: bool = False) -> None:
        """Read ahead, predict in this thread, finish behind."""
        waiting, finishing = iter(todo), deque()
        try:
            with _threads(1, "read") as readers, _threads(2, "finish") as finishers:
                reading = deque((i, readers.submit(self._read, i, alone)) for i in islice(waiting, AHEAD))
                while reading:
                    index, loading = reading.popleft()
                    behind = self._advance(index, loading, finishers)
                    del loading  # and with it the pixels
                    if behind is not None:
                        finishing.append((index, behind))
                    reading.extend((i, readers.submit(self._read, i, alone)) for i in islice(waiting, 1))
                    while len(finishing) >= (BEHIND if reading else 1):
                        self._collect(*finishing.popleft())
        finally:  # after Ctrl-C: what was begun has been finished
            for index, result in finishing:
                if not result.cancelled():
                    self._collect(index, result)

    def _read(self, index: int, alone: bool) -> tuple[Row, Any]:
        """Return the pixels of an image, or None if its label map is there, or "alone" or "blocks"."""
        job, row = self.jobs[index], Row(self.jobs[index].image, self.jobs[index].labels)
        size = None if alone else self._size(job)
        if size is not None:
            return row, size
        missing, row.reason = self.plan.todo(job)
        if "tiff" not in missing:
            return row, None
        return row, one_image.read(job, row)

    def _size(self, job: Job, workers: int = 1) -> str | None:
        """Tell whether an image needs blocks, or leaves no room for others."""
        if self.plan.memory is None:
            return "blocks" if is_zarr(job.image) else None
        if job.image.is_file() and job.image.stat().st_size * _PLAIN < self.plan.memory:
            return None
        from maunet_lite.scale.reading.open import needs_blocks

        if needs_blocks(job.image, self.plan.memory // workers):
            return "blocks"
        share = max(self.plan.memory - _PROCESS, 0) // _SHARE + _PROCESS
        return "alone" if needs_blocks(job.image, share) else None

    def _advance(self, index: int, loading: Future, finishers: ThreadPoolExecutor) -> Future | None:
        """Let the network see an image that has been read, and hand it on."""
        job, plan = self.jobs[index], self.plan
        try:
            row, pixels = loading.result()
            if isinstance(pixels, str):
                (self.alone if pixels == "alone" else self.blocks).append(index)
                return None
            if pixels is None:
                return finishers.submit(one_image.complete, job, plan, row)
            maps = one_image.see(pixels, plan, row)
            return finishers.submit(one_image.finish, job, plan, row, pixels, maps)
        except Exception as error:  # whatever is wrong with one image must not stop the others
            self.note(index, one_image.failed(job, error))
            return None

    def _collect(self, index: int, result: Future) -> None:
        try:
            row = result.result()
        except Exception as error:
            row = one_image.failed(self.jobs[index], error)
        self.note(index, row)

    def spread(self, todo: list[int], pool: Pool) -> None:
        """Give images to the workers of a pool."""
        small = []
        for index in todo:
            try:
                large = self._size(self.jobs[index], pool.n_workers)
            except Exception as error:
                self.note(index, one_image.failed(self.jobs[index], error))
                continue
            (self.blocks if large == "blocks" else small).append(index)
        jobs = [self.jobs[index] for index in small]
        for place, result in pool.map(one_image.work, jobs, plan=self.plan):
            if isinstance(result, BaseException):
                result = one_image.failed(jobs[place], result)
            self.note(small[place], result)

    def in_blocks(self, index: int, pool: Pool | None, gpu_memory: str | int | None) -> None:
        """Segment an image that is larger than memory."""
        from maunet_lite.scale.batch.large import segment_large

        job = self.jobs[index]
        try:
            self.note(index, segment_large(job, self.plan, pool, gpu_memory))
        except Exception as error:
            self.note(index, one_image.failed(job, error))


@contextmanager
def _threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Give threads; after an error or Ctrl-C they finish what they have begun, and begin nothing else."""
    executor = ThreadPoolExecutor(count, name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
