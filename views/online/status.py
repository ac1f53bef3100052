"""What a value in an answer is; names and numbers are those of Feast's protocol."""

from enum import StrEnum
from typing import Final


class FeatureStatus(StrEnum):
    """Why a value is there, or is not."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


STATUS_CODES: Final = {
    FeatureStatus.PRESENT: 1,
    FeatureStatus.NULL_VALUE: 2,
    FeatureStatus.NOT_FOUND: 3,
    FeatureStatus.OUTSIDE_MAX_AGE: 4,
}
