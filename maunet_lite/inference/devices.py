"""What to compute on, and how precisely."""

import torch


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on: for ``"auto"`` CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        If `device` is no device, or one that is not there: CUDA, MPS, or the number of a GPU.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    n_mps = int(torch.backends.mps.is_available())
    if device == "auto":
        return torch.device("cuda" if n_cuda else "mps" if n_mps else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        known = "'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"
        raise ValueError(f"device {device!r} is not known: use {known}") from error
    count = {"cuda": n_cuda, "mps": n_mps}.get(resolved.type, 1)
    if resolved.type != "cpu" and (resolved.index or 0) >= count:
        known = [f"'{resolved.type}:{index}'" for index in range(count)]
        seen = ", ".join(known) or f"no {resolved.type.upper()} device"
        what = f"device {str(device)!r}: torch {torch.__version__} sees {seen} here"
        raise ValueError(f"{what}; use 'auto' or 'cpu'")
    return resolved


def checked_half(half: bool | None, device: torch.device) -> bool:
    """Return whether to compute in half precision; by default on CUDA only."""
    if half and device.type != "cuda":
        raise ValueError(f"half=True needs a CUDA device, but the device is {device}: leave half out")
    return device.type == "cuda" if half is None else half
