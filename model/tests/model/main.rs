//! Tests of the model: scripts, tables, and properties over random calls.

mod commute;
mod dice;
mod epolls;
mod files;
mod load;
mod machine;
mod numbers;
mod random;
mod shortcuts;
mod streams;
mod support;
