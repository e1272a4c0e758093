//! Memory that threads share: locks, condition variables, channels and atomics in the simulator.
#![allow(missing_docs, reason = "tests")]

mod counts;
mod deadlocks;
mod outcomes;
mod use_cases;
