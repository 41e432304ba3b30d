"""Times an artifact beside other engines, each in a process of its own."""
