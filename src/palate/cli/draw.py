"""The command that trains what draws."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from palate.cli import show, workers
from palate.cli.learn import Epochs
from palate.cli.options import DataOptions, spread


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
    from palate.contracts import generators, parse
    from palate.core.errors import ConfigError
    from palate.core.locks import locked
    from palate.generation.drawing.train import PictureTrainer
    from palate.generation.drawing.train import train_pictures as run
    from palate.training.replacing import checkpoint_of

    settings = {**({} if epochs is None else {"epochs": epochs}), **show.settings(set_)}
    chosen = parse(model, generators, settings)
    if not isinstance(chosen, PictureTrainer):
        raise ConfigError("is not trained on pictures", key=model, hint="latent_diffusion or pmg")
    data = options.load()
    checkpoint = checkpoint_of(options.out)
    with locked(checkpoint, wait=0.0, shown=options.out) if workers.first() else nullcontext():
        trained = run(chosen, data, options.out, seed=seed, device=device, checkpoint=checkpoint)
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
