//! Static sites on servers.

mod target;
mod voyage;
mod yard;
