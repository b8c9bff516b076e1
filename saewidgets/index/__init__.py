"""The corpus: one streaming pass says of every feature how often it fires, on what and how strongly."""
