"""The estimator as scikit-learn judges it, and as its users combine it."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from ae_jax.sklearn import AutoencoderTransformer


@parametrize_with_checks([AutoencoderTransformer(widths=(4,), epochs=2)])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    """All of its checks apply: none is expected to fail."""
    check(estimator)
