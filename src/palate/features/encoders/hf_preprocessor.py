"""Preprocessing of a checkpoint, without its weights: from raw content to the inputs of its network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from palate.core.errors import ArtefactError, FeatureError
from palate.core.files import digest
from palate.features.encoders.base import ContentEncoder


class HfPreprocessor(ContentEncoder):
    """Base of encoders that give the inputs of a checkpoint's network.

    Args:
        source: folder of the checkpoint; its weights are not read.

    Attributes:
        files: names of the files that define the preprocessing.

    Raises:
        FeatureError: if there is no such folder.
    """

    version = 1
    files: ClassVar[tuple[str, ...]]

    def __init__(self, source: str) -> None:
        self.folder = Path(source).expanduser()
        if not self.folder.is_dir():
            raise FeatureError("no such folder", file=source, hint=f"the folder of a checkpoint ({self.files[0]}, ...)")
        self.options: dict[str, Any] = {"source": source}

    @property
    def files_digest(self) -> str:
        """Hash of the files."""
        files = [self.folder / name for name in self.files]
        return digest(*(part for file in files if file.is_file() for part in (file.name, file.read_bytes())))

    def copy_files(self, folder: Path) -> None:
        """Copy the files of the preprocessing into ``folder``.

        Raises:
            ArtefactError: if they cannot be copied.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in self.files:
                if (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, folder / name)
        except OSError as error:
            raise ArtefactError(f"the preprocessing cannot be copied ({error})", file=folder) from error
