"""Knowing what a model does not know: domain, prediction sets, reliability."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import DataError, PlanError
from napari_liverdx.core.measure import measure
from napari_liverdx.core.ood import NO_STATISTICS, DomainRule, DomainState, read_domain
from napari_liverdx.core.prediction_sets import NOT_SURE, not_sure, prediction_sets
from napari_liverdx.experiments.plots import reliability_figure
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.ood import probe_domain, read_result
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.architectures.livernet import LiverNet
from napari_liverdx.models.calibration import expected_calibration_error, reliability_bins
from napari_liverdx.models.conformal import calibrate_conformal, conformal_quantile
from napari_liverdx.models.file import LoadedModel, load_model_file, rewrite_model_file
from napari_liverdx.models.ood import (
    BatchNormDomain,
    EmbeddingDomain,
    domain_scorer,
    overdispersion,
)
from napari_liverdx.models.zoo import find_model, load_model
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue
from napari_liverdx.training.calibrate import (
    Seen,
    coverage_by_halves,
    describe_model,
    false_alarms_by_halves,
    score_pictures,
    weighted_quantile,
)
from napari_liverdx.training.data.masks import MaskedSamples

from .conftest import CLASSES

RUN = CliRunner()
CPU = torch.device("cpu")


def plan_of(slide: Slide, model: LoadedModel) -> RunPlan:
    return plan_run(
        slide.levels, slide.mpp, slide_tissue(slide), model.card, device=choose_device("cpu")
    )


# -- a statement about a slide --


def test_slide_is_judged_by_how_many_tiles_lie_outside() -> None:
    rule = DomainRule(0.05, 0.1)
    assert rule.judge(0, 0) is DomainState.UNKNOWN
    assert rule.judge(5, 100) is DomainState.FAMILIAR
    assert rule.judge(40, 100) is DomainState.UNUSUAL
    assert rule.judge(60, 100) is DomainState.FOREIGN
    assert rule.judge(1, 1) is not DomainState.FOREIGN, "one tile condemns no slide"
    reading = read_domain(np.array([[0.2, np.nan], [1.5, 0.9]]), rule)
    assert (reading.tiles, reading.outside) == (3, 1)
    assert "1 of 3 tiles (33 %)" in str(reading)


@given(st.integers(1, 3000), st.floats(0.05, 0.6))
def test_usual_count_is_that_of_a_beta_binomial(tiles: int, overlap: float) -> None:
    rule = DomainRule(0.05, overlap)
    usual = rule.usual(tiles, 0.95)
    assert 0 <= usual <= tiles
    rng = np.random.default_rng(0)
    strength = 1 / overlap - 1
    drawn = rng.binomial(tiles, rng.beta(0.05 * strength, 0.95 * strength, 4000))
    assert (drawn > usual).mean() < 0.05 + 0.02
    assert (drawn > usual - 1 - tiles // 500).mean() > 0.05 - 0.02 or usual == 0


def test_without_held_out_specimens_only_markov_holds() -> None:
    rule = DomainRule(0.05, None)
    assert rule.judge(25, 100) is DomainState.FAMILIAR
    assert rule.judge(26, 100) is DomainState.UNUSUAL
    assert rule.judge(50, 100) is DomainState.UNUSUAL
    assert rule.judge(51, 100) is DomainState.FOREIGN


def test_overdispersion_tells_independent_from_all_or_none() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{i}" for i in range(200)], 10)
    assert overdispersion(rng.random(2000) < 0.2, groups) == 0.05
    assert overdispersion(np.repeat(rng.random(200) < 0.2, 10), groups) == 0.95
    assert overdispersion(np.ones(3, bool), np.array(["a", "b", "c"])) == 0.05


# -- scores of tiles --


def test_mahalanobis_distance_by_hand() -> None:
    corners = np.array([[3.0, 1, 0], [3, -1, 0], [-3, 1, 0], [-3, -1, 0]])
    domain = EmbeddingDomain.fit(corners)
    # Variances 12 and 4/3 along the axes; nothing along the third, so it costs very much.
    values = torch.tensor([[0.0, 0, 0], [6, 0, 0], [0, 2, 0], [6, 2, 0]])
    assert domain.distances(values).numpy() == pytest.approx([0, 3, 3, 6], rel=2e-3, abs=1e-6)
    assert float(domain.distances(torch.tensor([[0.0, 0, 1]]))) > 1000


@given(st.integers(0, 2**31), st.integers(2, 40))
@settings(max_examples=25)
def test_distance_does_not_depend_on_rotation(seed: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(200, features)) * rng.uniform(0.5, 3, features)
    turn = np.linalg.qr(rng.normal(size=(features, features)))[0]
    new = rng.normal(size=(5, features))
    straight = EmbeddingDomain.fit(values).distances(torch.from_numpy(new))
    turned = EmbeddingDomain.fit(values @ turn).distances(torch.from_numpy(new @ turn))
    assert straight.numpy() == pytest.approx(turned.numpy(), rel=2e-2)


def test_batch_norm_statistics_know_their_own_data(sample: Slide) -> None:
    """Mean 1 on what the statistics are of, little above the limit; more than 10 on noise."""
    torch.manual_seed(0)
    network = LiverNet(2)
    tiles = [
        sample.read_region(0, 1900 + 150 * (i % 8), 450 + 200 * (i // 8), 64, 64) for i in range(24)
    ]
    batch = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    with torch.no_grad():
        network(batch)
        network.eval()
        output, scores = BatchNormDomain(1.0)(network, batch)
        plain = network(batch)
        noise = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
        strange = BatchNormDomain(1.0)(network, noise)[1]
    assert torch.equal(output.scores, plain.scores), "looking changes nothing"
    assert float(scores.mean()) == pytest.approx(1, abs=0.25)
    assert float((scores > 3.84).float().mean()) < 0.05
    assert float(strange.min()) > 10
    assert not any(m._forward_pre_hooks for m in network.modules()), "hooks are taken off again"


# -- the packaged model --


def test_statistics_leave_the_weights_bit_identical(
    tmp_path: Path, tiny: LoadedModel, tiny_file: Path
) -> None:
    rng = np.random.default_rng(0)
    domain = EmbeddingDomain.fit(rng.normal(size=(60, 32)))
    card = tiny.card.model_copy(update={"domain": {**domain.fields(), "overlap": 0.1}})
    out = tmp_path / "with.safetensors"
    rewrite_model_file(tiny_file, card, domain.tensors(), out)
    before, after = load_file(tiny_file), load_file(out)
    assert set(after) - set(before) == {"domain.mean", "domain.components"}
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], tensor)
    loaded = load_model_file(out)
    assert isinstance(domain_scorer(loaded.card, loaded.statistics), EmbeddingDomain)
    assert domain_scorer(tiny.card, tiny.statistics) is None


def test_packaged_weights_are_those_that_were_trained() -> None:
    """Adding statistics must not have touched them: their hash before, over names and bytes."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(find_model("liver-steatosis")).items()):
        if not name.startswith("domain."):
            digest.update(name.encode() + tensor.numpy().tobytes())
    assert digest.hexdigest() == PACKAGED_WEIGHTS


