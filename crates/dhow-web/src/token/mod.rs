//! Access tokens: named, with a role and a person, stored as hashes.

mod admin;
mod name;
mod role;
mod row;
mod tokens;

pub use name::TokenName;
pub use role::{Permission, Role};
pub use row::TokenRow;
pub use tokens::{Identity, NewToken, TokenError, Tokens};
