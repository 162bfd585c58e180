"""Where the network runs, how precisely, and why there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_liverdx.core.errors import PlanError

__all__ = ["DeviceChoice", "choose_device"]


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """The device a run uses.

    Attributes
    ----------
    device : str
        torch's name, for example ``"cuda:0"``.
    name : str
        For people.
    precision : {"float32", "float16", "bfloat16"}
        Arithmetic of the network; probabilities are always float32.
    reason : str
        Why this device; if it is the CPU, why no GPU.
    batch_size : int
        Most tiles at a time.
    adaptive : bool
        Begin with one tile and grow while batches are quick, so that a run can soon be stopped
        even with a slow network.
    """

    device: str
    name: str
    precision: str
    reason: str
    batch_size: int
    adaptive: bool = False

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}: {self.reason}"


def choose_device(requested: str = "auto", precision: str = "auto") -> DeviceChoice:
    """Choose among CUDA, Apple's MPS and the CPU.

    Parameters
    ----------
    requested : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    precision : str
        ``"auto"`` (float16 on CUDA, else float32), ``"float32"``, ``"float16"`` or
        ``"bfloat16"``.

    Raises
    ------
    PlanError
        If the requested device is not there or the precision is unknown.
    """
    known = ("auto", "float32", "float16", "bfloat16")
    if precision not in known:
        raise PlanError(f"precision {precision!r} is unknown; use one of {', '.join(known)}")
    kind = requested.split(":")[0]
    if kind not in ("auto", "cpu", "cuda", "mps"):
        raise PlanError(f"device {requested!r} is unknown; use auto, cpu, cuda or mps")
    if kind in ("auto", "cuda") and torch.cuda.is_available():
        device = torch.device("cuda" if requested == "auto" else requested)
        index = device.index if device.index is not None else torch.cuda.current_device()
        if index >= torch.cuda.device_count():
            raise PlanError(
                f"there is no {requested}; this computer has {torch.cuda.device_count()} GPUs"
            )
        gigabytes = torch.cuda.get_device_properties(index).total_memory / 2**30
        return DeviceChoice(
            f"cuda:{index}",
            torch.cuda.get_device_name(index),
            "float16" if precision == "auto" else precision,
            "CUDA GPU found",
            int(min(256, max(16, 16 * (gigabytes // 2)))),
        )
    if kind == "cuda":
        raise PlanError(f"CUDA was asked for but {_why_no_cuda()}; use --device cpu")
    if kind in ("auto", "mps") and torch.backends.mps.is_available():
        return DeviceChoice("mps", "Apple GPU", "float32", "Apple GPU found", 32)
    if kind == "mps":
        raise PlanError("MPS was asked for but this computer has none; use --device cpu")
    why = "selected by user" if kind == "cpu" else _why_no_cuda()
    precision = "float32" if precision == "auto" else precision
    # Larger batches leave the processor's cache and run slower; see docs/benchmarks.md.
    batch = 4 if precision == "float32" else 8
    return DeviceChoice("cpu", "CPU", precision, why, batch, adaptive=True)


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return "this PyTorch was built without CUDA"
    return "no NVIDIA GPU or driver was found"
