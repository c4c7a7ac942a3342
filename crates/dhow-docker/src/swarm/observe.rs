//! What Docker would make of the files, and what the swarm has.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::noun::{Digest, ImageReference};
use dhow_core::port::{Command, Observed, Place, Rendered, SentFile, TargetError};

use super::api::{ServiceFacts, TaskFacts, Thing};
use super::body::{Body, Current, Manifest, Seen, ServiceSeen};
use super::model::{self, Model, mode, text};
use super::spelling::{self, Known, LABEL, Spelled};
use super::{SwarmTarget, compare, deploy, ipvs};
use crate::compose::site::Site;
use crate::engine::api::Api;
use crate::engine::error;
use crate::files::path;
use crate::files::variables::Variables;
use crate::stored::value;

/// One look at a deployment at its place.
pub(super) struct Look {
    pub site: Site,
    pub api: Api,
    pub seen: Seen,
    pub services: Vec<ServiceFacts>,
    pub tasks: Vec<TaskFacts>,
    pub manifest: Manifest,
    /// The generated file.
    pub file: String,
    pub data: BTreeMap<String, String>,
}

impl SwarmTarget {
    pub(super) async fn observe_at(
        &self,
        rendered: &Rendered,
        place: &Place,
    ) -> Result<Observed, TargetError> {
        let body = Body::of(rendered)?;
        let mut look = self.look(rendered, &body, place).await?;
        self.watch.follow(&rendered.deployment, &body.stack, look.site.place()).await;
        let present = look.seen.present();
        if look.seen.current.is_none() && present && look.seen.fits() {
            look.adopt(rendered, &body).await?;
        }
        let current = look.seen.current.as_ref().filter(|_| present);
        Ok(Observed {
            release: current.and_then(|current| current.hash),
            present,
            running: look.running().await?.into_iter().collect(),
            body: value(&look.seen),
        })
    }

    /// Asks Docker what it makes of the files, and the manager what runs.
    pub(super) async fn look(
        &self,
        rendered: &Rendered,
        body: &Body,
        place: &Place,
    ) -> Result<Look, TargetError> {
        let site = self.site(&rendered.deployment, place).await?;
        let api = site.api().await?;
        let (services, tasks) = api.stack(&body.stack).await?;
        let base = self.sent(&site, body).await?;
        let model = self.model(&site, body, &base).await?;
        let configs = match model.section("configs") {
            Some(_) => api.configs(&body.stack).await?,
            None => Vec::new(),
        };
        let data: BTreeMap<String, String> = site.json("data.json").await?.unwrap_or_default();
        let known = Known {
            body,
            root: &site.root,
            base: &base,
            pins: &rendered.pins,
            configs: &configs,
            data: &data,
            mounts: &mounts(&services),
        };
        let spelled = spelling::spell(&known, &model);
        let current: Option<Current> = site.json("current.json").await?;
        let before = match &current {
            Some(current) => manifest(&site, &current.release).await?,
            None => None,
        };
        let mut seen = Seen {
            services: services_seen(body, &spelled, &services, current.as_ref(), before.as_ref()),
            spelled: Digest::of(spelled.file.as_bytes()).hex().chars().take(8).collect(),
            ..Seen::default()
        };
        let gone = services.iter().filter(|service| !seen.services.contains_key(&service.name));
        seen.orphans = gone.map(|service| service.name.clone()).collect();
        seen.create = created(&api, body, &spelled, &configs).await?;
        seen.unreachable = unreachable(&site, &spelled).await?;
        seen.current = current;
        let of = |pick: fn(&ServiceSeen) -> String| {
            seen.services.iter().map(|(name, service)| (name.clone(), pick(service))).collect()
        };
        let manifest = Manifest {
            images: of(|service| service.image.clone()),
            hashes: of(|service| service.hash.clone()),
            parts: seen.services.iter().map(|(name, s)| (name.clone(), s.parts.clone())).collect(),
            content: spelled.content,
        };
        Ok(Look { site, api, services, tasks, manifest, file: spelled.file, data: spelled.data, seen })
    }

    /// The folder that Docker is asked about.
    async fn sent(&self, site: &Site, body: &Body) -> Result<String, TargetError> {
        let key = Digest::of(value(&body.inputs).to_string().as_bytes()).short();
        let folder = format!("{}/seen/{key}", site.root);
        site.executor.send(&folder, &inputs(body)).await.map_err(error::executor)?;
        Ok(format!("{folder}/files"))
    }

