//! Credentials from Docker's configuration and its helpers.

use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::settings::{Credentials, DockerConfig};

/// A helper that hangs is given up after this time.
const HELPER: Duration = Duration::from_secs(30);

/// Under which keys Docker keeps the credentials of a registry.
fn keys(registry: &str) -> Vec<String> {
    if registry == "docker.io" {
        return ["https://index.docker.io/v1/", "index.docker.io", "docker.io"].map(String::from).to_vec();
    }
    vec![registry.to_owned(), format!("https://{registry}")]
}

/// Looks a registry up. What cannot be read is told in the log and counts as nothing: the registry's answer then says
/// what is missing.
pub(crate) async fn look_up(config: &DockerConfig, registry: &str) -> Option<Credentials> {
    if *config == DockerConfig::Ignore {
        return None;
    }
    let (config, registry) = (config.clone(), registry.to_owned());
    let name = registry.clone();
    let work = tokio::task::spawn_blocking(move || keys(&registry).iter().find_map(|key| read(&config, key)));
    match tokio::time::timeout(HELPER, work).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(
                registry = name,
                "Docker's credential helper does not answer; going on without credentials"
            );
            None
        }
    }
}

fn read(config: &DockerConfig, key: &str) -> Option<Credentials> {
    let found = match config {
        DockerConfig::Ignore => return None,
        DockerConfig::Default => docker_credential::get_credential(key),
        DockerConfig::File(path) => match std::fs::File::open(path) {
            Ok(file) => docker_credential::get_credential_from_reader(std::io::BufReader::new(file), key),
            Err(_) => Err(CredentialRetrievalError::ConfigReadError),
        },
    };
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) if user == "<token>" => {
            Some(Credentials::Identity(password.into()))
        }
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Some(Credentials::Basic { user, password: password.into() })
        }
        Ok(DockerCredential::IdentityToken(token)) => Some(Credentials::Identity(token.into())),
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError
            | CredentialRetrievalError::HelperFailure { .. },
        ) => None,
        Err(error) => {
            tracing::warn!(registry = key, %error, "Docker's credentials cannot be read; going on without");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn credentials_come_from_dockers_file_under_the_names_that_docker_uses() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            r#"{"auths":{"localhost:5000":{"auth":"YTpi"},"https://index.docker.io/v1/":{"auth":"YzpkOmU="}}}"#,
        )
        .unwrap();
        let config = DockerConfig::File(file.path().to_owned());
        for (registry, user, word) in [("localhost:5000", "a", "b"), ("docker.io", "c", "d:e")] {
            let Some(Credentials::Basic { user: found, password }) = look_up(&config, registry).await else {
                panic!("{registry} was not found")
            };
            assert_eq!((found.as_str(), password.expose_secret()), (user, word));
        }
        assert!(look_up(&config, "ghcr.io").await.is_none());
    }

    #[tokio::test]
    async fn a_missing_configuration_is_no_error() {
        assert!(look_up(&DockerConfig::File("/nonexistent".into()), "ghcr.io").await.is_none());
    }
}
