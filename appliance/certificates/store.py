"""The data plane's certificates, and which of them is for a name that a visitor asks for (SNI)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.certificates.material import Material


@dataclass
class Store:
    """Certificates by key: ``file:/path`` for the user's own, ``acme:example.com`` for those we have issued.

    What is here is replaced whole and at once; connections that are open go on with what they have. `on_change` is
    called after each change, in order; it must not wait.
    """

    on_change: list[Callable[[], None]] = field(default_factory=list)
    _materials: dict[str, Material] = field(default_factory=dict)
    _by_name: dict[str, Material] = field(default_factory=dict)

    def put(self, key: str, material: Material) -> None:
        """Add it, or put it in the place of what has this key. The first one put is the default."""
        if self._materials.get(key) != material:
            self._materials[key] = material
            self._changed()

    def drop(self, key: str) -> None:
        """Forget what has this key, if anything has."""
        if self._materials.pop(key, None) is not None:
            self._changed()

    def get(self, key: str) -> Material | None:
        return self._materials.get(key)

    def items(self) -> list[tuple[str, Material]]:
        """With their keys, in the order in which they were first put."""
        return list(self._materials.items())

    def listing(self) -> list[Material]:
        return list(self._materials.values())

    def find(self, name: str | None) -> Material | None:
        """For this name; else for the wildcard above it; else the first one. None: the store is empty."""
        if name:
            name = name.lower().rstrip(".")
            found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
            if found is not None:
                return found
        return next(iter(self._materials.values()), None)

    def covers(self, name: str) -> bool:
        """Whether there is a certificate for this very name, by itself or by a wildcard."""
        name = name.lower().rstrip(".")
        return name in self._by_name or "*." + name.partition(".")[2] in self._by_name

    def _changed(self) -> None:
        by_name: dict[str, Material] = {}
        for material in self._materials.values():
            for name in material.names:
                other = by_name.get(name)
                # Of two for one name the one that is good for longer; of equals the first.
                if other is None or material.expires > other.expires:
                    by_name[name] = material
        self._by_name = by_name
        for call in self.on_change:
            call()
