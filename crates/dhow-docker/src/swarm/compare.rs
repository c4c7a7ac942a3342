//! Whether a service that Dhow did not deploy is what the files want: part by part, as far as a manager reports it.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{Mount, TaskSpecContainerSpec};
use dhow_core::noun::ImageReference;
use serde_json::Value;

use super::api::{Mode, ServiceFacts};
use super::model::{list, mode, replicas, text};
use crate::engine::image::{Wanted, short_image};

/// The parts that differ, for people; none where it is what is wanted. `named` are the configs and secrets by what
/// the service calls them, `section name`.
pub(super) fn differences(
    stack: &str,
    service: &Value,
    wanted: Option<&Wanted>,
    found: &ServiceFacts,
    named: &BTreeMap<String, String>,
) -> Vec<String> {
    let container = found.spec.task_template.clone().and_then(|task| task.container_spec).unwrap_or_default();
    let mut differ = Vec::new();
    if let Some(told) = image(wanted, &found.image) {
        differ.push(told);
    }
    let mut part = |name: &str, same: bool| {
        if !same {
            differ.push(name.to_owned());
        }
    };
    part("deploy mode", mode_of(service) == found.mode);
    part(
        "environment",
        variables(service) == container.env.clone().unwrap_or_default().into_iter().collect(),
    );
    part("command", words(service, "command") == container.args.clone().unwrap_or_default());
    part("entrypoint", words(service, "entrypoint") == container.command.clone().unwrap_or_default());
    part("ports", ports(service) == ports_of(found));
    part("mounts", mounts(service, stack) == mounts_of(container.mounts.as_deref().unwrap_or_default()));
    part("configs and secrets", things(service, named) == things_of(&container));
    part("deploy placement", constraints(service) == constraints_of(found));
    differ
}

/// What becomes of the image; `None` where it is the wanted one.
pub(super) fn image(wanted: Option<&Wanted>, runs: &str) -> Option<String> {
    let wanted = wanted?;
    let running = runs.parse::<ImageReference>().ok();
    let same = match (&wanted.pin, &running) {
        (Some(pin), Some(running)) => {
            running.digest == Some(pin.digest) && running.repository == pin.repository
        }
        // Swarm adds the digest to a tag.
        (None, _) => runs == wanted.image || runs.split('@').next() == Some(wanted.image.as_str()),
        (Some(_), None) => false,
    };
    let tag = |pin: &dhow_core::noun::Pin| pin.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    (!same).then(|| match &wanted.pin {
        Some(pin) => format!(
            "image {} becomes {}{} ({})",
            short_image(runs),
            pin.repository.path(),
            tag(pin),
            pin.digest.short()
        ),
        None => format!("image {} becomes {}", short_image(runs), short_image(&wanted.image)),
    })
}

fn mode_of(service: &Value) -> Mode {
    let count = usize::try_from(replicas(service)).unwrap_or(1);
    match mode(service) {
        "global" => Mode::Global,
        "replicated-job" => Mode::Job(count),
        "global-job" => Mode::GlobalJob,
        _ => Mode::Replicated(count),
    }
}

fn variables(service: &Value) -> BTreeSet<String> {
    let all = service.get("environment").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some(format!("{name}={text}")),
        other => Some(format!("{name}={other}")),
    })
    .collect()
}

fn words(service: &Value, key: &str) -> Vec<String> {
    list(service, key).filter_map(Value::as_str).map(str::to_owned).collect()
}

type Ports = BTreeSet<(i64, i64, bool, bool)>;

fn ports(service: &Value) -> Ports {
    let number = |port: &Value, key: &str| port.get(key).and_then(Value::as_i64).unwrap_or_default();
    let one = |port: &Value| {
        let (host, tcp) = (text(port, "mode") == Some("host"), text(port, "protocol") != Some("udp"));
        (number(port, "target"), number(port, "published"), host, tcp)
    };
    list(service, "ports").map(one).collect()
}

fn ports_of(found: &ServiceFacts) -> Ports {
    let all = found.ports.iter();
    all.map(|port| (port.target.into(), port.published.into(), port.host, port.tcp)).collect()
}

fn mounts(service: &Value, stack: &str) -> BTreeSet<(String, String)> {
    let mounts = list(service, "volumes").filter_map(|volume| {
        let source = text(volume, "source").unwrap_or_default();
        let source = match text(volume, "type") {
            Some("volume") if !source.is_empty() => format!("{stack}_{source}"),
            _ => source.to_owned(),
        };
        Some((text(volume, "target")?.to_owned(), source))
    });
    mounts.collect()
}

fn mounts_of(mounts: &[Mount]) -> BTreeSet<(String, String)> {
    let mounts = mounts.iter();
    mounts
        .filter_map(|mount| Some((mount.target.clone()?, mount.source.clone().unwrap_or_default())))
        .collect()
}

fn things(service: &Value, named: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for section in ["configs", "secrets"] {
        for source in list(service, section).filter_map(|entry| text(entry, "source")) {
            let key = format!("{section} {source}");
            all.insert(named.get(&key).cloned().unwrap_or_else(|| source.to_owned()));
        }
    }
    all
}

fn things_of(container: &TaskSpecContainerSpec) -> BTreeSet<String> {
    let configs = container.configs.iter().flatten().filter_map(|config| config.config_name.clone());
    let secrets = container.secrets.iter().flatten().filter_map(|secret| secret.secret_name.clone());
    configs.chain(secrets).collect()
}

fn constraints(service: &Value) -> BTreeSet<String> {
    let placement = service.get("deploy").and_then(|deploy| deploy.get("placement"));
    placement.into_iter().flat_map(|placement| words(placement, "constraints")).collect()
}

fn constraints_of(found: &ServiceFacts) -> BTreeSet<String> {
    let placement = found.spec.task_template.as_ref().and_then(|task| task.placement.clone());
    placement.and_then(|placement| placement.constraints).unwrap_or_default().into_iter().collect()
}
