//! Proxies: real ones, with real sites behind them.

mod bench;
mod caddy;
mod load;
mod place;
mod socket;
mod switches;
mod traefik;
