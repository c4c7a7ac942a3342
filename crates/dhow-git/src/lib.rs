//! The fleet repository: one bare mirror, objects in process, network through the git command
