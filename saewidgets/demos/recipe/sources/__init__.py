"""Plain text out of freely available packages: one small reader a kind of file, each yielding documents."""
