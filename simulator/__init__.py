"""A stand-in carrier, a stand-in Bloomreach and the campaign between them. For development: not in the image."""