    /// What `docker stack` makes of the files, with the variables that `.env` beside them sets.
    async fn model(&self, site: &Site, body: &Body, base: &str) -> Result<Model, TargetError> {
        let mut argv = ["stack", "config"].map(String::from).to_vec();
        for file in &body.stack_files {
            argv.extend(["-c".to_owned(), path::join(base, file)]);
        }
        let mut command: Command = site.docker(argv);
        let env = body.inputs.get(&path::join(&body.folder, ".env")).map(|text| Variables::of(text));
        for (name, value) in env.iter().flat_map(Variables::all).filter(|(name, _)| is_free(name)) {
            command.env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let failed = |output: &_| error::config(&body.inputs, &body.stack_files, "Docker", base, output);
        Model::of(&self.answers.ask(site, command, failed).await?)
    }
}

/// Variables that say how Docker itself works are not the fleet's to set.
fn is_free(name: &str) -> bool {
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !matches!(name, "PATH" | "HOME")
        && !["DOCKER_", "LD_", "DHOW_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The user's files, as they stand.
pub(super) fn inputs(body: &Body) -> Vec<SentFile> {
    let file = |(path, text): (&String, &String)| SentFile {
        path: format!("files/{path}"),
        content: text.clone().into_bytes().into(),
        mode: 0o600,
    };
    body.inputs.iter().map(file).collect()
}

/// What a release folder says of itself.
pub(super) async fn manifest(site: &Site, release: &str) -> Result<Option<Manifest>, TargetError> {
    site.json(&format!("releases/{release}/release.json")).await
}

fn services_seen(
    body: &Body,
    spelled: &Spelled,
    services: &[ServiceFacts],
    current: Option<&Current>,
    before: Option<&Manifest>,
) -> BTreeMap<String, ServiceSeen> {
    let mut seen = BTreeMap::new();
    let names = names(&spelled.model);
    for (name, service) in spelled.model.services() {
        let wanted = spelled.wanted.get(name);
        let hash = spelled.hashes.get(name).cloned().unwrap_or_default();
        let parts = model::parts(service);
        let found = services.iter().find(|found| found.name == *name);
        let reasons = match found {
            None => Vec::new(),
            Some(found) if found.labels.contains_key(LABEL) => {
                let mut reasons: Vec<String> = compare::image(wanted, &found.image).into_iter().collect();
                if found.labels.get(LABEL) != Some(&hash) {
                    reasons.extend(changed(before.and_then(|before| before.parts.get(name)), &parts));
                    if reasons.is_empty() {
                        reasons.push("the content of its configs or secrets".to_owned());
                    }
                }
                let noted = current.and_then(|current| current.specs.get(name));
                if reasons.is_empty() && noted.is_some_and(|noted| *noted != found.spec_hash) {
                    reasons.push("it was changed by hand".to_owned());
                }
                reasons
            }
            Some(found) => compare::differences(&body.stack, service, wanted, found, &names),
        };
        let one = ServiceSeen {
            image: wanted.map(|_| text(service, "image").unwrap_or_default().to_owned()).unwrap_or_default(),
            hash,
            parts,
            present: found.is_some(),
            matches: found.is_some() && reasons.is_empty(),
            reasons,
            gap: model::gap(service),
            job: mode(service).ends_with("-job"),
        };
        seen.insert(name.clone(), one);
    }
    seen
}

/// What configs and secrets are called in the swarm, by `section name`.
fn names(model: &Model) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for section in ["configs", "secrets"] {
        for (key, entry) in model.section(section).into_iter().flatten() {
            names.extend(text(entry, "name").map(|name| (format!("{section} {key}"), name.to_owned())));
        }
    }
    names
}

fn changed(before: Option<&BTreeMap<String, String>>, now: &BTreeMap<String, String>) -> Vec<String> {
    let Some(before) = before else {
        return vec!["its configuration is not the one that it was deployed with".to_owned()];
    };
    let gone = before.keys().filter(|key| !now.contains_key(*key));
    let other = now.iter().filter(|(key, hash)| before.get(*key) != Some(hash)).map(|(key, _)| key);
    gone.chain(other).cloned().collect()
}

/// Networks, configs and secrets that are not there yet.
async fn created(
    api: &Api,
    body: &Body,
    spelled: &Spelled,
    configs: &[Thing],
) -> Result<Vec<String>, TargetError> {
    let model = &spelled.model;
    let mut create = Vec::new();
    if let Some(networks) = model.section("networks") {
        let there = api.stack_networks(&body.stack).await?;
        let own = networks.iter().filter(|(_, network)| network.get("external").is_none());
        let names = own.map(|(key, network)| {
            text(network, "name").map_or_else(|| format!("{}_{key}", body.stack), str::to_owned)
        });
        create.extend(names.filter(|name| !there.contains(name)).map(|name| format!("network {name}")));
    }
    let secrets = match model.section("secrets") {
        Some(_) => api.secrets(&body.stack).await?,
        None => Vec::new(),
    };
    for (section, there) in [("configs", configs), ("secrets", &secrets)] {
        for (_, entry) in model.section(section).into_iter().flatten() {
            let Some(name) = text(entry, "name").filter(|_| entry.get("external").is_none()) else {
                continue;
            };
            if !there.iter().any(|thing| thing.name == name) {
                create.push(format!("{} {name}", section.trim_end_matches('s')));
            }
        }
    }
    Ok(create)
}

async fn unreachable(site: &Site, spelled: &Spelled) -> Result<Vec<String>, TargetError> {
    let ports: Vec<(&String, i64)> = spelled
        .model
        .services()
        .flat_map(|(name, service)| model::ingress(service).into_iter().map(move |port| (name, port)))
        .collect();
    if ports.is_empty() || ipvs::there(site).await? {
        return Ok(Vec::new());
    }
    Ok(ports.into_iter().map(|(name, port)| ipvs::told(name, port)).collect())
}

/// What running services mount from the node, by service and place in it.
fn mounts(services: &[ServiceFacts]) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for service in services {
        let container = service.spec.task_template.as_ref().and_then(|task| task.container_spec.as_ref());
        for mount in container.and_then(|container| container.mounts.as_ref()).into_iter().flatten() {
            if let (Some(target), Some(source)) = (&mount.target, &mount.source) {
                found.insert((service.name.clone(), target.clone()), source.clone());
            }
        }
    }
    found
}

impl Look {
    /// The digests that tasks run.
    async fn running(&self) -> Result<Vec<Digest>, TargetError> {
        let mut digests = Vec::new();
        for task in self.tasks.iter().filter(|task| task.state == bollard::models::TaskState::RUNNING) {
            match task.image.parse::<ImageReference>().ok().and_then(|reference| reference.digest) {
                Some(digest) => digests.push(digest),
                None => {
                    let image = self.api.image(&task.image).await?;
                    digests.extend(image.and_then(|image| image.id.parse::<Digest>().ok()));
                }
            }
        }
        Ok(digests)
    }

