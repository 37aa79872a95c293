"""Stand-ins for the connector's two neighbours, and the campaign that they play. For demo and tests."""