PACKAGED_WEIGHTS = "fb0bd93788e2b617ad792eda682b5ef3d8374cd21aa736141df1bd76bca9ac16"


def tiles_of(data_root: Path, source: str, step: int) -> list[np.ndarray]:
    folder = data_root / "liver_steatosis"
    lines = (folder / "tiles.csv").read_text().splitlines()[1:]
    names = [line.split(",")[0] for line in lines if line.split(",")[2] == source][::step]
    found = []
    for name in names:
        (path,) = (folder / "images").glob(f"{name}.*")
        found.append(np.asarray(Image.open(path).convert("RGB"))[:224, :224])
    return found


def test_own_tiles_are_familiar_and_other_tissue_is_not(data_root: Path) -> None:
    model = load_model("liver-steatosis")
    rule = DomainRule(0.05, model.card.domain["overlap"])
    own = score_pictures(model, tiles_of(data_root, "A", 9), CPU)
    assert read_domain(own, rule).state is DomainState.FAMILIAR
    paths = sorted((data_root / "oral_he" / "oscc").glob("400x_*"))[::20][:16]
    other = [np.asarray(Image.open(p).convert("RGB").resize((224, 224))) for p in paths]
    assert read_domain(score_pictures(model, other, CPU), rule).state is DomainState.FOREIGN


