"""The command line of 0.1.0: what must still be understood."""

from __future__ import annotations

__all__ = ["COMMANDS_V010"]

COMMANDS_V010: dict[str, tuple[str, str]] = {
    "analyze": (
        "slide",
        "--out,-o --model,-m --mpp --threshold,-t --error-rate --context --overlap --device "
        "--precision --batch-size --keep-artefacts --basis --pdf --hide-name --top",
    ),
    "audit": (
        "data",
        "--recipe --kind --group-pattern --source-pattern --group-blocks --mpp --tile-size "
        "--folds --seed --json",
    ),
    "batch": (
        "slides",
        "--out,-o --model,-m --mpp --threshold,-t --pattern --recursive,-r --error-rate "
        "--context --overlap --device --precision --batch-size --keep-artefacts "
        "--hide-names",
    ),
    "card": ("model", ""),
    "compare": (
        "comparison data",
        "--out,-o --folds --only --work --device --allow-leaks",
    ),
    "context-bags": (
        "source",
        "--out,-o --model,-m --mpp --overlap --device",
    ),
    "context-test": ("context folder", ""),
    "context-train": (
        "folder",
        "--out,-o --model,-m --from --epochs --hidden --projection --seed --device",
    ),
    "convert-livernet": (
        "weights",
        "--out,-o",
    ),
    "crossval": (
        "recipe data",
        "--out,-o --folds --without-rnn,--no-without-rnn --work --device --allow-leaks",
    ),
    "domain": (
        "model data",
        "--recipe --mpp --tiles --out,-o",
    ),
    "domain-check": (
        "model data",
        "--recipe --out,-o",
    ),
    "domain-fit": (
        "model data",
        "--recipe --out,-o",
    ),
    "evaluate": (
        "model data",
        "--out,-o --recipe --source --split --device",
    ),
    "explain": (
        "slide",
        "--out,-o --model,-m --tile --at --class --mpp --overlap",
    ),
    "export": (
        "result",
        "--out,-o --format,-f --threshold,-t --slide --hide-name --bytes --fractional",
    ),
    "info": ("slide", ""),
    "models": ("", ""),
    "report": (
        "result",
        "--slide --model,-m --threshold,-t --error-rate --out,-o --basis --pdf --hide-name --top",
    ),
    "reproduce": (
        "comparison data",
        "--out,-o --trials --all-models --folds --epochs --device --allow-leaks",
    ),
    "sample": ("out_file", ""),
    "search": (
        "recipe data",
        "--out,-o --trials --space --test-folds --device --allow-leaks",
    ),
    "split": (
        "data",
        "--out,-o --recipe --kind --group-pattern --source-pattern --group-blocks "
        "--test-share --val-share --folds --join-duplicates,--no-join-duplicates --seed",
    ),
    "train": (
        "recipe data",
        "--out,-o --metrics --device --epochs --allow-leaks",
    ),
}
"""Arguments and options of each command; names of one option are separated by commas."""
