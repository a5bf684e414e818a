"""Dataclasses that cost next to nothing until they are used.

The standard decorator compiles six functions for each class, and imports ``inspect`` to do so: for the classes of this
package that is more time than a cached build takes. What stands in for it at run time is in ``_lazydataclass``; type
checkers see the standard one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import KW_ONLY, dataclass, field, fields, replace
else:
    from pybuildkit._lazydataclass import KW_ONLY, dataclass, field, fields, replace

__all__ = ["KW_ONLY", "dataclass", "field", "fields", "replace"]
