//! `serve --config FILE`: what the fleet may not say. Which secrets exist and for whom, and how often things are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use dhow_core::diagnostic::Severity;
use dhow_core::fleet::SecretReference;
use dhow_core::noun::Repository;
use dhow_core::yaml::{self, Node, Reader};
use dhow_docker::executor::Identity;
use dhow_engine::Settings;

use super::docker::DockerConfig;

/// The keys of the file.
const KEYS: [&str; 9] = [
    "secrets",
    "commands",
    "registry_hosts",
    "identities",
    "docker",
    "command_checks",
    "fleet_interval",
    "tags_interval",
    "health_interval",
];
/// The keys of an entry of `secrets`.
const SECRET_KEYS: [&str; 2] = ["reference", "hosts"];
/// The keys of an entry of `identities`.
const IDENTITY_KEYS: [&str; 2] = ["file", "hosts"];
/// Shortest and longest interval.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(24 * 3600));

/// What the file says; the default is an empty file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileConfig {
    /// Which secrets the fleet may refer to, and the registries that each may be shown.
    pub secrets: BTreeMap<SecretReference, BTreeSet<String>>,
    /// What `command:NAME` runs: program and arguments.
    pub commands: BTreeMap<String, Vec<String>>,
    /// Further names of the embedded registry.
    pub registry_hosts: Vec<String>,
    /// Private keys for servers, by the names that the fleet has for them.
    pub identities: BTreeMap<String, Identity>,
    /// How Docker deployments are run.
    pub docker: DockerConfig,
    /// Whether `command` checks may run on this machine.
    pub command_checks: bool,
    /// How often the fleet's head is read.
    pub fleet_interval: Option<Duration>,
    /// How often tags are read.
    pub tags_interval: Option<Duration>,
    /// How often checks are repeated after a rollout.
    pub health_interval: Option<Duration>,
    /// The folder of the file: where relative `file:` references begin.
    pub folder: PathBuf,
}

impl FileConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong: everything that is, with line and column.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = || format!("the configuration {} cannot be read", path.display());
        let size = std::fs::metadata(path).with_context(shown)?.len();
        ensure!(size <= yaml::MAX_BYTES as u64, "{} has {size} bytes, which is too many", path.display());
        let bytes = std::fs::read(path).with_context(shown)?;
        let mut config = Self::parse(&path.to_string_lossy(), &bytes)?;
        config.folder = std::path::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
        for identity in config.identities.values_mut() {
            identity.file = config.folder.join(&identity.file);
        }
        Ok(config)
    }

    fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let parsed = yaml::parse(file, bytes);
        let mut found = parsed.problems;
        let mut reader = Reader::new(file, &parsed.text);
        let mut config = Self::default();
        if parsed.documents.len() > 1 {
            reader.error(parsed.documents[1].at, "a configuration is one document; this is a second one");
        }
        if let Some(document) = parsed.documents.first() {
            config.fill(&mut reader, document);
        }
        found.extend(reader.finish());
        found.retain(|d| d.severity == Severity::Error);
        if found.is_empty() {
            return Ok(config);
        }
        let mut text = String::from("the configuration cannot be used");
        for problem in found {
            let _ = write!(text, "\n{problem}");
        }
        bail!(text)
    }

    fn fill(&mut self, reader: &mut Reader<'_>, document: &Node) {
        let fields = reader.fields(document, "the configuration of serve", &KEYS);
        if let Some(node) = fields.get("commands") {
            for (name, argv) in reader.entries(node, "commands") {
                let words: Vec<String> = reader.list(argv, "commands");
                if words.first().is_none_or(String::is_empty) {
                    let help = "write commands: { name: [program, argument, ...] }";
                    reader.error_help(argv.at, format!("the command {:?} names no program", name.text), help);
                }
                self.commands.insert(name.text.clone(), words);
            }
        }
        for item in fields.get("secrets").map(|n| reader.items(n, "secrets")).unwrap_or_default() {
            self.secret(reader, item);
        }
        for item in
            fields.get("registry_hosts").map(|n| reader.items(n, "registry_hosts")).unwrap_or_default()
        {
            self.registry_hosts.extend(host(reader, item));
        }
        if let Some(node) = fields.get("identities") {
            for (name, entry) in reader.entries(node, "identities") {
                self.identities.extend(identity(reader, entry).map(|identity| (name.text.clone(), identity)));
            }
        }
        if let Some(node) = fields.get("docker") {
            self.docker = DockerConfig::read(reader, node);
        }
        if let Some(node) = fields.get("command_checks") {
            self.command_checks = reader.boolean(node, "command_checks").unwrap_or(false);
        }
        for (key, place) in [
            ("fleet_interval", &mut self.fleet_interval),
            ("tags_interval", &mut self.tags_interval),
            ("health_interval", &mut self.health_interval),
        ] {
            if let Some(node) = fields.get(key) {
                *place = reader.duration(node, key, INTERVALS.1);
                if place.is_some_and(|time| time < INTERVALS.0) {
                    reader.error(node.at, format!("{key} must be at least {} ms", INTERVALS.0.as_millis()));
                }
            }
        }
    }

    fn secret(&mut self, reader: &mut Reader<'_>, node: &Node) {
        let fields = reader.fields(node, "an entry of secrets", &SECRET_KEYS);
        let (Some(reference), Some(hosts)) = (fields.get("reference"), fields.get("hosts")) else {
            let help = "write { reference: env:NAME, hosts: [registry.acme.dev] }";
            reader.error_help(node.at, "an entry of secrets needs reference and hosts", help);
            return;
        };
        let Some(parsed) = reference.as_str().and_then(|text| text.parse::<SecretReference>().ok()) else {
            let help = "write env:NAME, file:PATH or command:NAME; a secret itself does not stand here";
            reader.error_unseen(reference.at, "reference is no reference to a secret", help);
            return;
        };
        if let SecretReference::Command(name) = &parsed
            && !self.commands.contains_key(name)
        {
            let help = format!("add commands: {{ {name}: [program, argument, ...] }}");
            reader.error_help(reference.at, format!("commands has no {name:?}"), help);
        }
        let mut granted = BTreeSet::new();
        for item in reader.items(hosts, "hosts") {
            granted.extend(host(reader, item));
        }
        self.secrets.entry(parsed).or_default().extend(granted);
    }

    /// The engine's settings: the defaults, with what the file says.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings { command_checks: self.command_checks, ..Settings::default() };
        for (said, place) in [
            (self.fleet_interval, &mut settings.fleet_interval),
            (self.tags_interval, &mut settings.tags_interval),
            (self.health_interval, &mut settings.health_interval),
        ] {
            *place = said.unwrap_or(*place);
        }
        settings
    }
}

