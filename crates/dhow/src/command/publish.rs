//! `dhow publish`: a folder of files becomes an artifact in a registry.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args as ClapArgs, ValueEnum};
use dhow_core::noun::{ImageReference, SourceLabels};
use dhow_registry::bundle::{PublishError, publish};
use dhow_registry::client::{Client, Credentials, ErrorKind, Settings};
use secrecy::SecretString;

/// Pack a folder of files into an OCI artifact and push it.
///
/// The same files give the same digest. Symbolic links are refused. Credentials are DHOW_TOKEN, for the registry of a
/// Dhow, else those of `docker login`.
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
    let has_token = args.token.is_some();
    host.credentials = args.token.map(Credentials::Dhow);
    host.plain_http = args.plain_http;
    if let Some(path) = &args.ca {
        host.ca = Some(std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    let labels = SourceLabels { source: args.source, revision: args.revision, ..SourceLabels::default() };
    let published = publish(&Client::new(settings), &args.dir, &args.to, &labels).await;
    let version = published.map_err(|error| match &error {
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
