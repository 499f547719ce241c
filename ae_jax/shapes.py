"""Shapes of images, and of the feature maps that convolutions of kernel 3 and stride 2 make of them."""

from __future__ import annotations

from jax import Array

from ae_jax.convolutions import Padding
from ae_jax.types import ImageShape, UsageError

MNIST_SHAPE: ImageShape = (28, 28, 1)


def check_shape(image: ImageShape) -> None:
    """Raises UsageError unless ``image`` is height, width and channels."""
    if not (isinstance(image, tuple) and len(image) == 3 and all(isinstance(n, int) and n > 0 for n in image)):
        raise UsageError(f"image={image} is not allowed: give (height, width, channels), such as {MNIST_SHAPE}")


def check_images(images: Array, image: ImageShape) -> None:
    """Refuse a batch of another shape than the network's, when it is traced."""
    if (given := images.shape[1:]) != image:
        advice = f"build it with image={given}" if len(given) == 3 else "give [batch, height, width, channels]"
        raise UsageError(f"images of shape {given} do not fit a network for {image}: {advice}")


def stages(image: ImageShape) -> int:
    """How many convolutions of stride 2 fit: an axis of one pixel cannot be halved."""
    height, width, _ = image
    return min(height, width).bit_length() - 1


def map_sizes(image: ImageShape, channels: tuple[int, ...]) -> list[tuple[int, int]]:
    """Height and width of the image and of the feature maps after each convolution.

    Raises UsageError unless there are at least one and at most as many as fit.
    """
    check_shape(image)
    height, width, _ = image
    fitting = stages(image)
    if not 1 <= len(channels) <= fitting:
        advice = f"give 1 to {fitting} numbers, or a larger image=" if fitting else "build a dense network"
        raise UsageError(f"channels {channels} are not allowed for images of {height}x{width} pixels: {advice}")
    return [(height >> stage, width >> stage) for stage in range(len(channels) + 1)]


def padding(size: tuple[int, int]) -> Padding:
    """Of a convolution of maps of this height and width, and of what comes out of its mirror image."""
    height, width = size
    return 1 - height % 2, 1 - width % 2
