"""One to four convolutions of a digit are built as asked for, any other number is refused."""

import jax
import jax.numpy as jnp
import pytest

from ae_jax.models import ConvDecoder, ConvEncoder, conv_autoencoder
from ae_jax.types import UsageError


@pytest.mark.parametrize("channels", [(), (2, 3, 4, 5, 6)], ids=str)
@pytest.mark.parametrize(
    "network", [lambda channels: ConvEncoder(2, channels), ConvDecoder, lambda channels: conv_autoencoder(2, channels)]
)
def test_a_network_of_no_or_five_convolutions_is_refused(network, channels):
    with pytest.raises(UsageError, match="of 28x28 pixels: give 1 to 4 numbers"):
        network(channels)


@pytest.mark.parametrize("channels", [(2,), (2, 3), (2, 3, 4), (2, 3, 4, 5)], ids=str)
def test_one_to_four_convolutions_are_all_built(channels):
    params = jax.eval_shape(conv_autoencoder(2, channels, 4).init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    for network in params["params"].values():
        assert sum(name.startswith("Conv") for name in network) == len(channels)
