"""What a report says of the slide, the run and the model, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from napari_liverdx.core.ood import NO_STATISTICS
from napari_liverdx.reports.parts import Facts
from napari_liverdx.results.findings import Findings
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.privacy import redact
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["all_facts", "manifest_json", "measuring_note", "shown_name", "warnings_of"]

_BASIS_NOTES = {
    MapKind.SUBTILES: "Measured on the fine map; overlapping tiles are averaged.",
    MapKind.TILES: (
        "Measured on tiles: the tissue in a tile's box, one stride wide, has that tile's "
        "probabilities."
    ),
    MapKind.TILES_AVERAGED: (
        "Measured on tiles: the tissue in a tile's box, one stride wide, has the mean "
        "probabilities of all analyzed tiles that cover the box's center."
    ),
}


def shown_name(manifest: RunManifest, hide_name: bool) -> str:
    """Return the slide's file name, or eight digits of its fingerprint in its place."""
    return manifest.pseudonym if hide_name else manifest.slide_name


def _hidden(text: str, manifest: RunManifest, hide_name: bool) -> str:
    if not hide_name:
        return text
    return redact(text, manifest.slide_name, manifest.pseudonym)


def warnings_of(store: ResultStore, hide_name: bool) -> tuple[str, ...]:
    """Return what a reader must know before the numbers."""
    manifest = store.manifest
    found = [_sentence(_hidden(w, manifest, hide_name)) for w in manifest.warnings]
    ood = manifest.ood
    if ood.get("state") in ("unusual", "foreign"):
        found.append(
            f"{_sentence(ood['sentence'])} {_sentence(ood['numbers'])} "
            "Its probabilities and areas may be unreliable."
        )
    done, failed, pending = (
        store.count(s) for s in (TileState.DONE, TileState.FAILED, TileState.PENDING)
    )
    if failed:
        found.append(
            f"{failed:,} of {done + failed + pending:,} tiles could not be read and are left out."
        )
    if pending:
        found.append(f"This run is not finished: {pending:,} tiles are still to be analyzed.")
    return tuple(found)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def measuring_note(store: ResultStore, map_kind: MapKind, *, foci: bool, regions: bool) -> str:
    """Describe how areas and foci were measured."""
    (width, height), (mpp_x, mpp_y) = store.subtile_size, store.manifest.mpp
    note = (
        f"{_BASIS_NOTES[map_kind]} Areas count map pixels of "
        f"{width * mpp_x:.3g} × {height * mpp_y:.3g} µm."
    )
    if foci:
        note += (
            " A focus is a connected region of counted map pixels; its size is its longest "
            "diameter."
        )
    if foci and regions:
        note += " In a region, a focus counts with its part inside."
    return note


def manifest_json(manifest: RunManifest, hide_name: bool) -> str:
    """Return the manifest as JSON, with or without the slide's file name."""
    shown = manifest.model_copy(
        update={
            "slide_name": shown_name(manifest, hide_name),
            "warnings": tuple(_hidden(w, manifest, hide_name) for w in manifest.warnings),
        }
    )
    return json.dumps(shown.model_dump(mode="json"), indent=1, ensure_ascii=False)


def all_facts(
    store: ResultStore,
    card: Mapping[str, Any],
    findings: Findings,
) -> tuple[Facts, ...]:
    """Return slide prediction, slide and run, model, domain and calibration."""
    run = _slide_and_run(store, findings.tissue_mm2)
    parts = [_slide_call(store), run, _model(store.manifest, card)]
    parts.append(_trust(store.manifest, card, findings))
    return tuple(part for part in parts if part.rows)


def _slide_call(store: ResultStore) -> Facts:
    call = store.slide_prediction
    if call is None:
        return Facts("Slide prediction", ())
    rows = [(_sentence(name)[:-1], value) for name, value in call.lines()]
    if call.deciding:
        listed = "; ".join(
            f"{100 * t.weight:.1f} % at x {t.rect.x:.0f}, y {t.rect.y:.0f}"
            for t in call.deciding[:5]
        )
        rows.append(("Tiles that decided", f"{listed} (share of the attention; level-0 pixels)"))
    return Facts("Slide prediction", tuple(rows))


def _slide_and_run(store: ResultStore, tissue_mm2: float) -> Facts:
    m = store.manifest
    (width, height), (mpp_x, mpp_y) = m.slide_size, m.mpp
    times = [m.timings.get(k, 0.0) for k in ("seconds", "read_seconds", "model_seconds")]
    times.append(m.timings.get("write_seconds", 0.0))
    size = f"{width} × {height} px, {width * mpp_x / 1000:.2f} × {height * mpp_y / 1000:.2f} mm"
    rows = [
        ("Size", size),
        ("Resolution", f"{mpp_x:.4g} µm/px ({m.mpp_source})"),
        *_view(m),
        ("Analyzed tissue", f"{tissue_mm2:.3f} mm² in {store.count(TileState.DONE):,} tiles"),
    ]
    for key, what in (("excluded", "Left out of it"), ("kept", "Artifacts in it")):
        if areas := m.tissue.get(key):
            listed = ", ".join(f"{name} {area:.3f} mm²" for name, area in areas.items())
            rows.append((what, f"{listed} (of the whole slide)"))
    if m.tissue.get("edited"):
        rows.append(("Tissue", "Edited by a person before the run"))
    rows += [
        ("Overlap of tiles", f"{100 * m.overlap:.0f} %"),
        ("Device", m.device),
        (
            "Time",
            f"{times[0]:.1f} s (waiting for tiles {times[1]:.1f} s, network {times[2]:.1f} s, "
            f"storing {times[3]:.1f} s)",
        ),
    ]
    if m.finished or m.created:
        rows.append(("Finished" if m.finished else "Begun", m.finished or m.created))
    return Facts("Slide and run", tuple(rows))


