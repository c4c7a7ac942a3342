//! OCI registries: a client for any of them, and the embedded one
