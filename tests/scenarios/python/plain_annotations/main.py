from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Dict, List, Literal, Optional, Union


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    name: str
    price: float = 1.0
    tags: list[str] = field(default_factory=list)


def handler(
    name: str = "",
    ratio: float = 0.5,
    active: bool = False,
    tags: list[str] = (),
    more: List[int] = (),
    table: Dict[str, int] = {},
    maybe: Optional[int] = None,
    either: Union[int, str] = 0,
    new: int | None = None,
    mode: Literal["fast", "slow"] = "fast",
    colour: Colour = Colour.RED,
    item: Item = None,
    when: datetime = None,
    day: date = None,
    key: uuid.UUID = None,
    noted: Annotated[int, "a note"] = 1,
    anything: Any = None,
    unknown: Missing = None,
    free=None,
):
    found = {k: v for k, v in locals().items() if v is not None and v != () and v != {}}
    return found
