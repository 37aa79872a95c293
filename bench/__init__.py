"""`make bench`: how fast messages are accepted, next to the bare floor, and how fast they go on from there."""
