//! Proxies: real ones, with real sites behind them.

pub mod bench;
mod caddy;
pub mod load;
mod place;
pub mod socket;
mod switches;
mod traefik;
