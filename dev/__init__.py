"""What a developer's machine needs and the image lacks: a PostgreSQL of the project's own, and the run command."""
