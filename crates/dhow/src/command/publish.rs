//! `dhow publish`: a folder of files becomes an artifact in a registry.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args as ClapArgs, ValueEnum};
use dhow_core::noun::{ImageReference, SourceLabels};
use dhow_registry::bundle::{PublishError, publish};
use dhow_registry::client::{Client, Credentials, ErrorKind, Settings};
use secrecy::SecretString;
use url::Url;

use crate::client::{address, is_loopback};

/// Pack a folder of files into an OCI artifact and push it.
///
/// The same files give the same digest. Symbolic links are refused. Credentials are DHOW_TOKEN, for the registry of a
/// Dhow (of the one at DHOW_URL alone, where that is set), else those of `docker login`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The folder.
    dir: PathBuf,
    /// Where it goes.
    #[arg(long, value_name = "REPO:TAG")]
    to: ImageReference,
    /// Address of the source it was built from.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Commit of the source it was built from.
    #[arg(long, value_name = "SHA")]
    revision: Option<String>,
    /// Use plain HTTP, although the registry is not on this machine.
    #[arg(long)]
    plain_http: bool,
    /// Certificates, in PEM, that vouch for the registry beside the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A token of the Dhow whose registry this is.
    #[arg(long, env = "DHOW_TOKEN", hide_env_values = true, hide = true)]
    token: Option<SecretString>,
    /// The Dhow whose token it is.
    #[arg(long, env = "DHOW_URL", hide = true)]
    url: Option<String>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The reference, with its digest.
    Text,
    /// The version as JSON.
    Json,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::default();
    let host = settings.hosts.entry(args.to.repository.registry().to_owned()).or_default();
    let registry = args.to.repository.registry().to_owned();
    let has_token = args.token.is_some();
    // Whoever says that it is a Dhow could be given another one's token.
    let url = args.url.filter(|url| has_token && !url.trim().is_empty());
    let url = url.map(|url| address(&url).map_err(|why| anyhow!("DHOW_URL: {why}"))).transpose()?;
    let elsewhere = url.filter(|url| !is_at(url, &registry));
    host.credentials = args.token.filter(|_| elsewhere.is_none()).map(Credentials::Dhow);
    host.plain_http = args.plain_http;
    if let Some(path) = &args.ca {
        host.ca = Some(std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    let labels = SourceLabels { source: args.source, revision: args.revision, ..SourceLabels::default() };
    let published = publish(&Client::new(settings), &args.dir, &args.to, &labels).await;
    let version = published.map_err(|error| match &error {
        PublishError::Client(refused) if matches!(refused.kind, ErrorKind::Unauthorized(_)) && elsewhere.is_some() => {
            let url = elsewhere.as_ref().map(Url::as_str).unwrap_or_default();
            anyhow!(
                "{error}; DHOW_TOKEN was not sent to {registry}, as DHOW_URL is {url}: where that is the same Dhow, unset DHOW_URL"
            )
        }
        PublishError::Client(refused) if !has_token && matches!(refused.kind, ErrorKind::Unauthorized(_)) => {
            anyhow!("{error}; where this is the registry of a Dhow, set DHOW_TOKEN to a token of it")
        }
        _ => error.into(),
    })?;
    let mut out = anstream::stdout();
    use std::io::Write as _;
    match args.output {
        Output::Text => writeln!(out, "{}", version.reference())?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&version)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a registry's `host[:port]` is where the API of a Dhow is. All names of this machine mean the same.
fn is_at(url: &Url, registry: &str) -> bool {
    let Ok(registry) = Url::parse(&format!("{}://{registry}", url.scheme())) else { return false };
    let same_host = url.host() == registry.host() || (is_loopback(url) && is_loopback(&registry));
    same_host && url.port_or_known_default() == registry.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_the_registry_at_the_address_of_its_dhow() {
        let at = |url: &str, registry: &str| is_at(&url.parse().unwrap(), registry);
        assert!(at("https://dhow.acme.dev", "dhow.acme.dev"));
        assert!(at("https://dhow.acme.dev/", "dhow.acme.dev:443"));
        assert!(at("http://127.0.0.1:8080", "localhost:8080") && at("http://[::1]:8080", "127.0.0.1:8080"));
        assert!(!at("https://dhow.acme.dev", "dhow.acme.dev:5000"));
        assert!(
            !at("https://dhow.acme.dev", "dhow.acme.de") && !at("http://127.0.0.1:8080", "127.0.0.1:8081")
        );
    }
}
