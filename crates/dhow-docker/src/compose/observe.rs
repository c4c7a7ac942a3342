//! What Compose would do, and what runs.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::noun::{Digest, ImageReference};
use dhow_core::port::{Command, Observed, Place, Rendered, TargetError};

use futures::future::try_join_all;

use super::ComposeTarget;
use super::api::{Api, Facts, ImageFacts};
use super::body::{Body, ContainerSeen, Current, Manifest, Seen, ServiceSeen, Stack, value};
use super::judge::Judge;
use super::model::{self, Model, Wanted};
use super::site::Site;
use super::spelling::{self, Known, Spelled};
use super::{error, plain, ports, same, shared};

/// One look at a deployment at its place.
pub(super) struct Look {
    pub site: Site,
    pub api: Api,
    pub seen: Seen,
    pub facts: Vec<Facts>,
    pub images: BTreeMap<String, ImageFacts>,
    pub manifest: Manifest,
    /// Taken before anything was looked at.
    pub ticket: u64,
}

impl ComposeTarget {
    pub(super) async fn observe_at(
        &self,
        rendered: &Rendered,
        place: &Place,
    ) -> Result<Observed, TargetError> {
        let body = Body::of(rendered)?;
        let mut look = self.look(rendered, &body, place).await?;
        // Where nothing is to be pulled or pruned, nobody needs to know.
        if !look.seen.services.values().all(ServiceSeen::satisfied) {
            (look.seen.nearly_full, look.seen.no_room) =
                Self::fullness(&self.options, &look.site, &look.api).await;
        }
        self.watch.follow(&rendered.deployment, &body.project, look.site.place()).await;
        let present = look.facts.iter().any(|facts| facts.running || facts.restarting);
        if look.seen.current.is_none() && present && look.seen.fits() {
            look.adopt(rendered, &body).await?;
        }
        look.seen.reroute = self.reroute(rendered, &body, &look).await?;
        let current = look.seen.current.as_ref().filter(|_| present);
        let running = look.facts.iter().filter(|facts| facts.running).flat_map(|facts| look.digests(facts));
        Ok(Observed {
            release: current.and_then(|current| current.hash),
            present,
            running: running.collect(),
            body: value(&look.seen),
        })
    }

    /// Asks Compose what it makes of the files, and the engine what runs.
    pub(super) async fn look(
        &self,
        rendered: &Rendered,
        body: &Body,
        place: &Place,
    ) -> Result<Look, TargetError> {
        let ticket = self.routes.ticket();
        let executor = self.executors.at(place).await.map_err(error::executor)?;
        let site = Site::new(executor, &rendered.deployment, &self.options).await?;
        let (base, directory, model) = self.model(&site, rendered, body).await?;
        let api = site.api().await?;
        let facts = api.containers(&body.project).await?;
        let wanted: BTreeMap<String, Wanted> = model
            .services()
            .filter_map(|(name, service)| Some((name.clone(), model::wanted(service, &rendered.pins)?)))
            .collect();
        let images = images(&api, &facts, &wanted).await?;
        let data = data(&site, body).await?;
        let mut known = Known {
            body,
            site: &site,
            base: &base,
            containers: &facts,
            images: &images,
            wanted: &wanted,
            data: &data,
            same: &BTreeSet::new(),
        };
        let same = same::same(&site, body, spelling::foreign(&known, &model)).await?;
        known.same = &same;
        let spelled = spelling::spell(&known, &model);
        let current: Option<Current> = site.current().await?;
        let before = match &current {
            Some(current) => read_manifest(&site, &current.stack).await?,
            None => None,
        };
        let no_hashes = BTreeMap::new();
        let mut judge =
            Judge { body, facts: &facts, images: &images, wanted: &wanted, hashes: &no_hashes, before };
        let whole = shared::resolved(&spelled.model, &facts);
        let hashes = self.hashes(&site, body, (&base, &directory), &whole, &judge.hashes_needed()).await?;
        judge.hashes = &hashes;
        let mut seen = self.services(&judge, &spelled, place)?;
        let (volumes, networks) = api.volumes_and_networks().await?;
        things(&mut seen, &spelled.model, "volumes", "volume", &volumes);
        things(&mut seen, &spelled.model, "networks", "network", &networks);
        seen.ports_taken = ports::taken(&spelled.model, &body.project, &api.holders().await?);
        seen.before = current.as_ref().map(|current| current.stack.clone()).or_else(|| started_by(&facts));
        seen.current = current;
        let manifest = Manifest {
            images: seen
                .services
                .iter()
                .map(|(name, service)| (name.clone(), service.image.clone()))
                .collect(),
            parts: seen
                .services
                .iter()
                .map(|(name, service)| (name.clone(), service.parts.clone()))
                .collect(),
            content: spelled.content.iter().cloned().collect(),
        };
        seen.content = manifest.content.clone();
        seen.override_file = spelled.override_file;
        seen.data = spelled.data;
        Ok(Look { site, api, seen, facts, images, manifest, ticket })
    }