def test_livernet_is_flagged_on_liver_from_elsewhere(data_root: Path, tmp_path: Path) -> None:
    from napari_liverdx.models.livernet_import import convert_livernet

    out = tmp_path / "livernet.safetensors"
    convert_livernet([data_root / "livernet" / "KMC_LiverNet_test_fold1.h5"], out)
    model = load_model_file(out)
    scores = score_pictures(model, tiles_of(data_root, "A", 16), CPU)
    assert read_domain(scores, DomainRule(0.05, None)).state is DomainState.FOREIGN


# -- before, during and after a run --


@pytest.fixture
def knowing(tiny: LoadedModel, sample: Slide) -> LoadedModel:
    """The quick model with statistics of another part of the slide."""
    tiles = [
        sample.read_region(0, 100 + 90 * (i % 6), 900 + 70 * (i // 6), 224, 224) for i in range(36)
    ]
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)
        embeddings = tiny.network(batch).embedding.numpy()
    domain = EmbeddingDomain.fit(embeddings)
    limit = float(np.quantile(domain.distances(torch.from_numpy(embeddings)).numpy(), 0.95))
    domain = replace(domain, limit=limit)
    card = tiny.card.model_copy(
        update={"domain": {**domain.fields(), "rate": 0.05, "overlap": 0.1}}
    )
    return replace(tiny, card=card, statistics=domain.tensors())


def test_resumed_run_gives_the_same_reading(
    tmp_path: Path, small_slide: Path, knowing: LoadedModel
) -> None:
    with open_slide(small_slide) as slide:
        plan = plan_of(slide, knowing)
        stores = []
        for name in ("whole", "resumed"):
            path = tmp_path / f"{name}.liverdx.zarr"
            manifest = make_manifest(plan, slide, knowing)
            store = ResultStore.create(path, manifest, plan.tissue, plan.tiles)
            steps = analyze(plan, slide, knowing, store)
            if name == "resumed":
                next(steps)
                next(steps)
                steps.close()
                assert 0 < len(store.pending(plan.tiles)) < len(plan.tiles)
                store = ResultStore.open(path)
                steps = analyze(plan, slide, knowing, store)
            last = list(steps)[-1]
            assert last.domain == read_result(store, knowing.card)
            stores.append(ResultStore.open(path))
    whole, resumed = stores
    np.testing.assert_allclose(whole.domain, resumed.domain, rtol=1e-3)
    assert np.isfinite(whole.domain).sum() == len(plan.tiles)
    assert whole.manifest.domain["tiles"] == len(plan.tiles)
    assert whole.manifest.domain == resumed.manifest.domain


def test_probe_looks_at_a_few_tiles_of_the_run(small_slide: Path, knowing: LoadedModel) -> None:
    with open_slide(small_slide) as slide:
        plan = plan_of(slide, knowing)
        reading = probe_domain(plan, slide, knowing, n=6)
        assert reading is not None
        assert reading.tiles == 6
        everything = probe_domain(plan, slide, knowing, n=10_000)
        assert everything is not None
        assert everything.tiles == len(plan.tiles)
        silent = replace(knowing, card=knowing.card.model_copy(update={"domain": {}}))
        assert probe_domain(plan, slide, silent) is None


def test_command_says_it_and_counts_not_sure(tmp_path: Path, small_slide: Path) -> None:
    out = tmp_path / "o"
    arguments = ["analyze", str(small_slide), "--out", str(out), "--error-rate", "0.05"]
    outcome = RUN.invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert "before the run: this slide" in outcome.output
    assert "whole run: this slide" in outcome.output
    table = (out / "small.liver-steatosis.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[-1]["class"] == NOT_SURE
    assert sum(float(r["percent_of_tissue"]) for r in rows) == pytest.approx(100, abs=0.01)
    page = (out / "small.liver-steatosis.html").read_text(encoding="utf-8")
    assert "error rate 0.05" in page
    assert "tiles (" in page.split("<td>Domain</td>")[1][:200]


def test_old_models_say_that_they_cannot_tell(
    tmp_path: Path, small_slide: Path, tiny_file: Path
) -> None:
    arguments = ["analyze", str(small_slide), "--out", str(tmp_path / "o"), "-m", str(tiny_file)]
    outcome = RUN.invoke(app, arguments)
    assert NO_STATISTICS in outcome.output
    page = (tmp_path / "o" / "small.tiny.html").read_text(encoding="utf-8")
    assert "No domain statistics in this model" in page
    refused = RUN.invoke(app, [*arguments, "--error-rate", "0.1"])
    assert isinstance(refused.exception, PlanError)
    assert "no calibration scores" in str(refused.exception)
    refused = RUN.invoke(app, ["domain", str(tiny_file), str(small_slide)])
    assert isinstance(refused.exception, DataError)


def test_domain_command_makes_a_table(tmp_path: Path, small_slide: Path) -> None:
    for i in range(3):
        Image.new("RGB", (100 + 300 * i, 300), (40 * i, 200, 30)).save(tmp_path / f"g{i}.png")
    arguments = ["domain", "liver-steatosis", str(small_slide), str(tmp_path / "g*.png")]
    outcome = RUN.invoke(app, [*arguments, "--out", str(tmp_path / "o"), "--tiles", "5"])
    assert outcome.exit_code == 0, outcome.output
    rows = json.loads((tmp_path / "o" / "liver-steatosis.json").read_text())["rows"]
    assert [r["tiles"] for r in rows] == [5, 3]
    assert rows[1]["state"] == "foreign" or rows[1]["outside"] == 3
    outcome = RUN.invoke(app, ["domain", "liver-steatosis", str(tmp_path / "none*.png")])
    assert isinstance(outcome.exception, DataError)


# -- prediction sets --


def grouped_draw(rng: np.random.Generator, groups: int) -> Seen:
    """Groups that differ: each has its own difficulty and its own number of samples."""
    sizes = rng.integers(1, 12, groups)
    names = np.repeat([f"g{i}" for i in range(groups)], sizes)
    ease = np.repeat(rng.uniform(0.2, 4, groups), sizes)
    labels = rng.integers(0, 3, len(names))
    logits = rng.normal(size=(len(names), 3))
    logits[np.arange(len(names)), labels] += ease
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    empty = np.zeros((len(names), 1), np.float32)
    return Seen(np.arange(len(names)), names, empty, p.astype(np.float32), labels)


@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.2, 0.3]), st.integers(20, 60))
@settings(max_examples=15)
def test_sets_cover_new_groups_as_promised(seed: int, rate: float, groups: int) -> None:
    rng = np.random.default_rng(seed)
    covered = []
    for _ in range(60):
        seen, new = grouped_draw(rng, groups), grouped_draw(rng, 40)
        quantile = calibrate_conformal(seen.probabilities, seen.labels, seen.groups).quantile(rate)
        sets = prediction_sets(new.probabilities, quantile)
        hit = sets[np.arange(len(new.labels)), new.labels]
        covered.append(np.mean([hit[new.groups == g].mean() for g in np.unique(new.groups)]))
    # The mean of 60 × 40 groups; its standard error is below 0.012.
    assert np.mean(covered) > 1 - rate - 0.04
    assert np.mean(covered) < 1 - rate + 1 / (groups + 1) + 0.04


