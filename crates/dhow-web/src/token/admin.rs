//! The first token: without it nobody could make another.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use dhow_core::noun::PersonName;
use secrecy::{ExposeSecret as _, SecretString};

use super::role::Role;
use super::tokens::{TokenError, Tokens, new_row, random_secret};

/// Name of the file in the state directory.
const FILE: &str = "admin.token";
/// Name of the token, and of its person.
const NAME: &str = "admin";

impl Tokens {
    /// Where there is no token at all, or the file is empty, makes one with the role admin and writes it to
    /// `<state>/admin.token`, which only the owner can read. Returns the file's path if it did. The secret is never logged.
    ///
    /// *Crash*: the file is written whole before the first token is stored; the next start writes another one over it. One
    /// that takes the place of a former one is stored first; the file is empty until it is written.
    ///
    /// # Errors
    /// The file cannot be written; the store fails.
    pub async fn ensure_admin(&self, state_dir: &Path) -> Result<Option<PathBuf>, TokenError> {
        let known = self.list().await?;
        let path = state_dir.join(FILE);
        let is_asked_for = std::fs::metadata(&path).is_ok_and(|file| file.len() == 0);
        if !known.is_empty() && !is_asked_for {
            return Ok(None);
        }
        let system = |e: String| TokenError::System(e);
        let secret = random_secret()?;
        let name = NAME.parse().map_err(|e| system(format!("{e}")))?;
        let person = PersonName::new(NAME).map_err(|e| system(e.to_string()))?;
        let row = new_row(name, Role::Admin, person, &secret);
        if is_asked_for {
            self.replace(row.clone()).await?;
        }
        let dir = state_dir.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&dir, &secret)).await;
        written.map_err(|e| e.to_string()).and_then(|w| w.map_err(|e| e.to_string())).map_err(|e| {
            system(format!(
                "cannot write the admin token to {}: {e}; is the directory writable?",
                path.display()
            ))
        })?;
        if !is_asked_for {
            self.insert(row).await?;
        }
        Ok(Some(path))
    }
}

/// A new file of its own (mode 0600), synced, renamed into place.
fn write(dir: &Path, secret: &SecretString) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".admin.token.").tempfile_in(dir)?;
    writeln!(file, "{}", secret.expose_secret())?;
    file.as_file().sync_all()?;
    file.persist(dir.join(FILE)).map_err(|e| e.error)?;
    std::fs::File::open(dir)?.sync_all()
}
