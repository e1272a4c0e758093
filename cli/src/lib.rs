//! The command afunix.
