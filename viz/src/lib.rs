//! Pictures of snapshots and traces: table, ladder, DOT, SVG.
