"""Changes of colour for training pictures, by albumentations (its geometry has half-pixel faults and is not used)."""

import os

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the network for a newer version otherwise
import albumentations as A


class Photometric:
    """Brightness and contrast (each up to a fraction), Gaussian blur and noise (with a probability each).

    A blur's kernel is 3 to `blur_size` pixels, a noise's deviation 0.02 to `noise_deviation` of white. The same picture and
    seed give the same result, in whatever process.
    """

    def __init__(
        self,
        brightness: float,
        contrast: float,
        blur: float = 0.0,
        noise: float = 0.0,
        blur_size: int = 7,
        noise_deviation: float = 0.08,
    ) -> None:
        self.transform = A.Compose(
            [
                A.RandomBrightnessContrast(brightness, contrast, p=0.5),
                A.GaussianBlur(blur_limit=(3, blur_size), p=blur),
                A.GaussNoise(std_range=(0.02, noise_deviation), p=noise),
            ]
        )

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """Return a changed copy of an RGB uint8 picture (H, W, 3)."""
        self.transform.set_random_seed(seed)
        return self.transform(image=image)["image"]
