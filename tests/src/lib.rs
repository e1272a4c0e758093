//! Conformance, differential, property, tidy and command-line tests.
