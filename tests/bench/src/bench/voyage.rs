//! From the event to the proof: a version is pushed to the embedded registry, and is verified in stage.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dhow_core::noun::{Repository, Tag};
use dhow_registry::client::{BlobSource, Client, Credentials, HostSettings, Settings};
use dhow_registry::media::OCI_MANIFEST;

use crate::lab::{Bundle, Events, Fleet, Lab, REGISTRY, Serve, is_verified};
use crate::report::{Goal, Report};

const CONFIG: &str = "fleet_interval: 1m\ntags_interval: 1m\nhealth_interval: 1m\n";

struct Publisher {
    client: Client,
    api: String,
    next: u64,
}

impl Publisher {
    fn new(serve: &Serve) -> Result<Self> {
        let mut settings = Settings::default();
        let credentials = Some(Credentials::Dhow(serve.token()?.into()));
        settings.hosts.insert(serve.api.clone(), HostSettings { credentials, ..HostSettings::default() });
        Ok(Self { client: Client::new(settings), api: serve.api.clone(), next: 0 })
    }

    /// A version whose content is there, without its tag.
    async fn ready(&mut self, service: &str) -> Result<(Repository, Tag, Bundle)> {
        self.next += 1;
        let bundle = Bundle::new(&format!("site {service} {}", self.next))?;
        let repository: Repository = format!("{}/{service}/web", self.api).parse()?;
        for (digest, bytes) in &bundle.blobs {
            self.client.push_blob(&repository, digest, &BlobSource::Bytes(bytes.clone())).await?;
        }
        Ok((repository, Tag::new(format!("1.{}.0", self.next))?, bundle))
    }

    /// The event: the tag is there.
    async fn publish(&self, (repository, tag, bundle): (Repository, Tag, Bundle)) -> Result<Instant> {
        let begun = Instant::now();
        self.client.push_manifest(&repository, Some(&tag), OCI_MANIFEST, bundle.manifest).await?;
        Ok(begun)
    }
}

/// One version of `site0`, from its event until it is verified.
async fn one(publisher: &mut Publisher, events: &mut Events) -> Result<Duration> {
    let version = publisher.ready("site0").await?;
    let begun = publisher.publish(version).await?;
    let ours =
        |event: &serde_json::Value| is_verified(event) && event["deployment"] == "site0/static_file/stage";
    let (at, _) = events.until(ours).await?;
    Ok(at - begun)
}

pub async fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.write("dhow.yaml", "environments: { stage: { update: commit } }\n")?;
    for number in 0..=50 {
        fleet.site(&format!("site{number}"), REGISTRY, "")?;
    }
    fleet.push("the fleet begins")?;
    let url = format!("file://{}", fleet.folder().join("fleet.git").display());
    let serve = Serve::start(lab, &url, fleet.folder(), CONFIG).await?;
    let mut publisher = Publisher::new(&serve)?;
    let mut events = serve.events().await?;
    for number in 0..=50 {
        let version = publisher.ready(&format!("site{number}")).await?;
        publisher.publish(version).await?;
    }
    events.verified(51).await?;

    let mut alone = Vec::new();
    for _ in 0..lab.count(50, 3) {
        // As in life, nothing else happens before it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        alone.push(one(&mut publisher, &mut events).await?);
    }
    let what = "voyage, event to verified, alone";
    report.times(what, &alone, Some(Goal::AtMost(300.0)), Some(Goal::AtMost(600.0)));

    let mut loaded = Vec::new();
    for _ in 0..lab.count(50, 2) {
        let mut others = Vec::new();
        for number in 1..=50 {
            others.push(publisher.ready(&format!("site{number}")).await?);
        }
        let mut everything = serve.events().await?;
        for version in others {
            publisher.publish(version).await?;
        }
        loaded.push(one(&mut publisher, &mut events).await?);
        everything.verified(51).await.context("the others did not get through")?;
    }
    report.times("voyage, event to verified, while 50 others roll out", &loaded, None, None);
    report.tell("voyage, peak memory", serve.process()?.peak()?, "MiB");
    serve.stop().await
}
