//! Deploys through real proxies, here and on a server. Each test begins with the engines that it needs.

mod deploys;
mod harbor;
mod isolation;
mod mending;
mod servers;
mod times;
