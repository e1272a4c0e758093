//! The model under a deterministic scheduler, virtual time and faults.
