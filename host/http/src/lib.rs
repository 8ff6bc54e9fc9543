//! HTTP: the JSON API with OpenAPI, metrics, health, the dashboard page and the admin surface.
