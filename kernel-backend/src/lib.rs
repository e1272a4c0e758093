//! The calls of afunix on the real kernel.
