"""Which model, and its card."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_liverdx.models.card import ModelCard
from napari_liverdx.widgets.main.ood_notice import OodNotice
from napari_liverdx.widgets.parts.panel import Panel, quiet_label

__all__ = ["CardDialog", "ModelPanel", "card_html"]


class ModelPanel(Panel):
    """Choice of model.

    Signals: ``model_chosen(str)``, ``file_requested()``, ``card_requested()``.
    """

    model_chosen = Signal(str)
    file_requested = Signal()
    card_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self.choice = QComboBox()
        self.choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.choice.activated.connect(
            lambda index: self.model_chosen.emit(str(self.choice.itemData(index)))
        )
        self.card_button = QPushButton("Card")
        self.card_button.setToolTip("Training data, performance, limitations")
        self.card_button.clicked.connect(self.card_requested)
        self.file_button = QPushButton("File…")
        self.file_button.setToolTip("Use a model file (.safetensors)")
        self.file_button.clicked.connect(self.file_requested)
        row = QHBoxLayout()
        row.addWidget(self.choice, 1)
        row.addWidget(self.card_button)
        row.addWidget(self.file_button)
        self.body.addLayout(row)
        self.summary = quiet_label()
        self.body.addWidget(self.summary)
        self.ood = OodNotice()
        self.body.addWidget(self.ood)

    def set_models(self, cards: dict[str, ModelCard], current: str) -> None:
        """List models by title."""
        self.choice.clear()
        for name, card in cards.items():
            self.choice.addItem(card.title, name)
        self.choice.setCurrentIndex(self.choice.findData(current) if current else -1)

    def show_card(self, card: ModelCard | None) -> None:
        """Show the chosen model's summary."""
        self.summary.setText("" if card is None else card.summary)
        self.card_button.setEnabled(card is not None)


class CardDialog(QDialog):
    """A model card to read."""

    def __init__(self, card: ModelCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(card.title)
        self.resize(640, 620)
        browser = QTextBrowser()
        browser.setHtml(card_html(card))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(browser)
        layout.addWidget(buttons)


def card_html(card: ModelCard) -> str:
    """Return a model card as simple HTML."""
    classes = "".join(
        f'<li><span style="color:{c.color}">■</span> {escape(c.title)} ({c.kind})</li>'
        for c in card.classes
    )
    metrics = "".join(
        f"<tr><td>{escape(name)}</td><td>{m}</td></tr>" for name, m in card.metrics.items()
    )
    parts = [
        f"<h2>{escape(card.title)}</h2><p>{escape(card.summary)}</p>",
        f"<p><b>Version</b> {escape(card.version)} · <b>{escape(card.architecture)}</b> · "
        f"{card.tile_size} px at {card.mpp:g} µm/px</p>",
        f"<h3>Classes</h3><ul>{classes}</ul>",
    ]
    for title, text in (
        ("Fine-tuned from", _lineage(card)),
        ("Intended use", card.intended_use),
        ("Limitations", card.limitations),
        ("Training data", card.training_data),
        ("License of the data", card.data_license),
        ("License of the weights", card.license),
        ("Made by", card.command),
    ):
        if text:
            parts.append(f"<h3>{title}</h3><p>{escape(text)}</p>")
    if metrics:
        parts.append(f'<h3>Measured (95 % intervals)</h3><table cellpadding="3">{metrics}</table>')
    return "".join(parts)


def _lineage(card: ModelCard) -> str:
    """Return what a version was fine-tuned from and when; empty for a model that was not."""
    if not card.parent:
        return ""
    name, version = card.parent.get("name", ""), card.parent.get("version", "")
    digest = card.parent.get("sha256", "")[:12]
    return f"{name} version {version} (SHA-256 {digest}…), {card.created}".rstrip(", ")
