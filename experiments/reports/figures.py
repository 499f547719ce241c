"""What a report draws, and where we draw the same."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """A figure or a table of a report.

    where: such as ``A, Fig. 2``, as the report counts; what has no number is named after its section.
    shows: in words.
    study: that draws the same, as ``run_all`` names it.
    file: without the study's name, such as ``fig2_latent.pdf``; empty for the study's only figure is ``.pdf``.
    """

    where: str
    shows: str
    study: str
    file: str

    @property
    def path(self) -> str:
        """The file's name in the folder of results."""
        return f"{self.study}{'' if self.file.startswith('.') else '_'}{self.file}"
