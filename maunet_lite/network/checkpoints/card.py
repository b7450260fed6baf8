"""The card of a network: what it was trained on and how, its scores, its failures; also the page of a hub."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

PAPER = "MAUNet (Li et al., Cell Segmentation Challenge of NeurIPS 2022)"
SCORES = {  # of `evaluation.summary`: how they are headed
    "images": "images", "mean_f1": "F1", "median_f1": "median", "pooled_f1": "pooled over cells",
    "mean_f1_plain": "F1 plain", "mean_dice": "Dice", "mean_pq": "PQ",
}  # fmt: skip


def model_card(name: str, parameters: int, record: Mapping[str, Any]) -> str:
    r"""Return the card of a network as Markdown, headed by the YAML that hubs read.

    Parameters
    ----------
    name : str
        Of the network.
    parameters : int
        Number of its parameters.
    record : mapping
        What `read_record` returns; of a network that was never trained it is empty. Told are ``training``
        (the settings), ``stages`` (of several trainings), ``sources`` and ``licences`` (name: number of
        images), ``licence`` (of the weights, an SPDX name), ``commit``, ``machine``, ``scores`` and
        ``baseline`` (tables of `evaluation.summary`, by modality), ``failures``.

    Returns
    -------
    str

    Examples
    --------
    >>> print(*model_card("mine", 1000, {"licence": "mit"}).splitlines()[1:3], sep="\n")
    license: mit
    library_name: maunet-lite
    """
    head = yaml.safe_dump(_metadata(name, record), sort_keys=False, allow_unicode=True)
    sections = {
        "How it was trained": _table(["", ""], _training(record)),
        "Scores": _scores(record),
        "Known failures": record.get("failures") or "Nobody has looked for them: try it on your images.",
    }
    text = (
        f"A network for the segmentation of cells and nuclei in images of microscopes, after {PAPER}: "
        f"{parameters:,} parameters.\n\n```python\nimport maunet_lite as ml\n\n"
        'network = ml.MAUNet.from_pretrained("FOLDER")  # this folder, or the name of this repository\n'
        "labels = ml.segment(image, network)  # (H, W): 0 background, cells 1 … N\n```"
    )
    parts = [
        f"---\n{head}---\n\n# {name}",
        text,
        *(f"## {title}\n\n{body}" for title, body in sections.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a hub reads: licence, library, data, metrics, results."""
    found = {"license": record["licence"]} if "licence" in record else {}
    found |= {"library_name": "maunet-lite", "tags": ["cell-segmentation", "microscopy", "maunet"]}
    found |= {"pipeline_tag": "image-segmentation", "datasets": [*record.get("sources", {})]}
    results = [
        {
            "task": {"type": "image-segmentation", "name": "instance segmentation of cells"},
            "dataset": {"name": f"cells, validation split, {modality}", "type": "cells"},
            "metrics": [{"type": "f1", "name": "F1 at IoU 0.5, mean over images", "value": row["mean_f1"]}],
        }
        for modality, row in record.get("scores", {}).items()
    ]
    index = {"model-index": [{"name": name, "results": results}]} if results else {}
    return found | {"metrics": ["f1"]} | index


def _training(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows of the table on the training, those that the record knows."""
    run = record.get("training", {})
    stages = record.get("stages", [record] if run else [])
    if run:
        heads = "".join(f", without {part}" for part in ("proxy", "distance", "boundary") if not run[part])
        yield "architecture", f"preset `{run['model']}`{heads}"
    for what in ("sources", "licences"):
        if counts := record.get(what):
            text = ", ".join(f"{name} ({count})" for name, count in counts.items())
            total = f"{sum(counts.values())} images: " if what == "sources" else ""
            yield {"sources": "data", "licences": "licences of the images"}[what], f"{total}{text}"
    if run:
        steps, minutes = (" + ".join(f"{s[key]:,.0f}" for s in stages) for key in ("steps", "minutes"))
        patch = f"{run['batch_size']} patches of {run['augmentation']['patch']} pixels"
        yield "budget", f"{steps} steps of {patch}, {minutes} minutes on {record['machine']}"
        recipe = (
            f"AdamW, learning rate {run['learning_rate']}, {run['schedule']} schedule, seed {run['seed']}"
        )
        yield "recipe", f"{recipe}; everything in `config.json`"
    for key in ("commit", "source", "sha256"):
        if key in record:
            yield key, f"{record[key]}"
    yield "licence of the weights", record.get("licence", "not given: ask whoever made them")


def _scores(record: Mapping[str, Any]) -> str:
    """Return the table of scores beside the baseline, and what they are of."""
    scores, baseline = record.get("scores", {}), record.get("baseline", {})
    if not scores:
        return "None on record. `maunet-lite evaluate --data FOLDER --model FOLDER` prints them."
    rows = []
    for modality, row in scores.items():
        values = [f"{row['images']:.0f}", *(f"{row[key]:.3f}" for key in SCORES if key != "images")]
        other = baseline.get(modality, {}).get("mean_f1")
        rows.append((modality, *values, "–" if other is None else f"{other:.3f}"))
    return (
        "F1 at IoU 0.5 by the rules of the paper's challenge, mean over images (*plain*: without "
        "post-processing), beside Otsu's threshold with a watershed. No image of this validation split was "
        "trained on, but settings and checkpoints were chosen on it: expect a little less on new images.\n\n"
    ) + _table(["modality", *SCORES.values(), "F1 of Otsu + watershed"], rows)


def _table(heads: list[str], rows: Any) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