def test_few_groups_promise_little(tiny: LoadedModel) -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    scores = calibrate_conformal(p, np.array([0, 0, 1]), np.array(["a", "b", "c"]))
    assert scores.quantile(0.1) == np.inf, "three groups cannot promise one error in ten"
    assert scores.quantile(0.25) == pytest.approx(0.3, abs=1e-5)
    assert scores.quantile(0.5) == pytest.approx(0.2, abs=1e-5)
    assert prediction_sets(p, np.inf).all()
    with pytest.raises(PlanError, match="between"):
        scores.quantile(0.7)
    assert conformal_quantile(tiny.card, None, "cell") is None
    with pytest.raises(PlanError, match="no calibration scores"):
        conformal_quantile(tiny.card, 0.1, "cell")


def test_not_sure_has_a_row_and_areas_add_up() -> None:
    p = np.array([[0.9, 0.4, 0.1, 0.34], [0.05, 0.35, 0.1, 0.33], [0.05, 0.25, 0.8, 0.33]])
    p = p[:, None, :].astype(np.float32)
    tissue = np.ones((1, 4), bool)
    assert not_sure(p, 0.7).tolist() == [[False, True, False, True]]
    assert not_sure(p, 0.15).tolist() == [[False, True, True, True]], "an empty set is not sure"
    rows = measure(p, tissue, ClassScheme(CLASSES), cell_area_um2=1e6, quantile=0.7)
    assert [r.area_mm2 for r in rows] == [1, 0, 1, 2]
    assert sum(r.percent for r in rows) == pytest.approx(100)
    assert rows[-1].name == NOT_SURE
    assert len(measure(p, tissue, ClassScheme(CLASSES), cell_area_um2=1)) == 3


