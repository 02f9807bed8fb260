"""What can be exported and uploaded: datasets. What is something else is told what it is."""

from pathlib import Path
from typing import Final

from weak2wise_core.dataset.reading import DatasetFolder, open_dataset
from weak2wise_core.errors import InputFileError

_OTHERS: Final = {
    "training.json": "a trained model. `hf upload OWNER/NAME FOLDER --private` uploads its folder; "
    "the dataset that it was trained on stands in its training.json",
    "results.json": "results. Export and upload take a dataset, as in data/datasets/NAME/latest; "
    "for those of `weak2wise weak-to-strong` and `w2sr` see trained_on in the results.json",
}
"""The folders of other commands by the file that only they have."""


def open_given(path: Path) -> DatasetFolder:
    """Open the dataset that a person wants to give away.

    Args:
        path: The folder of one version, or of all versions.

    Raises:
        InputFileError: It is something else; the message says what, and what to do with it.
    """
    if path.is_file():
        raise InputFileError(
            f"{path} is a file, and a dataset is a folder. What `weak2wise pairs` and `agree` "
            "write is for a trainer as it is, without the manifest that a card is made of; upload "
            f"it with `hf upload OWNER/NAME {path} --repo-type dataset --private`, or name a "
            "dataset of `weak2wise weak-to-strong` or `w2sr`, as in "
            "data/datasets/NAME-pairs-seed0/latest"
        )
    for folder in (path, path / "latest"):
        kind = next((said for file, said in _OTHERS.items() if (folder / file).is_file()), None)
        if kind is not None:
            raise InputFileError(f"{path} holds {kind}")
    return open_dataset(path)
