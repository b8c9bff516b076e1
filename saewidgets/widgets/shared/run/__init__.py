"""What the widgets that watch a training run share: its protocol, their base class, the strip with its buttons."""
