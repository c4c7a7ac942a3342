//! From a reference to a secret, where the configuration of `serve` allows it for a host.

use std::process::Stdio;
use std::time::Duration;

use dhow_core::fleet::SecretReference;
use dhow_registry::client::Credentials;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::config::FileConfig;

/// Most bytes of a secret.
const MAX: u64 = 64 << 10;
/// Longest time that a command may take to give one.
const COMMAND: Duration = Duration::from_secs(30);

/// The secret behind a reference, for this host alone. The error is for people and never holds a secret.
///
/// A command may run twice: it must only read.
pub async fn resolve(
    config: &FileConfig,
    reference: &SecretReference,
    host: &str,
) -> Result<SecretString, String> {
    if !config.secrets.get(reference).is_some_and(|hosts| hosts.contains(host)) {
        return Err(format!(
            "the fleet's credentials for it, {reference}, are not allowed for it by --config; where you mean it, \
             add to that file: secrets: [{{ reference: \"{reference}\", hosts: [\"{host}\"] }}]"
        ));
    }
    let text = match reference {
        SecretReference::Env(name) => std::env::var(name).map_err(|_| {
            format!("{reference} cannot be used: `dhow serve` was started without the variable {name}")
        })?,
        SecretReference::File(path) => {
            read(config, path).await.map_err(|e| format!("{reference} cannot be used: {e}"))?
        }
        SecretReference::Command(name) => {
            run(config, name).await.map_err(|e| format!("{reference} cannot be used: {e}"))?
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    let visible = !text.is_empty() && !text.chars().any(char::is_control);
    if visible { Ok(text.into()) } else { Err(format!("{reference} is not one line of visible characters")) }
}

/// `user:password`, else a token.
pub fn credentials(secret: &SecretString) -> Credentials {
    match secret.expose_secret().split_once(':') {
        Some((user, password)) => Credentials::Basic { user: user.into(), password: password.into() },
        None => Credentials::Bearer(secret.clone()),
    }
}

async fn read(config: &FileConfig, path: &str) -> Result<String, String> {
    let path = config.folder.join(path);
    let shown = path.display().to_string();
    let file = tokio::fs::File::open(&path).await.map_err(|e| format!("{shown}: {e}"))?;
    text(file).await.map_err(|e| format!("{shown}: {e}"))
}

async fn text(source: impl tokio::io::AsyncRead + Unpin) -> Result<String, String> {
    let mut bytes = Vec::new();
    source.take(MAX + 1).read_to_end(&mut bytes).await.map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX {
        return Err(format!("it is larger than {} KiB", MAX >> 10));
    }
    String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())
}

async fn run(config: &FileConfig, name: &str) -> Result<String, String> {
    let argv = config.commands.get(name).map(Vec::as_slice).unwrap_or_default();
    let Some((program, arguments)) = argv.split_first() else {
        return Err(format!("--config has no command {name}"));
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&config.folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| format!("{program} cannot be started: {e}"))?;
    let Some(output) = child.stdout.take() else { return Err(format!("{program} has no output")) };
    let work = async {
        let text = text(output).await?;
        let status = child.wait().await.map_err(|e| e.to_string())?;
        if status.success() { Ok(text) } else { Err(format!("{status}; run it by hand to see why")) }
    };
    match tokio::time::timeout(COMMAND, work).await {
        Ok(result) => result.map_err(|e| format!("{program}: {e}")),
        Err(_) => Err(format!("{program} did not end within {} s", COMMAND.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(reference: &str) -> (FileConfig, SecretReference) {
        let reference: SecretReference = reference.parse().unwrap();
        let hosts = [String::from("a.dev")].into();
        (FileConfig { secrets: [(reference.clone(), hosts)].into(), ..FileConfig::default() }, reference)
    }

    #[tokio::test]
    async fn a_secret_goes_to_the_hosts_it_is_listed_with_and_to_no_other() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s"), "ann:hunter2\n").unwrap();
        let (mut config, reference) = config("file:s");
        config.folder = folder.path().to_owned();
        let secret = resolve(&config, &reference, "a.dev").await.unwrap();
        assert_eq!(secret.expose_secret(), "ann:hunter2");
        let error = resolve(&config, &reference, "b.dev").await.unwrap_err();
        assert!(
            error.contains("--config") && error.contains("b.dev") && !error.contains("hunter2"),
            "{error}"
        );
        let error = resolve(&FileConfig::default(), &reference, "a.dev").await.unwrap_err();
        assert!(error.contains("not allowed"), "{error}");
    }

    #[tokio::test]
    async fn a_command_gives_its_output_and_its_failure_is_told_without_it() {
        let (mut config, reference) = config("command:c");
        config.folder = "/".into();
        config.commands.insert("c".into(), ["sh", "-c", "echo token-of-c"].map(String::from).to_vec());
        assert_eq!(resolve(&config, &reference, "a.dev").await.unwrap().expose_secret(), "token-of-c");
        config
            .commands
            .insert("c".into(), ["sh", "-c", "echo token-of-c; exit 3"].map(String::from).to_vec());
        let error = resolve(&config, &reference, "a.dev").await.unwrap_err();
        assert!(error.contains("exit status: 3") && !error.contains("token-of-c"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_named() {
        for (reference, word) in [
            ("env:DHOW_TEST_NO_SUCH_VARIABLE", "DHOW_TEST_NO_SUCH_VARIABLE"),
            ("file:/nonexistent/secret", "/nonexistent/secret"),
        ] {
            let (config, reference) = config(reference);
            let error = resolve(&config, &reference, "a.dev").await.unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_pair_is_basic_and_anything_else_a_token() {
        assert!(matches!(credentials(&"a:b:c".into()), Credentials::Basic { user, .. } if user == "a"));
        assert!(matches!(credentials(&"abc".into()), Credentials::Bearer(_)));
    }
}