    /// What Compose makes of the files: the folder that they were sent to, the one in it that relative paths start at,
    /// and the model. Where it can, without the versions of pinned images, which are said in the override.
    async fn model(
        &self,
        site: &Site,
        rendered: &Rendered,
        body: &Body,
    ) -> Result<(String, String, Model), TargetError> {
        if let Some((plain, named)) = plain::plain(body, &rendered.pins) {
            let found = self.model_of(site, &plain).await?;
            if plain::fits(&found.2, &named) {
                return Ok(found);
            }
        }
        self.model_of(site, body).await
    }

    async fn model_of(&self, site: &Site, body: &Body) -> Result<(String, String, Model), TargetError> {
        let key = Digest::of(value(&body.inputs).to_string().as_bytes()).short();
        let folder = format!("{}/seen/{key}", site.root);
        site.executor.send(&folder, &Site::release_files(body, None)).await.map_err(error::executor)?;
        let stack = Site::stack(&folder, body, false);
        let base = format!("{folder}/files");
        let config = site.compose(&body.project, Some(&stack), ["config", "--format", "json"]);
        let model = Model::of(&self.ask(site, body, &base, config).await?)?;
        Ok((base, stack.directory, model))
    }

    /// Asks Compose about the files of `base`, once for the same files at the same place.
    pub(super) async fn ask(
        &self,
        site: &Site,
        body: &Body,
        base: &str,
        command: Command,
    ) -> Result<Vec<u8>, TargetError> {
        let failed = |output: &_| error::config(&body.inputs, &body.compose_files, "Compose", base, output);
        self.answers.ask(site, command, failed).await
    }

    fn services(&self, judge: &Judge<'_>, spelled: &Spelled, place: &Place) -> Result<Seen, TargetError> {
        let mut seen = Seen::default();
        for (name, service) in spelled.model.services() {
            let found = judge.service(&spelled.model, name, service);
            if found.build && !self.options.allow_build && !judge.wanted.contains_key(name) {
                return Err(TargetError::Failed(format!(
                    "{}: the service {name} is built from source (`build:`), and a server is no place to build; build \
                     the image where you test it, push it, and name it with `image:`",
                    judge.body.compose_files.join(", ")
                )));
            }
            if !judge.images.contains_key(&found.image) && !seen.missing_images.contains(&found.image) {
                seen.missing_images.push(found.image.clone());
            }
            seen.services.insert(name.clone(), found);
        }
        for facts in judge.facts.iter().filter(|facts| !seen.services.contains_key(&facts.service)) {
            let container = ContainerSeen {
                id: facts.id.clone(),
                name: facts.name.clone(),
                matches: false,
                up: facts.running,
            };
            seen.orphans.entry(facts.service.clone()).or_default().push(container);
        }
        seen.routed = judge.body.route.is_some() && self.routes.serves(place);
        seen.proxy_note = self.routes.warns(place).filter(|_| seen.routed);
        Ok(seen)
    }
}

impl Seen {
    /// Nothing is to be done.
    pub(super) fn fits(&self) -> bool {
        let whole = |service: &ServiceSeen| service.satisfied() && service.surplus().next().is_none();
        self.orphans.is_empty() && self.services.values().all(whole)
    }
}

