"""The service's HTTP as ASGI has it: endpoint, CORS, access log, request body and OpenAPI."""
