"""Images among many that are larger than memory: in blocks, then measured and exported if they fit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import tifffile

from maunet_lite.scale import provenance
from maunet_lite.scale.batch import one_image
from maunet_lite.scale.batch.one_image import Job, Plan, Row

if TYPE_CHECKING:
    from maunet_lite.scale.pool import Pool

BYTES = 64  # per pixel, for tracing and measuring a whole label map with its image


def segment_large(job: Job, plan: Plan, pool: Pool | None, gpu_memory: str | int | None) -> Row:
    """Segment an image in blocks and write what is wanted of it.

    Measurements and exports need the whole label map. Where it does not fit into memory, only the label
    map is written, and the row says so.
    """
    from maunet_lite.scale.slides.segment import segment_slide

    row, start = Row(job.image, job.labels), time.perf_counter()
    missing, row.reason = plan.todo(job)
    if "tiff" in missing:
        plan.clear(job, missing)
        source = provenance.describe_image(job.image)
        record = provenance.to_text(source, plan.made or {}, ["tiff"], plan.pixel_size)
        options = {name: plan.options[name] for name in ("scales", "device") if name in plan.options}
        result = segment_slide(
            job.image, job.labels, list(plan.models), memory=plan.memory or "4GiB", gpu_memory=gpu_memory,
            postprocess=plan.config, resume=not plan.overwrite, pool=pool, progress=False, description=record,
            **options,
        )  # fmt: skip
        row.cells = result.cells
        row.timed("network", start)
    else:
        row.status = "completed"
    with tifffile.TiffFile(job.labels) as file:
        row.height, row.width = file.series[0].shape[-2:]
    missing -= {"tiff"}
    if not missing:
        return row
    if plan.memory is not None and BYTES * row.height * row.width > plan.memory:
        row.reason += "; " if row.reason else ""
        row.reason += (
            f"too large for {', '.join(sorted(missing))} within the memory: only its label map is written"
        )
        return row
    status, cells = row.status, row.cells
    row = one_image.complete(job, plan, row, missing)
    row.status = status
    row.cells = row.cells or cells
    return row
