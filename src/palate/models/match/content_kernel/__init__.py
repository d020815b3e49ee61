"""ContentKernel: kernel ridge regression from content to smoothed behaviour."""

from palate.models.match.content_kernel.model import ContentKernel

__all__ = ["ContentKernel"]
