//! One listener: API, hooks and the registry's door
