"""Autoencoders in pure functional JAX: studies of MNIST that train hundreds of models as one program."""

__version__ = "0.1.0"
