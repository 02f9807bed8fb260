"""What a stage returns, and how the task engine stores it: as a plain Parquet file.

Nothing is pickled: the serializer writes the Parquet table of the stage's records and reads
nothing else.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

from prefect.serializers import Serializer
from pydantic import Field

from weak2wise_core.records import Rejection, RejectionKind
from weak2wise_core.stores import parquet

R = TypeVar("R")

_DROPPED = "weak2wise.dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult(Generic[R]):
    """The rows of one stage for one shard, and what left on the way."""

    record_type: type[R]
    rows: tuple[R, ...]
    rejections: tuple[Rejection, ...] = ()
    settled: bool = True
    """False where a row stands for a failure, so that another run may find more."""
    packed: bytes | None = field(default=None, compare=False, repr=False)
    """The file of this result, where it was made before the engine asks for it."""

    @property
    def whole(self) -> bool:
        """Nothing failed, so that the same inputs would give the same result again."""
        dropped = all(item.kind is RejectionKind.DROPPED for item in self.rejections)
        return self.settled and dropped


class ParquetStageResult(Serializer):  # Serializer[Any] fails in 3.8.8
    """`StageResult` <-> the bytes of a Parquet file with the table's explicit schema.

    Questions that a stage dropped by a rule travel in the file's metadata, so that a cached result
    names them again. They are plain JSON.
    """

    type: str = Field(default="weak2wise-parquet", frozen=True)

    def dumps(self, obj: Any) -> bytes:
        """The Parquet file of a stage result.

        Raises:
            TypeError: The object is no StageResult; nothing else is ever stored.
        """
        if not isinstance(obj, StageResult):
            raise TypeError(f"only a StageResult can be stored, not a {type(obj).__name__}")
        if obj.packed is not None:
            return obj.packed
        dropped = json.dumps([asdict(item) for item in obj.rejections], sort_keys=True)
        return parquet.to_bytes(obj.rows, obj.record_type, extra={_DROPPED: dropped})

    def loads(self, blob: bytes) -> StageResult[Any]:
        """The stage result in a Parquet file.

        Raises:
            InputFileError: The bytes are no table of this project.
        """
        record_type, extra = parquet.describe(blob)
        rows = parquet.from_bytes(blob, record_type)
        dropped = [
            Rejection(**{**item, "kind": RejectionKind(item["kind"])})
            for item in json.loads(extra.get(_DROPPED, "[]"))
        ]
        return StageResult(record_type=record_type, rows=tuple(rows), rejections=tuple(dropped))
