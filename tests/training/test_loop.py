"""The one training loop: what is kept, when it stops, how it resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.config import FitSettings
from napari_liverdx.training.keys import Key
from napari_liverdx.training.loop import TrainTask, Validation, fit, prefetch
from napari_liverdx.training.state import TrainState


class Line(TrainTask[nn.Linear, Tensor]):
    """Fit a line; validation losses are told beforehand where they are given."""

    steps = 3

    def __init__(self, told: list[float] | None = None) -> None:
        self.told = told or []
        self.seen: list[Tensor] = []

    def prepare(self, network: nn.Linear, epoch: int) -> None:
        assert network.training

    def batches(self, epoch: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(self.steps):
            yield torch.rand(8, 1, generator=generator)

    def loss(self, network: nn.Linear, batch: Tensor) -> Tensor:
        return (network(batch) - 2 * batch).square().mean()

    def validate(self, network: nn.Linear) -> Validation:
        self.seen.append(network.weight.detach().clone())
        with torch.no_grad():
            value = float(self.loss(network, torch.ones(1, 1)))
        return Validation(self.told[len(self.seen) - 1] if self.told else value)


def start(key: str = "line") -> tuple[nn.Linear, TrainState[nn.Linear]]:
    torch.manual_seed(0)
    network = nn.Linear(1, 1)
    state = TrainState.start(network, [(network.parameters(), 0.1)], 0.0, key=Key(key))
    return network, state


def test_the_best_weights_are_kept_and_patience_ends_it() -> None:
    network, state = start()
    task = Line([3.0, 1.0, 2.0, 2.0, 0.5])
    epochs = list(fit(network, task, FitSettings(epochs=9, patience=2), state))
    assert [(e.epoch, e.best, e.stopped_early) for e in epochs] == [
        (1, True, False),
        (2, True, False),
        (3, False, False),
        (4, False, True),
    ]
    assert torch.equal(network.weight, task.seen[1])
    assert not network.training


def test_the_running_mean_is_what_is_judged() -> None:
    own, slow = Line(), Line()
    for task, decay in ((own, 0.0), (slow, 0.9)):
        network, state = start()
        first = network.weight.detach().clone()
        list(fit(network, task, FitSettings(1, 1, ema_decay=decay), state))
    assert (slow.seen[0] - first).abs() < (own.seen[0] - first).abs()


def test_rates_decay_to_zero_after_the_warm_up() -> None:
    network, state = start()
    rates = []
    settings = FitSettings(epochs=3, patience=3, warmup_epochs=1)
    list(
        fit(
            network,
            Line(),
            settings,
            state,
            on_batch=lambda *_: rates.append(state.optimizer.param_groups[0]["lr"]) is None,
        )
    )
    assert rates[:4] == pytest.approx([0.1] * 4)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] < 0.01


def test_a_stopped_epoch_counts_for_nothing() -> None:
    network, state = start()
    before = network.weight.detach().clone()
    heard = []
    epochs = fit(
        network,
        Line(),
        FitSettings(5, 5),
        state,
        on_batch=lambda step, steps: heard.append((step, steps)) or len(heard) < 2,
    )
    assert list(epochs) == []
    assert heard == [(1, 3), (2, 3)]
    assert torch.equal(network.weight, before)


def test_a_resumed_run_is_an_uninterrupted_one(tmp_path: Path) -> None:
    settings, path = FitSettings(4, 4, ema_decay=0.5), tmp_path / "run.checkpoint"
    whole, state = start()
    expected = list(fit(whole, Line(), settings, state))
    network, state = start()
    begun = fit(network, Line(), settings, state, checkpoint=path)
    next(begun)
    begun.close()
    again, state = start()
    resumed = list(fit(again, Line(), settings, state, checkpoint=path))
    assert [e.restored for e in resumed] == [True, False, False, False]
    assert [e.val_loss for e in resumed] == [e.val_loss for e in expected]
    assert torch.equal(again.weight, whole.weight)
    other, state = start("another line")
    with pytest.raises(DataError, match="of another run"):
        next(fit(other, Line(), settings, state, checkpoint=path))


def test_divergence_is_told() -> None:
    network, state = start()
    with pytest.raises(DataError, match="training diverged"):
        list(fit(network, Line([float("nan")]), FitSettings(2, 2), state))


def test_batches_made_ahead_come_in_order_and_all() -> None:
    """What runs on a GPU: each batch is drawn in a thread while the one before is used."""
    assert list(prefetch(iter(range(1, 6)))) == [1, 2, 3, 4, 5]
    assert list(prefetch([])) == []
    early = prefetch(range(1, 100))
    assert next(early) == 1
    early.close()
