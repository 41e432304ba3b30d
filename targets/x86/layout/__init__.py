"""Blocked activation layouts, carried through the graph."""
