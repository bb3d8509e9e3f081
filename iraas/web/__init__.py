"""The web tier: upload page, results page, dashboard and HTTP API. See `iraas.web.server.serve`."""
