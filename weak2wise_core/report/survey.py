"""What one pass over the rows of a dataset finds for its report."""

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.report.counting import Counts
from weak2wise_core.report.explorer import MOST_QUESTIONS, long_texts
from weak2wise_core.report.measured import CHARACTERS
from weak2wise_core.report.packing import Lengths
from weak2wise_core.report.tables import Tables, scored
from weak2wise_core.stores.portions import Portion


class Survey:
    """Counts rows, and measures the texts that a page may show."""

    def __init__(self, settings: StepMaskSettings) -> None:
        """Begin with nothing.

        Args:
            settings: How traces were scored.
        """
        self.counts = Counts()
        self.lengths = Lengths()
        self._settings = settings
        self._seen = 0

    def add(self, portion: Portion) -> None:
        """Look at the rows of one question."""
        self.counts.add(portion, scored(portion.outcomes, self._settings))
        self._seen += 1
        if self._seen <= MOST_QUESTIONS:
            for text, share in long_texts(portion):
                self.lengths.add(text, share)
            self.lengths.add_whole(CHARACTERS * len(portion.measures))


def survey(tables: Tables) -> Survey:
    """One pass over a dataset."""
    found = Survey(tables.step_mask)
    for portion in tables.portions():
        found.add(portion)
    return found