impl Look {
    /// The digests that a container runs.
    pub(super) fn digests(&self, facts: &Facts) -> Vec<Digest> {
        let image = self.images.get(&facts.image_id);
        let named = image.into_iter().flat_map(|image| &image.digests);
        let named = named.filter_map(|text| text.parse::<ImageReference>().ok()?.digest);
        named.chain(facts.image_id.parse().ok()).collect()
    }

    /// Keeps what ran before Dhow came in a folder of its own: the way back from the first update.
    async fn adopt(&mut self, rendered: &Rendered, body: &Body) -> Result<(), TargetError> {
        let name = format!("adopted-{}", Digest::of(self.seen.override_file.as_bytes()).short());
        let folder = self.site.release(&name);
        let files = Site::release_files(body, Some((&self.seen.override_file, &self.manifest)));
        self.site.executor.send(&folder, &files).await.map_err(error::executor)?;
        let current = Current {
            deployment: rendered.deployment.clone(),
            project: body.project.clone(),
            hash: None,
            stack: Site::stack(&folder, body, true),
            gap_ms: None,
            route: None,
            proxy: None,
            former: Vec::new(),
        };
        self.site.set_current(Some(&current)).await?;
        self.seen.before = Some(current.stack.clone());
        self.seen.current = Some(current);
        Ok(())
    }
}

/// What a release folder says of itself.
pub(super) async fn read_manifest(site: &Site, stack: &Stack) -> Result<Option<Manifest>, TargetError> {
    let Some((folder, _)) = stack.files.last().and_then(|file| file.rsplit_once('/')) else {
        return Ok(None);
    };
    let bytes = site.executor.read(&format!("{folder}/release.json")).await.map_err(error::executor)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Where the data folders are. A deployment that was renamed finds those of its former name.
async fn data(site: &Site, body: &Body) -> Result<BTreeMap<String, String>, TargetError> {
    let own: Option<BTreeMap<String, String>> = site.json("data.json").await?;
    let Some(former) = body.moved_from.as_ref().filter(|_| own.is_none()) else {
        return Ok(own.unwrap_or_default());
    };
    let moved: Option<BTreeMap<String, String>> =
        site.json(&format!("../../{}/{}/data.json", former.environment, former.service)).await?;
    // Paths in the fleet have moved with the folder: what counts is the path within it.
    let moved = moved.unwrap_or_default().into_iter();
    Ok(moved
        .map(|(_, folder)| folder)
        .filter_map(|folder| {
            let within = folder.split_once("/data/").map(|(_, within)| within.to_owned())?;
            Some((super::path::join(&body.folder, &within), folder))
        })
        .collect())
}

/// Every image that is named, wanted or run.
async fn images(
    api: &Api,
    facts: &[Facts],
    wanted: &BTreeMap<String, Wanted>,
) -> Result<BTreeMap<String, ImageFacts>, TargetError> {
    let run = facts.iter().flat_map(|facts| [&facts.image, &facts.image_id]);
    let names: BTreeSet<&String> = run.chain(wanted.values().map(|wanted| &wanted.image)).collect();
    let asked = names.into_iter().map(async |name| Ok((name.clone(), api.image(name).await?)));
    let found: Vec<(String, Option<ImageFacts>)> = try_join_all(asked).await?;
    Ok(found.into_iter().filter_map(|(name, image)| Some((name, image?))).collect())
}

/// The files that the newest container was started with, by hand.
fn started_by(facts: &[Facts]) -> Option<Stack> {
    let newest = facts.iter().max_by(|a, b| a.created.cmp(&b.created))?;
    let label = |name: &str| newest.labels.get(&format!("com.docker.compose.project.{name}"));
    let files = label("config_files")?.split(',').map(str::to_owned).collect();
    Some(Stack { directory: label("working_dir")?.clone(), files })
}

fn things(seen: &mut Seen, model: &Model, section: &str, kind: &str, there: &BTreeSet<String>) {
    for (name, external) in model.names(section) {
        match there.contains(&name) {
            true => {}
            false if external && !super::isolate::is_made(&name) => {
                seen.missing_external.push(format!("{kind} {name}"))
            }
            false => seen.create.push(format!("{kind} {name}")),
        }
    }
}
