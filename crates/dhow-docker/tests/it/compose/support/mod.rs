mod executor;
mod lab;
mod registry;
mod routes;
mod seen;

pub use lab::{Lab, Release};
pub use registry::Registry;
pub use routes::Upstreams;
pub use seen::{get, post};
