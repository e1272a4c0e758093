//! Exhaustive search: as many runs as there are inequivalent orders, and no order left out.
#![allow(missing_docs, reason = "tests")]

mod brute;
mod calls;
mod programs;
mod search;
mod table;