    /// Keeps what ran before Dhow came in a folder of its own: the way back from the first update.
    async fn adopt(&mut self, rendered: &Rendered, body: &Body) -> Result<(), TargetError> {
        let current = Current {
            deployment: rendered.deployment.clone(),
            stack: body.stack.clone(),
            hash: None,
            release: format!("adopted-{}", self.seen.spelled),
            specs: specs(&self.services),
            failed: BTreeSet::new(),
            gap_ms: None,
        };
        self.send(body, &current.release).await?;
        note(&self.site, Some(&current)).await?;
        self.seen.current = Some(current);
        Ok(())
    }

    /// Sends the release that was looked at.
    pub(super) async fn send(&self, body: &Body, release: &str) -> Result<(), TargetError> {
        let file = |path: &str, text: String| SentFile {
            path: path.to_owned(),
            content: text.into_bytes().into(),
            mode: 0o600,
        };
        let mut files = inputs(body);
        files.push(file(deploy::FILE, self.file.clone()));
        files.push(file("release.json", value(&self.manifest).to_string()));
        self.site.executor.send(&self.site.release(release), &files).await.map_err(error::executor)
    }
}

/// The specification of each service, by hash.
pub(super) fn specs(services: &[ServiceFacts]) -> BTreeMap<String, String> {
    services.iter().map(|service| (service.name.clone(), service.spec_hash.clone())).collect()
}

/// Notes what was applied, or that nothing is.
pub(super) async fn note(site: &Site, current: Option<&Current>) -> Result<(), TargetError> {
    let path = format!("{}/current.json", site.root);
    match current {
        Some(current) => {
            let text = value(current).to_string();
            site.executor.write(&path, text.as_bytes(), 0o600).await.map_err(error::executor)
        }
        None => site.executor.remove(&path).await.map_err(error::executor),
    }
}

/// The names of the services that are looked after, without the stack's.
pub(super) fn service_names(seen: &Seen) -> Vec<String> {
    seen.services.keys().cloned().collect()
}

/// Whether a service takes a config or secret: used for what may be pruned.
pub(super) fn uses(services: &[ServiceFacts], name: &str) -> bool {
    services.iter().any(|service| {
        let container = service.spec.task_template.as_ref().and_then(|task| task.container_spec.as_ref());
        container.is_some_and(|container| {
            let configs = container.configs.iter().flatten();
            let secrets = container.secrets.iter().flatten();
            configs.into_iter().any(|config| config.config_name.as_deref() == Some(name))
                || secrets.into_iter().any(|secret| secret.secret_name.as_deref() == Some(name))
        })
    })
}
