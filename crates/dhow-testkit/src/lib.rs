//! In-memory twins of the ports of dhow-core, and the contract tests that every implementation runs
