//! The command `afunix`.
fn main() {}
