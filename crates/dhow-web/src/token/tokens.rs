use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dhow_core::noun::{Digest, InvalidName, PersonName};
use dhow_core::port::{Batch, Expect, Put, Record as _, Scan, Store, StoreError, StoreExt as _};
use rand::TryRng as _;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::sync::RwLock;

use super::name::TokenName;
use super::role::{Permission, Role};
use super::row::{TokenRow, hash};
use crate::control::Actor;

/// What every secret starts with, so that scanners of leaked secrets find it.
const PREFIX: &str = "dhow_";
/// Longest text that is looked at as a secret.
const MAX_SECRET: usize = 256;

/// Who a secret belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the token.
    pub name: TokenName,
    /// Whose token it is.
    pub person: PersonName,
    /// What it may do.
    pub role: Role,
    pub(super) hash: Digest,
}

impl Identity {
    /// Whether the token may do this.
    pub fn may(&self, permission: Permission) -> bool {
        self.role.allows(permission)
    }

    /// The person who asks, for the engine.
    pub fn actor(&self) -> Actor {
        Actor { person: self.person.clone(), role: self.role }
    }
}

/// A token that was just made. Its secret cannot be had again.
pub struct NewToken {
    /// As it is stored.
    pub row: TokenRow,
    /// The secret.
    pub secret: SecretString,
}

/// Why tokens were not read or changed.
#[derive(Debug, Clone, Error)]
pub enum TokenError {
    /// The name is taken.
    #[error("there is a token {0} already; remove it first, or choose another name")]
    Exists(TokenName),
    /// There is no such token.
    #[error("there is no token {0}; `dhow token list` shows those that there are")]
    NotFound(TokenName),
    /// Without it nobody could change tokens any more.
    #[error("{0} is the last token with the role admin; add another one before you remove it")]
    LastAdmin(TokenName),
    /// No person was given, and the token's name cannot be one's.
    #[error("the token needs a person: {0}")]
    Name(#[from] InvalidName),
    /// The store failed; nothing was changed.
    #[error("the tokens cannot be read or stored: {0}")]
    Store(#[from] StoreError),
    /// The operating system gives no random numbers, or the state directory cannot be written.
    #[error("{0}")]
    System(String),
}

/// All tokens, with their hashes in memory: a request costs no read of the store.
///
/// Every change goes through one value of this type (clones share it). A removed token is refused from the moment that
/// [`Tokens::remove`] returns. *Crash*: a change that did not return is either stored whole or not at all.
#[derive(Clone)]
pub struct Tokens {
    store: Arc<dyn Store>,
    /// `None`: to be read from the store before the next use.
    rows: Arc<RwLock<Option<Vec<TokenRow>>>>,
}

impl Tokens {
    /// The tokens in a store. They are read at the first use.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, rows: Arc::default() }
    }

    /// Makes a token. Its person is the one of the token's name where none is given.
    ///
    /// # Errors
    /// The name is taken, or no person's; the store fails.
    pub async fn add(
        &self,
        name: TokenName,
        role: Role,
        person: Option<PersonName>,
    ) -> Result<NewToken, TokenError> {
        let secret = random_secret()?;
        let person = match person {
            Some(person) => person,
            None => PersonName::new(name.as_str())?,
        };
        let row = new_row(name, role, person, &secret);
        self.insert(row.clone()).await?;
        Ok(NewToken { row, secret })
    }

    pub(super) async fn insert(&self, row: TokenRow) -> Result<(), TokenError> {
        let put = row.put(Expect::Absent)?;
        self.change(move |_| Ok(put)).await.map_err(|error| match error {
            TokenError::Store(StoreError::Conflict { .. }) => TokenError::Exists(row.name),
            other => other,
        })
    }

    /// The same, in the place of one of that name.
    pub(super) async fn replace(&self, row: TokenRow) -> Result<(), TokenError> {
        let put = row.put(Expect::Any)?;
        self.change(move |_| Ok(put)).await
    }

    /// Removes a token: it is refused from now on.
    ///
    /// # Errors
    /// There is none of that name; it is the last admin's; the store fails.
    pub async fn remove(&self, name: TokenName) -> Result<(), TokenError> {
        self.change(move |rows| {
            let Some(row) = rows.iter().find(|r| r.name == name) else {
                return Err(TokenError::NotFound(name));
            };
            let admins = rows.iter().filter(|r| r.role == Role::Admin).count();
            if row.role == Role::Admin && admins == 1 {
                return Err(TokenError::LastAdmin(name));
            }
            Ok(TokenRow::remove(row.key()))
        })
        .await
    }

    /// All tokens, by name, without their secrets.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(&self) -> Result<Vec<TokenRow>, TokenError> {
        self.read(<[TokenRow]>::to_vec).await
    }

    /// Whose secret this is, if it is anybody's. All hashes are compared, each in constant time.
    ///
    /// # Errors
    /// The store fails at the first use.
    pub async fn check(&self, secret: &SecretString) -> Result<Option<Identity>, TokenError> {
        if secret.expose_secret().len() > MAX_SECRET {
            return Ok(None);
        }
        let hash = hash(secret);
        self.read(|rows| {
            let found =
                rows.iter().fold(None, |found, row| if row.has(&hash).into() { Some(row) } else { found });
            found.map(|row| Identity {
                name: row.name.clone(),
                person: row.person.clone(),
                role: row.role,
                hash: row.hash,
            })
        })
        .await
    }

    /// Whether a token that was checked before is still good: what long connections ask.
    ///
    /// # Errors
    /// The store fails.
    pub async fn still(&self, identity: &Identity) -> Result<bool, TokenError> {
        self.read(|rows| {
            rows.iter()
                .any(|r| r.name == identity.name && r.role == identity.role && r.has(&identity.hash).into())
        })
        .await
    }

    async fn read<T>(&self, look: impl FnOnce(&[TokenRow]) -> T) -> Result<T, TokenError> {
        if let Some(rows) = &*self.rows.read().await {
            return Ok(look(rows));
        }
        let mut rows = self.rows.write().await;
        if rows.is_none() {
            *rows = Some(self.store.list(Scan::default()).await?);
        }
        Ok(look(rows.as_deref().unwrap_or_default()))
    }

    /// Stores a change while nobody reads the cache, in a task of its own: a caller who goes away midway does not
    /// leave a removed token in the cache.
    async fn change(
        &self,
        decide: impl FnOnce(&[TokenRow]) -> Result<Put, TokenError> + Send + 'static,
    ) -> Result<(), TokenError> {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let mut rows = this.rows.write().await;
            *rows = None;
            let now = this.store.list(Scan::default()).await?;
            let put = decide(&now)?;
            this.store.commit(Batch { puts: vec![put], events: Vec::new() }).await?;
            *rows = Some(this.store.list(Scan::default()).await?);
            Ok(())
        });
        task.await.map_err(|e| TokenError::System(format!("the change of tokens was cut off: {e}")))?
    }
}

pub(super) fn new_row(name: TokenName, role: Role, person: PersonName, secret: &SecretString) -> TokenRow {
    let created_ms = jiff::Timestamp::now().as_millisecond();
    TokenRow { name, role, person, hash: hash(secret), created_ms }
}

/// `dhow_` and 43 characters: 256 random bits.
pub(super) fn random_secret() -> Result<SecretString, TokenError> {
    let mut bytes = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| TokenError::System(format!("the operating system gives no random numbers: {e}")))?;
    Ok(SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
}
