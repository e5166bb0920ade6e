"""HTTP layer of the service: endpoint, CORS, access log, request body and OpenAPI."""
