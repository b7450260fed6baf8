"""The card of a network: what it was trained on and how, its scores, its failures; also the page of a hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def model_card(name: str, parameters: int, record: Mapping[str, Any]) -> str:
    r"""Return the card of a network as Markdown, headed by the YAML that hubs read.

    The words stand in ``card.md.j2``.

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
    library_name: maunet-lite
    license: mit
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData  # takes most of a second

    task, scores = "image-segmentation", record.get("scores", {})
    of = {"task_type": task, "dataset_type": "cells", "dataset_name": "cells", "dataset_split": "val"}
    of |= {"metric_type": "f1", "metric_name": "F1 at IoU 0.5, mean over images"}
    results = [EvalResult(dataset_config=k, metric_value=row["mean_f1"], **of) for k, row in scores.items()]
    data = ModelCardData(
        model_name=name, license=record.get("licence"), library_name="maunet-lite", pipeline_tag=task,
        tags=["cell-segmentation", "microscopy", "maunet"], metrics=["f1"], eval_results=results or None,
        datasets=[*record.get("sources", {})] or None,
    )  # fmt: skip
    template = Path(__file__).with_name("card.md.j2")
    told = {"name": name, "parameters": parameters, **record}
    return str(ModelCard.from_template(data, template_path=template, **told)).rstrip() + "\n"
