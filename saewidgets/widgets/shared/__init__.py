"""What two widgets need: the base class, bundling, binary messages, saved pages, a latest-wins runner."""
