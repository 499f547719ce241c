"""One script for each study of the reports: ``python -m experiments.NAME --help``."""
