"""The HTTP API: routes, shapes and the OpenAPI document."""
