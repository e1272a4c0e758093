//! Scenarios: one application per module, on any backend.