/// A private key, and the hosts that it may be used for.
fn identity(reader: &mut Reader<'_>, node: &Node) -> Option<Identity> {
    let fields = reader.fields(node, "an entry of identities", &IDENTITY_KEYS);
    let (Some(file), Some(hosts)) = (fields.get("file"), fields.get("hosts")) else {
        let help = "write { file: /etc/dhow/deploy_key, hosts: [web1.acme.dev] }";
        reader.error_help(node.at, "an entry of identities needs file and hosts", help);
        return None;
    };
    let file = PathBuf::from(reader.text(file, "file")?);
    let hosts: Vec<String> = reader.list(hosts, "hosts");
    Some(Identity { file, hosts: hosts.into_iter().collect() })
}

/// `host[:port]` as it stands in references.
fn host(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "a host")?.to_ascii_lowercase();
    let is_host = format!("{text}/x").parse::<Repository>().is_ok_and(|r| r.registry() == text);
    if !is_host {
        let help = "write it as it stands in references: registry.acme.dev or registry.acme.dev:5000";
        reader.error_help(node.at, format!("{text:?} is no host of a registry"), help);
    }
    is_host.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileConfig, String> {
        FileConfig::parse("serve.yaml", text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn everything_that_the_file_may_say_is_read() {
        let config = parse(
            "secrets:\n  - { reference: env:ACME, hosts: [Registry.acme.dev, \"r.acme.dev:5000\"] }\n  - { reference: command:vault, hosts: [ghcr.io] }\ncommands: { vault: [vault, read, x] }\nregistry_hosts: [dhow.acme.dev]\ncommand_checks: true\nfleet_interval: 5s\ntags_interval: 10s\nhealth_interval: 1m\n",
        )
        .unwrap();
        let hosts = &config.secrets[&SecretReference::Env("ACME".into())];
        assert_eq!(hosts, &["registry.acme.dev", "r.acme.dev:5000"].map(String::from).into());
        assert_eq!(config.commands["vault"], ["vault", "read", "x"]);
        let settings = config.settings();
        assert!(settings.command_checks);
        assert_eq!(settings.fleet_interval, Duration::from_secs(5));
        assert_eq!(settings.health_interval, Duration::from_secs(60));
        assert_eq!(settings.observe_interval, Settings::default().observe_interval);
        assert_eq!(parse("").unwrap(), FileConfig::default());
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_with_its_line_and_the_nearest_key() {
        let error = parse(
            "secret:\n  - {}\ncommand_checks: maybe\nfleet_interval: 1ms\nregistry_hosts: [\"https://x/\"]\n",
        )
        .unwrap_err();
        for word in [
            "did you mean \"secrets\"?",
            "serve.yaml:3:",
            "true or false",
            "at least 100 ms",
            "no host of a registry",
        ] {
            assert!(error.contains(word), "{word} is not in {error}");
        }
    }

    #[test]
    fn the_documented_example_is_read_and_every_key_is_documented() {
        let docs = include_str!("../../../../docs/operations.md");
        let example = docs.split("```yaml\n# serve.yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let config = parse(example.unwrap()).unwrap();
        assert_eq!((config.secrets.len(), config.commands.len(), config.identities.len()), (3, 1, 1));
        let defaults = Settings::default();
        let said = config.settings();
        assert_eq!(said.fleet_interval, defaults.fleet_interval);
        assert_eq!(said.tags_interval, defaults.tags_interval);
        assert_eq!(said.health_interval, defaults.health_interval);
        for key in KEYS {
            assert!(docs.contains(&format!("| `{key}` |")), "{key}");
        }
    }

    #[test]
    fn a_literal_secret_is_refused_and_not_repeated() {
        let error = parse("secrets: [{ reference: hunter2hunter2, hosts: [a.dev] }]\n").unwrap_err();
        assert!(error.contains("no reference to a secret") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_command_that_nobody_names_is_refused() {
        let error = parse("secrets: [{ reference: command:vault, hosts: [a.dev] }]\n").unwrap_err();
        assert!(error.contains("commands has no \"vault\""), "{error}");
    }

    #[test]
    fn a_key_is_named_with_the_hosts_that_it_may_be_used_for() {
        let config = parse("identities: { deploy: { file: key, hosts: [web1.acme.dev] } }\n").unwrap();
        assert_eq!(config.identities["deploy"].hosts, ["web1.acme.dev".to_owned()].into());
        assert!(
            parse("identities: { deploy: { file: key } }\n").unwrap_err().contains("needs file and hosts")
        );
    }

    #[test]
    fn an_entry_without_hosts_is_refused() {
        let error = parse("secrets: [{ reference: env:A }]\n").unwrap_err();
        assert!(error.contains("needs reference and hosts"), "{error}");
    }
}
