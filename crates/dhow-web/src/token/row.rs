use dhow_core::noun::{Digest, PersonName};
use dhow_core::port::{Record, Table};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq as _};

use super::name::TokenName;
use super::role::Role;

/// A token as it is stored: the hash of its secret, never the secret. Key: the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// Whose it is. The fleet cannot change it.
    pub person: PersonName,
    /// SHA-256 of the secret. The secret has 256 random bits: a slow hash would add nothing.
    pub hash: Digest,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
}

impl Record for TokenRow {
    const TABLE: Table = Table::Tokens;
    fn key(&self) -> String {
        self.name.to_string()
    }
}

impl TokenRow {
    /// Whether this hash is the token's, in a time that does not depend on the answer.
    pub(super) fn has(&self, hash: &Digest) -> Choice {
        self.hash.hex().as_bytes().ct_eq(hash.hex().as_bytes())
    }
}

/// The hash under which a secret is stored.
pub(super) fn hash(secret: &SecretString) -> Digest {
    Digest::of(secret.expose_secret().as_bytes())
}
