"""The model: loading, tokens, hooks, capture, intervention and generation on plain Hugging Face modules."""
