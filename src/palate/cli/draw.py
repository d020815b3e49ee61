"""The command that trains what draws."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palate.cli import show, workers
from palate.cli.learn import Epochs
from palate.cli.options import DataOptions, spread

if TYPE_CHECKING:
    from palate.generation.drawing.train import PictureTrainer


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    app.command("train-pictures")(spread(train_pictures))


def train_pictures(
    options: DataOptions,
    model: Annotated[
        str, typer.Option(help="latent_diffusion, or pmg: preference tokens for --set weights=DIR")
    ] = "latent_diffusion",
    set_: show.Settings = None,
    epochs: Epochs = None,
    seed: show.Seed = 0,
    device: show.Device = "auto",
) -> None:
    """Train a network that draws pictures of items, from their attributes, words and pictures; a killed one resumes."""
    from palate.core.locks import locked
    from palate.generation.drawing.train import train_pictures as run
    from palate.training.replacing import checkpoint_of

    chosen = _trainer(model, {**({} if epochs is None else {"epochs": epochs}), **show.settings(set_)})
    data = options.load()
    checkpoint = checkpoint_of(options.out)
    with locked(checkpoint, wait=0.0, shown=options.out) if workers.first() else nullcontext():
        trained = run(
            chosen, data, options.out, seed=seed, device=device, checkpoint=checkpoint, overwrite=options.overwrite
        )
    network = trained.picture_model().network
    about = {
        "model": chosen.name,
        "parameters": sum(one.numel() for one in network.parameters()),
        "side": network.size.side,
        "conditions": network.size.tokens - 1,
    }
    if options.json:
        show.emit(about, True)
        return
    show.table([about], f"{data.name} ({data.spec})")
    typer.echo(f"wrote {options.out}")


def _trainer(model: str, settings: Mapping[str, Any]) -> PictureTrainer:
    """The system to train.

    Raises:
        ConfigError: for one that is not trained on pictures.
    """
    from palate.contracts import generators, parse
    from palate.core.errors import ConfigError
    from palate.generation.drawing.train import PictureTrainer

    chosen = parse(model, generators, settings)
    if not isinstance(chosen, PictureTrainer):
        raise ConfigError("is not trained on pictures", key=model, hint="latent_diffusion or pmg")
    return chosen
