"""Where and how networks predict."""

from dataclasses import dataclass, fields

from garment_keypoints.pipeline.learning.configs import check_ranges
from garment_keypoints.pipeline.learning.options import COUNT, Placement

MEGAPIXELS = 0.1, 10_000


@dataclass
class Device(Placement):
    """Where and how networks predict."""

    batch_size: int = 16
    """Images a step and device, at most."""
    batch_megapixels: float = 8.0
    """Million pixels a step and device, padding included, so that large photos come in smaller batches."""

    def check(self, where: str = "") -> None:
        super().check(where)
        check_ranges(self, where, {"batch_size": COUNT, "batch_megapixels": MEGAPIXELS})

    @classmethod
    def of(cls, placement: Placement) -> "Device":
        """Predict where a training runs."""
        return cls(**{field.name: getattr(placement, field.name) for field in fields(Placement)})
