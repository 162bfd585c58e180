"""The recurrent operator that lets every subtile of a grid see the whole grid."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["RecurrentContext"]


class RecurrentContext(nn.Module):
    """A bidirectional recurrent network along the rows of a grid, then one along its columns.

    After both sweeps every subtile has received signal from every other (ReNet, Visin et al. 2015,
    arXiv:1505.00393). Masked subtiles are set to zero before each sweep and in the output.

    Parameters
    ----------
    channels : int
        Channels of the grid.
    hidden : int
        Units per direction; the output has ``2 * hidden`` channels.
    kind : {"gru", "lstm"}
        Kind of recurrent unit.

    Raises
    ------
    ValueError
        If ``kind`` is unknown.
    """

    def __init__(self, channels: int, hidden: int, kind: str = "gru") -> None:
        super().__init__()
        subtiles = {"gru": nn.GRU, "lstm": nn.LSTM}
        if kind not in subtiles:
            raise ValueError(f"recurrent unit {kind!r} is unknown; use one of {sorted(subtiles)}")
        self.out_channels = 2 * hidden
        self.rows = subtiles[kind](channels, hidden, batch_first=True, bidirectional=True)
        self.columns = subtiles[kind](2 * hidden, hidden, batch_first=True, bidirectional=True)

    def forward(self, grid: Tensor, mask: Tensor | None = None) -> Tensor:
        """Sweep the grid.

        Parameters
        ----------
        grid : Tensor, shape (n, channels, rows, columns), float
            The grid.
        mask : Tensor, shape (n, rows, columns), bool, optional
            True where a subtile carries signal.

        Returns
        -------
        Tensor, shape (n, 2 * hidden, rows, columns), float
        """
        keep = None if mask is None else mask[:, None].to(grid.dtype)
        grid = grid if keep is None else grid * keep
        n, channels, rows, columns = grid.shape
        sequences = grid.permute(0, 2, 3, 1).reshape(n * rows, columns, channels)
        swept = self.rows(sequences)[0].reshape(n, rows, columns, self.out_channels)
        if keep is not None:
            swept = swept * keep.permute(0, 2, 3, 1)
        sequences = swept.transpose(1, 2).reshape(n * columns, rows, self.out_channels)
        swept = self.columns(sequences)[0].reshape(n, columns, rows, self.out_channels)
        out: Tensor = swept.permute(0, 3, 2, 1)
        return out if keep is None else out * keep
