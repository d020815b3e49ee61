"""No file of the library imports itself in a loop, imports under TYPE_CHECKING included."""

from __future__ import annotations

import grimp


def test_no_circle_of_imports():
    graph = grimp.build_graph("palate", exclude_type_checking_imports=False)
    left = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while leaves := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in leaves:
            del left[module]
    # what remains is in a circle, or imports one
    while roots := [module for module in left if not any(module in imported for imported in left.values())]:
        for module in roots:
            del left[module]
    assert not left, f"these files import each other: {sorted(left)}"
