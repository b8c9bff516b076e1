"""The dictionary: sparse autoencoders, their files and their training, on plain tensors."""
