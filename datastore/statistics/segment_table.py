"""Profiles of segments as a table, and back: each in full, beside the values that make the segment."""

from typing import Final

import pyarrow as pa

from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.segments import OTHER, SegmentedProfile

_LEFT_OVER: Final = b"left_over"
_BY: Final = b"by"
_PROFILE: Final = "profile"
_IS_OTHER: Final = "is_other"


def write_segments(found: SegmentedProfile, schema: pa.Schema) -> pa.Table:
    """Return profiles as a table that `read_segments` reads back.

    Parameters
    ----------
    found : SegmentedProfile
    schema : pyarrow.Schema
        The columns of the rows: the values are kept in their types.
    """
    keys = [(None,) * len(found.by) if key is OTHER else key if isinstance(key, tuple) else (key,) for key in found]
    types = [schema.field(name).type for name in found.by]
    plain = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in types]
    columns = {str(place): pa.array([key[place] for key in keys], kind) for place, kind in enumerate(plain)}
    columns[_IS_OTHER] = pa.array([key is OTHER for key in found], pa.bool_())
    columns[_PROFILE] = pa.array([profile.to_bytes() for profile in found.values()], pa.binary())
    said = {_LEFT_OVER: str(found.left_over), _BY: "\0".join(found.by)}
    return pa.table(columns).replace_schema_metadata(said)


def read_segments(table: pa.Table) -> SegmentedProfile:
    """Read what `write_segments` wrote."""
    by = tuple(table.schema.metadata[_BY].decode().split("\0"))
    values = [table.column(str(place)).to_pylist() for place in range(len(by))]
    profiles = [Profile.from_bytes(each) for each in table.column(_PROFILE).to_pylist()]
    keys = [
        OTHER if is_other else key if len(by) > 1 else key[0]
        for key, is_other in zip(zip(*values, strict=True), table.column(_IS_OTHER).to_pylist(), strict=True)
    ]
    return SegmentedProfile(by, dict(zip(keys, profiles, strict=True)), int(table.schema.metadata[_LEFT_OVER]))
