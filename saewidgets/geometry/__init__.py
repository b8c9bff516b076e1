"""FEATURE SPACE: how far features lie apart, who is near whom, and a layout that says where it lies; plain arrays."""