def test_groups_weigh_alike_in_limits() -> None:
    values = np.concatenate([np.full(100, 5.0), np.arange(19)])
    groups = np.array(["big"] * 100 + [f"g{i}" for i in range(19)])
    assert weighted_quantile(values, groups, 0.5) == pytest.approx(9, abs=1)
    assert weighted_quantile(values, groups, 0.99) == 18


def test_halves_measure_what_was_promised() -> None:
    seen = grouped_draw(np.random.default_rng(3), 80)
    found = coverage_by_halves(seen, 0.2, draws=60)
    assert 0.76 < found.covered < 0.9
    assert 0 < found.not_sure < 1
    distances = np.random.default_rng(0).chisquare(3, len(seen.labels))
    assert 0.01 < false_alarms_by_halves(distances, seen.groups, draws=60) < 0.07


def test_describe_model_fills_the_card(tmp_path: Path, sample: Slide, tiny: LoadedModel) -> None:
    root = tmp_path / "tiles"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    lines = ["tile,group,source"]
    for i in range(8):
        pixels = sample.read_region(0, 1900 + 230 * i, 800, 224, 224)
        Image.fromarray(pixels).save(root / "images" / f"t{i}.png")
        Image.fromarray((pixels.min(2) > 215).astype(np.uint8)).save(root / "masks" / f"t{i}.png")
        lines.append(f"t{i},g{i // 2},A")
    (root / "tiles.csv").write_text("\n".join(lines) + "\n")
    samples = MaskedSamples(root)
    card, tensors = describe_model(tiny, samples, np.arange(4), np.arange(4, 8), CPU)
    assert card.domain["held_out_groups"] == 2
    assert card.conformal["tile"]["samples"] == 4
    assert card.conformal["cell"]["samples"] == 4 * 49
    assert set(tensors) == {"domain.mean", "domain.components"}
    assert card.model_copy(update={"domain": {}, "conformal": {}}) == tiny.card


# -- reliability --


def test_reliability_bins_by_hand() -> None:
    p = np.array([[0.95, 0.05], [0.91, 0.09], [0.4, 0.6], [0.45, 0.55]])
    labels = np.array([0, 1, 1, 0])
    low, high = reliability_bins(p, labels, 10)[:2], reliability_bins(p, labels, 10)[-1]
    assert (high.low, high.count, high.accuracy) == (0.9, 2, 0.5)
    assert high.confidence == pytest.approx(0.93)
    assert sum(b.count for b in low) == 2
    assert expected_calibration_error(p, labels, 10) == pytest.approx(
        0.5 * 0.43 + 0.25 * 0.4 + 0.25 * 0.55
    )
    assert reliability_bins(p[:0], labels[:0]) == ()
    figure = reliability_figure(p, labels)
    assert figure.axes[0].get_ylabel() == "Accuracy"
