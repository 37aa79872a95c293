"""Django's PostgreSQL backend, with a pool that hands out no closed connection, and no wait for ever."""
