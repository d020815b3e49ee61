"""Changes of the catalogue: items are checked, logged and applied; images that no item has any more are removed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from palate.core.errors import ArtefactError, DataError, FeatureError
from palate.serving.availability import DatabaseUnavailable
from palate.serving.batches import Faults, raise_faults
from palate.serving.images import UNUSED_SECONDS, remove_unused_images, sanitize_image, store_image
from palate.serving.item_checks import Record, id_faults, item_faults
from palate.serving.limited_log import LimitedLog
from palate.serving.replication import Replication

FAULTS = LimitedLog(60.0)


class CatalogWriter:
    """Adds, changes and removes items.

    Args:
        replication: the snapshots that answer.
        images: folder of the images of added items.
    """

    def __init__(self, replication: Replication, images: Path) -> None:
        self.replication, self.images = replication, images
        self._next_sweep = 0.0
        self.sweep()

    def put(self, records: Sequence[Record]) -> list[bool]:
        """Add or change items, all or none.

        Args:
            records: the items.

        Returns:
            Whether each is new.

        Raises:
            DataError: for an id given twice, an unknown column, or a value that does not fit.
            FeatureError: for an image that cannot be read.
            BatchError: if this holds for several items.
            DatabaseUnavailable: if the database does not answer, or the state folder cannot be written.
        """
        ids, fields = [item for item, *_ in records], [given for _, given, _ in records]
        try:
            raise_faults(id_faults(self.replication.snapshot.items, ids), len(records))
            safe = [None if data is None else sanitize_image(data) for *_, data in records]
            images = [None if data is None else store_image(self.images, data) for data in safe]
            return self.replication.put(ids, fields, images)
        except (DataError, FeatureError):
            # named by row, all of them; what is found in no row is raised as it is
            raise_faults(self.faults(records), len(records))
            raise
        except (OSError, ArtefactError) as error:
            reason = getattr(error, "strerror", None) or "files cannot be written"
            FAULTS.warning(reason, "items cannot be stored in %s: %s", self.images.parent, error)
            raise DatabaseUnavailable(
                f"items cannot be stored at the moment: {reason}", hint="try again later"
            ) from error

    def faults(self, records: Sequence[Record | None]) -> Faults:
        """What is wrong with items, by row.

        Args:
            records: the items; None for one that is known to be wrong.
        """
        return item_faults(self.replication.snapshot.items, records)

    def remove(self, item: str) -> None:
        """Take an item out of every answer.

        Args:
            item: id of an item that exists.
        """
        self.replication.remove(item)
        self.sweep()

    def sweep(self) -> None:
        """Now and then, remove images that no item has any more."""
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + UNUSED_SECONDS
            # what was done before is done, whatever becomes of the images now
            with suppress(DatabaseUnavailable, OSError):
                remove_unused_images(self.images, self.replication.catalog_log.images())
