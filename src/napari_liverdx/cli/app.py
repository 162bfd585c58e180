"""The ``liverdx`` program: its commands, and the spellings of 0.1.0."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from napari_liverdx._version import NOTICE, __version__
from napari_liverdx.cli import (
    analyze,
    batch,
    data,
    experiments,
    explain,
    export,
    mil,
    model,
    ood,
    report,
    slide,
    train,
)
from napari_liverdx.cli.options import err, out, styled
from napari_liverdx.core.errors import LiverDxError

__all__ = ["RENAMED_COMMANDS", "RENAMED_OPTIONS", "app", "main"]

RENAMED_COMMANDS = {
    "audit": ("data", "audit"),
    "card": ("model", "card"),
    "context-bags": ("mil", "extract"),
    "context-test": ("mil", "test"),
    "context-train": ("mil", "train"),
    "convert-livernet": ("model", "convert-livernet"),
    "domain": ("ood", "score"),
    "domain-check": ("ood", "check"),
    "domain-fit": ("ood", "fit"),
    "info": ("slide", "info"),
    "models": ("model", "list"),
    "sample": ("slide", "sample"),
    "split": ("data", "split"),
}
"""Commands of 0.1.0 that are called otherwise now; they work for one release more."""

RENAMED_OPTIONS = {
    "--basis": "--map-kind",
    "--context": "--mil-model",
    "--hide-name": "--pseudonymize",
    "--hide-names": "--pseudonymize",
    "--keep-artefacts": "--keep-artifacts",
}
"""The same of options."""


class Program(TyperGroup):
    """A group that still knows its commands by their names of 0.1.0."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command, by its former name too."""
        if renamed := RENAMED_COMMANDS.get(args[0]):
            _print_renamed(args[0], " ".join(renamed))
            args = [*renamed, *args[1:]]
        return super().resolve_command(ctx, args)


class Command(TyperCommand):
    """A command that still knows its options by their names of 0.1.0."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, with former options too."""
        spelled: list[str] = []
        for word in args:
            name, equals, value = word.partition("=")
            if renamed := RENAMED_OPTIONS.get(name):
                _print_renamed(name, renamed)
                name = renamed
            spelled.append(name + equals + value)
        return super().parse_args(ctx, spelled)


def _print_renamed(old: str, new: str) -> None:
    err.print(
        f"{old!r} is called {new!r} now; the old name goes with the next release.",
        style="yellow",
        highlight=False,
        soft_wrap=True,
    )


def main() -> None:
    """Run the command; a deliberate error ends it with one line and status 2."""
    try:
        app()
    except LiverDxError as error:
        err.print(styled(("Error:", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(2)


def _version(show: bool) -> None:
    if show:
        out.print(f"napari-liverdx {__version__}", highlight=False)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _program() -> typer.Typer:
    """Assemble all commands in one program."""
    program = typer.Typer(
        cls=Program,
        help=f"Classify liver tissue on whole-slide images. {NOTICE}",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    program.callback()(_root)
    for family in (
        analyze,
        batch,
        report,
        export,
        explain,
        slide,
        model,
        train,
        experiments,
        data,
        mil,
        ood,
    ):
        family.register(program)
    groups = [g.typer_instance for g in program.registered_groups]
    for group in (program, *(g for g in groups if g is not None)):
        for command in group.registered_commands:
            own = command.cls or TyperCommand
            plain = own is TyperCommand
            command.cls = Command if plain else type(own.__name__, (own, Command), {})
    return program


app = _program()
