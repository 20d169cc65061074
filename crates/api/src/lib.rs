//! Control plane: REST and its OpenAPI document.
