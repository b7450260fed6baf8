"""How many images pass through one process, or many: read ahead, predict, finish behind."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

from maunet_lite.data import image_size
from maunet_lite.inference import Size, advice
from maunet_lite.scale import provenance
from maunet_lite.scale.batch import one_image
from maunet_lite.scale.batch.one_image import SEEN, Outcome, Plan
from maunet_lite.scale.memory import needs_blocks
from maunet_lite.scale.pool import Pool, ahead
from maunet_lite.scale.slides.segment import segment_slide

_PROCESS = 2**29  # bytes that the process takes before it has any image
_WHOLE_MAP = 64  # bytes per pixel, for tracing and measuring a whole label map with its image


def run(items: Sequence[Outcome], plan: Plan, pool: Pool | None, progress: bool) -> None:
    """Do everything: first the many, side by side; then the large ones, one at a time."""
    with tqdm(total=len(items), unit="image", disable=None if progress else True) as bar:
        groups = defaultdict(list)
        for item in items:
            if not _attempt(plan.check, item).status:
                _attempt(lambda item: groups[way(item, plan, pool)].append(item), item)
            if item.status:
                bar.update()
        if pool is not None:
            todo = groups["together"] + groups["alone"]
            for place, result in pool.map(one_image.work, todo, plan=plan):
                if isinstance(result, BaseException):
                    todo[place].fail(result)
                else:  # a copy that has travelled
                    vars(todo[place]).update(vars(result))
                bar.update()
        else:
            for batch in (groups["together"], *([item] for item in groups["alone"])):
                pipeline(batch, plan, bar.update)
        for item in groups["blocks"]:
            _attempt(in_blocks, item, plan, pool)
            bar.update()


def _attempt(function: Callable[..., Any], item: Outcome, *arguments: Any) -> Outcome:
    """Do something with an image unless it has failed; whatever is wrong with it must not stop the others."""
    try:
        if item.status != "failed":
            function(item, *arguments)
    except Exception as error:
        item.fail(error)
    return item


def way(item: Outcome, plan: Plan, pool: Pool | None) -> str:
    """Tell whether an image is done "together" with others, leaves no room for them, or needs "blocks"."""
    if plan.memory is None:
        return "blocks" if item.image.is_dir() and needs_blocks(item.image) else "together"
    if needs_blocks(item.image, plan.memory // (1 if pool is None else pool.n_workers)):
        return "blocks"
    share = max(plan.memory - _PROCESS, 0) // 6 + _PROCESS  # six images are in memory at once
    return "alone" if needs_blocks(item.image, share) else "together"


def pipeline(items: Sequence[Outcome], plan: Plan, tick: Callable[[], Any]) -> None:
    """Read ahead, ask the network in this thread, finish behind; `tick` is called for each image done.

    Two images are read before the network asks for them, and it is done with two that are not finished.

    After Ctrl-C the few images that the network is done with are finished, and nothing else is begun.
    """
    with ThreadPoolExecutor(1, "read") as readers, ThreadPoolExecutor(2, "finish") as finishers:
        loaded = ahead(readers, lambda item: _attempt(one_image.read, item, plan), items, 2)
        seen = (_attempt(one_image.see, item, plan) for item in loaded)
        for _ in ahead(finishers, lambda item: _attempt(one_image.finish, item, plan), seen, 2):
            tick()


def in_blocks(item: Outcome, plan: Plan, pool: Pool | None) -> None:
    """Segment an image that is larger than memory, then write what else is wanted of it.

    Measurements and exports need the whole label map. Where it does not fit into memory, only the label
    map is written, and `reason` says so.
    """
    if "tiff" in item.missing:
        one_image.clear(item)
        source, size = provenance.describe_image(item.image), plan.size_of(item)
        passed = {"scales", "diameter", "device", "window", "flips"}
        how = {name: plan.options[name] for name in passed & plan.options.keys()}
        with item.timed("network"):
            result = segment_slide(
                item.image, item.labels, list(plan.models), memory=plan.memory or "4GiB",
                gpu_memory=plan.gpu_memory, postprocess=plan.config, pool=pool, progress=False,
                description=provenance.to_text(source, plan.made_of(item), ["tiff"], size),
                pixel_size=size, **plan.reading_of(item), **how,
            )  # fmt: skip
        item.cells, item.status = result.cells, "segmented"
        item.size = Size(result.diameter, (result.scale,))
        if unused := {"overlap", "half", "single_scale_above"} & plan.options.keys():
            item.note(f"{', '.join(sorted(unused))} not used: the image was segmented in blocks")
        if not result.cells:
            item.note(advice(np.zeros((1, 1), np.int32), item.size, ()))
        item.missing.remove("tiff")
    if lost := item.missing & SEEN:
        item.note(f"no {', '.join(sorted(lost))} of an image in blocks: give more --memory, or a part of it")
        item.missing -= lost
        item.status = item.status or ("" if item.missing else "skipped")
    item.height, item.width = image_size(item.labels)
    if item.missing and _WHOLE_MAP * item.height * item.width > (plan.memory or float("inf")):
        kinds = ", ".join(sorted(item.missing))
        item.note(f"too large for {kinds} within the memory: only its label map is written")
        item.status = item.status or "completed"
    elif item.missing:
        one_image.read(item, plan)
        one_image.finish(item, plan)