def _view(manifest: RunManifest) -> list[tuple[str, str]]:
    """Return what was chosen of the file: a scene, a part of it, other colors."""
    rows = []
    if manifest.scene is not None:
        rows.append(("Scene", f"{manifest.scene} ({manifest.scene_name})"))
    if any(manifest.slide_origin):
        x, y = manifest.slide_origin
        rows.append(("Begins at", f"x {x:,}, y {y:,} in the file's own pixels"))
    if manifest.color_managed:
        rows.append(("Colors", "Converted to sRGB by the slide's ICC profile"))
    return rows


def _model(manifest: RunManifest, card: Mapping[str, Any]) -> Facts:
    rows = [
        ("Name", f"{card['name']} — {card['summary']}"),
        ("Version", f"{card['version']}, SHA-256 {manifest.model_sha256[:16]}"),
        ("Reads", f"tiles of {card['tile_size']} px at {card['mpp']:g} µm/px"),
        ("Training data", card["training_data"] or "Not stated in the model card."),
        ("Terms of the data", card.get("data_licence") or "Not stated in the model card."),
        ("Terms of the model", card.get("licence") or "Not stated in the model card."),
        ("Intended use", card["intended_use"]),
        (
            "Limits",
            card["limitations"] or "Limitations not stated in the model card.",
        ),
    ]
    return Facts("Model", tuple(rows))


def _trust(
    manifest: RunManifest,
    card: Mapping[str, Any],
    findings: Findings,
) -> Facts:
    ood = manifest.ood
    if ood:
        said = _sentence(ood["sentence"])
        said += f" {_sentence(ood['numbers'])}" if ood.get("numbers") else ""
    else:
        said = _sentence(NO_STATISTICS)
    rows = [
        ("Distribution", said),
        ("Temperature", _temperature(card)),
        ("Calibration error", _metrics_like(card, "calibration error") or _NO_ECE),
        ("Prediction sets", _prediction_sets(card, findings)),
    ]
    if covered := _metrics_like(card, "coverage"):
        rows.append(("Measured coverage", covered))
    return Facts("Distribution and calibration", tuple(rows))


_NO_ECE = "Calibration not reported in the model card."


def _temperature(card: Mapping[str, Any]) -> str:
    value = float(card.get("temperature") or 1)
    if card.get("output") == "probabilities":
        return "None: the network gives probabilities itself, and they are used as they are."
    if value == 1:
        return "1: logits are used as the network gives them."
    return f"{value:.3g}: logits were divided by it before softmax, to fit held-out samples."


def _metrics_like(card: Mapping[str, Any], words: str) -> str:
    found = []
    for name, metric in (card.get("metrics") or {}).items():
        if words not in name:
            continue
        text = f"{metric['value']:.3f}"
        if metric.get("low") is not None and metric.get("high") is not None:
            text += f" ({metric['low']:.3f} to {metric['high']:.3f})"
        found.append(f"{name} {text}")
    return "; ".join(found) + "." if found else ""


def _prediction_sets(card: Mapping[str, Any], findings: Findings) -> str:
    conformal = card.get("conformal") or {}
    # The scores that belong to what was measured; models without a dense map have the tile's only.
    dense = findings.settings.map_kind is MapKind.SUBTILES and bool(conformal.get("cell"))
    scores = conformal.get("cell" if dense else "tile")
    if not scores:
        return (
            "The model card holds no calibration scores: no error rate can be guaranteed, and no "
            "map pixel is reported as uncertain."
        )
    what = "map pixel" if dense else "tile"
    text = f"Calibrated on {scores['samples']:,} held-out {what}s of {scores['groups']:,} groups. "
    rate, quantile = findings.settings.error_rate, findings.assignment.quantile
    if rate is None or quantile is None:
        return (
            text
            + "No error rate was chosen for this report, so no map pixel is reported as uncertain."
        )
    if quantile == float("inf"):
        return text + f"So few groups promise nothing at an error rate of {rate:g}."
    return text + (
        f"At the chosen error rate of {rate:g}, the true class lies in the set of a {what} of "
        f"a new group like those with a probability of {1 - rate:g} or more; on dissimilar slides "
        f"this is not guaranteed."
    )
