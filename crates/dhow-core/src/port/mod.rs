//! Ports: what the engine needs of the outside.
