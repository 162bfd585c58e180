"""Nothing from a file runs, nothing goes over the network unasked, no patient leaves in a file."""

from __future__ import annotations

import ast
import logging
import os
import pickle
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import napari_liverdx as liverdx
from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.exports.registry import EXPORTS, export_path
from napari_liverdx.mil.bags import load_bag
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.models.file import LoadedModel, load_model_file, read_card
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.recipe import load_recipe
from napari_liverdx.viewer.layers.base import slide_layer_data
from tests.support.models import make_card
from tests.support.paths import REPOSITORY

SOURCE = REPOSITORY / "src" / "napari_liverdx"

# -- what the package itself may call --

_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "runpy"}
_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.jit.load",
    "torch.hub.load",
    "pandas.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
_NEEDS = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def what_runs_files(code: str) -> list[str]:
    """Names of what could run something that a file brings."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in _MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            option, value = _NEEDS.get(name, ("", None))
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if name in _CALLS or (option and given.get(option) != str(value)):
                found.append(name)
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "torch.jit.load(path)",
        "eval(text)",
    ],
)
def test_what_would_run_a_file_is_noticed(code: str) -> None:
    assert what_runs_files(code)


def test_nothing_in_the_package_could_run_a_file() -> None:
    sound = "torch.load(p, weights_only=True); np.load(p, allow_pickle=False); network.eval()"
    assert what_runs_files(sound) == []
    found = {
        str(path.relative_to(SOURCE)): names
        for path in SOURCE.rglob("*.py")
        if (names := what_runs_files(path.read_text(encoding="utf-8")))
    }
    assert found == {}


# -- files that would like to run --


class Payload:
    """Makes a folder called MARK where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (os.environ["LIVERDX_MARK"],)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a payload makes; it must not be there in the end."""
    path = tmp_path / "was-run"
    monkeypatch.setenv("LIVERDX_MARK", str(path))
    yield path
    assert not path.exists(), "something from a file was run"


def test_a_payload_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERDX_MARK", str(tmp_path / "seen"))
    pickle.loads(pickle.dumps(Payload()))  # noqa: S301 - our own
    assert (tmp_path / "seen").is_dir()


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin"])
def test_models_are_never_unpickled(mark: Path, tmp_path: Path, suffix: str) -> None:
    plain, zipped, scripted = (tmp_path / f"{n}{suffix}" for n in ("plain", "zipped", "scripted"))
    plain.write_bytes(pickle.dumps(Payload()))
    torch.save({"weights": Payload()}, zipped)
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(scripted))
    packed = tmp_path / f"packed{suffix}"
    with tarfile.open(packed, "w") as archive:
        archive.add(plain, "pickle")
    for path in (plain, zipped, scripted, packed):
        for read in (read_card, load_model_file):
            with pytest.raises(LiverDxError):
                read(path)


def test_bags_and_recipes_run_nothing(mark: Path, tmp_path: Path) -> None:
    bag = tmp_path / "a.npz"
    np.savez(bag, embeddings=np.array([Payload()], dtype=object), meta=np.array([Payload()]))
    with pytest.raises(LiverDxError):
        load_bag(bag)
    recipe = tmp_path / "a.yaml"
    recipe.write_text(f"start: !!python/object/apply:os.mkdir ['{mark}']\n")
    with pytest.raises(LiverDxError):
        load_recipe(str(recipe))


def test_an_architecture_is_a_name_of_the_registry_alone() -> None:
    for name in ("os.mkdir", "torch.hub.load", "__import__('os')", "../cnn_rnn"):
        with pytest.raises(LiverDxError, match="unknown"):
            build_model(name, 3, {})
    with pytest.raises(ValueError, match="name"):
        make_card(name="../../evil")


# -- what leaves in files --

PATIENT = "Roe^Richard 1961-07-12"


@pytest.fixture
def named_slide(tmp_path: Path, small_slide: Path) -> Path:
    """A slide with a patient's name in its texts and on its label."""
    path = tmp_path / "in" / "S-17.tif"
    path.parent.mkdir()
    with open_slide(small_slide) as slide:
        pixels = slide.read_region(0, 0, 0, 1120, 896)
    label = np.zeros((90, 120, 3), np.uint8)
    label[20:70:10, 10:110] = (255, 0, 255)
    with tifffile.TiffWriter(path) as writer:
        options = {"photometric": "rgb", "metadata": None, "software": PATIENT}
        resolution = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
        note = f"scan of {PATIENT}"
        writer.write(pixels, tile=(128, 128), description=note, **options, **resolution)
        writer.write(label, subfiletype=1, description=f"label {PATIENT}", **options)
    return path


def test_no_label_and_no_patient_in_reports_exports_and_logs(
    named_slide: Path,
    tiny: LoadedModel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    out = tmp_path / "out"
    result = liverdx.analyze_slide(named_slide, tiny, out=out)
    result.report(out, formats=("html", "csv", "pdf"))
    for name in EXPORTS:
        path = export_path(result.store, name, out / "exports")
        overview = EXPORTS[name].wants_overview
        result.export(name, path, with_overview=overview)
    with open_slide(named_slide) as slide:
        _, meta, _ = slide_layer_data(slide)
    written = [p for p in out.rglob("*") if p.is_file()]
    assert len(written) > 10
    secrets = (PATIENT.encode(), PATIENT.encode("utf-16-le"), b"Roe^", b"1961-07-12")
    for path in written:
        data = path.read_bytes()
        members = [data]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members += [archive.read(n) for n in archive.namelist()]
        assert not any(secret in m for secret in secrets for m in members), path.name
        assert PATIENT not in path.name
    assert PATIENT not in caplog.text
    assert PATIENT not in "".join(capfd.readouterr())
    assert PATIENT not in repr(meta)


# -- the network --

_MAIN_JOB = """
import sys

def watch(event, arguments):
    if event.startswith("socket.") and event.split(".")[1] in (
        "connect", "getaddrinfo", "gethostbyname", "sendto", "sendmsg"
    ):
        raise SystemExit(f"the network was asked for: {event} {arguments!r}")

sys.addaudithook(watch)
from pathlib import Path
import napari_liverdx as liverdx
from napari_liverdx.exports.registry import EXPORTS, export_path

out = Path(sys.argv[2])
result = liverdx.analyze_slide(sys.argv[1], out=out)
result.report(out, formats=("html", "csv", "pdf"))
for name in EXPORTS:
    result.export(name, export_path(result.store, name, out))
print("nothing was asked")
if len(sys.argv) > 3:
    import socket
    socket.create_connection(("127.0.0.1", 9), 1)
"""


@pytest.mark.slow
def test_the_main_job_asks_nothing_of_the_network(tmp_path: Path, small_slide: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(textwrap.dedent(_MAIN_JOB))
    command = [sys.executable, str(script), str(small_slide), str(tmp_path / "out"), "and then"]
    outcome = subprocess.run(command, capture_output=True, text=True)
    assert outcome.stdout.endswith("nothing was asked\n"), outcome.stderr
    assert "the network was asked for: socket" in outcome.stderr, "the watch would have seen it"
