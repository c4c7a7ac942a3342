//! `dhow demo`: the whole voyage in one process, on embedded defaults.

mod compose;
mod image;
mod requests;
mod site;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use dhow_core::noun::{EnvironmentName, PersonName, ServiceName};
use dhow_core::report::Status;
use dhow_core::rollout::Health;
use dhow_engine::command::Actor;

use crate::serve::config::FileConfig;
use crate::serve::{Config, Server};
use compose::Containers;
use requests::{Front, Requests};
use timeline::Report;

/// See the whole voyage: a site is published, reaches stage, is approved for production, and a bad version goes back.
///
/// Everything runs in this process, on a registry, a Git repository and a web server of its own. With `--compose` the
/// versions are images, and run as containers.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Where the demo keeps its files; by default a folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End after the voyage, instead of serving until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Approve for production without asking, as a second person.
    #[arg(long)]
    yes: bool,
    /// Containers on the Docker Engine of this machine, in place of static files.
    #[arg(long)]
    compose: bool,
    /// What is printed on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A demo under way.
struct Demo {
    server: Server,
    service: ServiceName,
    stage: EnvironmentName,
    production: EnvironmentName,
    /// Who approves: not who published.
    approver: Actor,
    yes: bool,
    state: PathBuf,
    report: Report,
    app: App,
}

/// What is delivered.
enum App {
    /// A folder of files.
    Site,
    /// An image, which runs as a container.
    Containers(Box<Containers>),
}

/// Longest time that any part of the voyage may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demo.
pub async fn run(args: Args) -> Result<ExitCode> {
    let temporary = tempfile::Builder::new().prefix("dhow-demo-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    let mut demo = Demo::start(&dir, args.yes, args.compose).await?;
    // Whoever ends it early finds nothing left behind, either.
    let requests = tokio::select! {
        requests = demo.voyage(&dir) => requests,
        () = super::serve::stopped() => Err(anyhow::anyhow!("the demo was ended before its voyage was over")),
    };
    let outcome = match requests {
        Ok(requests) => demo.conclude(requests, args.output).await,
        Err(error) => Err(error),
    };
    if outcome.is_ok() && !args.once {
        demo.show_what_next(&dir);
        super::serve::stopped().await;
    }
    demo.end().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

impl Demo {
    async fn start(dir: &std::path::Path, yes: bool, compose: bool) -> Result<Self> {
        let state = dir.join("state");
        let fleet = dir.join("fleet.git");
        ensure!(
            !fleet.exists(),
            "{} has a demo in it already; give an empty folder with --dir",
            dir.display()
        );
        let listen = requests::free_address()?;
        let (app, files, service) = if compose {
            let containers = Containers::prepare(dir).await?;
            let (files, service) = (containers.files(listen), containers.service.clone());
            (App::Containers(Box::new(containers)), files, service)
        } else {
            (App::Site, site::files(listen), ServiceName::new("site")?)
        };
        site::create_fleet(&fleet, files).await?;
        say(&format!("fleet     {} (a bare Git repository)", fleet.display()));
        let server = Server::start(Config {
            fleet: fleet.to_string_lossy().into_owned(),
            branch: None,
            state: state.clone(),
            listen,
            sites: ([127, 0, 0, 1], 0).into(),
            file: match app {
                App::Site => FileConfig::default(),
                App::Containers(_) => compose::config(),
            },
        })
        .await?;
        say(&format!(
            "dhow      http://{} (API and registry), sites on http://{}",
            server.listen, server.sites
        ));
        Ok(Self {
            report: Report::default(),
            server,
            service,
            app,
            stage: EnvironmentName::new("stage")?,
            production: EnvironmentName::new("production")?,
            approver: Actor { person: PersonName::new("bob")? },
            yes,
            state,
        })
    }

    async fn voyage(&mut self, dir: &std::path::Path) -> Result<Requests> {
        self.deliver(dir, "1.0.0").await?;
        let requests = Requests::start(vec![self.front("stage"), self.front("production")]);
        self.deliver(dir, "2.0.0").await?;
        self.fail(dir, "3.0.0").await?;
        Ok(requests)
    }

    /// A good version: stage by itself, production after a second person said yes.
    async fn deliver(&mut self, dir: &std::path::Path, version: &str) -> Result<()> {
        self.publish(dir, version, true).await?;
        self.reached(&self.stage.clone(), version).await?;
        self.approve(version).await?;
        self.reached(&self.production.clone(), version).await
    }

    async fn publish(&mut self, dir: &std::path::Path, version: &str, good: bool) -> Result<()> {
        let published = match &self.app {
            App::Site => {
                let folder = dir.join("app").join(version);
                site::write_site(&folder, version, good)?;
                site::publish(&self.server, &folder, version).await?.digest
            }
            App::Containers(containers) => containers.publish(&self.server, version, good).await?,
        };
        self.report.published(version, published);
        say(&format!("\n{version}     published, digest {}", published.short()));
        Ok(())
    }

    async fn reached(&mut self, environment: &EnvironmentName, version: &str) -> Result<()> {
        self.until(&format!("{version} runs in {environment}"), |status| {
            deployment(status, environment).is_some_and(|d| {
                d.health == Health::Healthy
                    && d.phase == "succeeded"
                    && d.running.iter().any(|a| a.tag.as_ref().is_some_and(|t| t.as_str() == version))
            })
        })
        .await?;
        let seen = requests::body(&self.front(environment.as_str())).await?;
        ensure!(seen.contains(version), "{environment} answers with something else than {version}: {seen:?}");
        let times = self.report.read(&self.server.engine, version, environment).await?;
        say(&format!("          {environment}: {times}"));
        Ok(())
    }

    async fn approve(&mut self, version: &str) -> Result<()> {
        let production = self.production.clone();
        self.until(&format!("{version} is proposed for production"), |status| {
            status.proposals.iter().any(|p| p.environment == production)
        })
        .await?;
        let before = requests::body(&self.front("production")).await.unwrap_or_default();
        ensure!(!before.contains(version), "{version} is in production before anybody approved it");
        if self.yes {
            let outcome =
                self.server.engine.approve(&self.approver, &self.service, &self.production, None).await?;
            say(&format!("          production: bob says yes; {}", outcome.message));
            return Ok(());
        }
        say(&format!(
            "          production waits for approval. Press Enter to approve as bob, or, from another terminal:\n          dhow approve --state {} {} production",
            self.state.display(),
            self.service
        ));
        let engine = self.server.engine.clone();
        let (approver, service) = (self.approver.clone(), self.service.clone());
        let entered = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        tokio::select! {
            read = entered => {
                if read.ok().and_then(Result::ok).unwrap_or(0) == 0 {
                    bail!("nobody approved: stdin is closed; `--yes` approves as a second person");
                }
                let outcome = engine.approve(&approver, &service, &production, None).await?;
                say(&format!("          {}", outcome.message));
            }
            decided = self.until_for(Duration::from_secs(24 * 3600), "it is decided", |s| {
                !s.proposals.iter().any(|p| p.environment == production)
            }) => decided?,
        }
        Ok(())
    }

    /// A bad version: its check fails on stage, nobody sees it, Git says what ran before.
    async fn fail(&mut self, dir: &std::path::Path, version: &str) -> Result<()> {
        self.publish(dir, version, false).await?;
        let stage = self.stage.clone();
        self.until(&format!("{version} goes back"), |status| {
            deployment(status, &stage).is_some_and(|d| {
                let holds = |a: &[dhow_core::report::ArtifactStatus]| {
                    a.iter().any(|a| a.tag.as_ref().is_some_and(|t| t.as_str() == "2.0.0"))
                };
                d.phase == "rolled_back" && holds(&d.running) && holds(&d.desired)
            })
        })
        .await?;
        let times = self.report.read(&self.server.engine, version, &stage).await?;
        say(&format!("          stage: {times}"));
        let quarantined = self.server.engine.quarantine_list(Some(&self.service)).await?;
        ensure!(
            quarantined.iter().any(|q| q.pin.tag.as_ref().is_some_and(|t| t.as_str() == version)),
            "{version} is not quarantined"
        );
        if let Some(status) = deployment(&self.server.engine.status(None).await?, &stage)
            && let Some(reason) = &status.reason
        {
            say(&format!("          {reason}"));
        }
        let file = match &self.app {
            App::Site => "services/site/static_file/stage/dhow.yaml".to_owned(),
            App::Containers(containers) => containers.file("stage"),
        };
        site::pinned_in_git(&dir.join("fleet.git"), &file, "2.0.0", version).await
    }

    async fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Result<()> {
        self.until_for(PATIENCE, what, holds).await
    }

    async fn until_for(&self, time: Duration, what: &str, holds: impl Fn(&Status) -> bool) -> Result<()> {
        let mut newest = self.server.engine.journal().newest();
        let waiting = async {
            loop {
                newest.mark_unchanged();
                if holds(&self.server.engine.status(None).await?) {
                    return Ok::<(), anyhow::Error>(());
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), newest.changed()).await;
            }
        };
        match tokio::time::timeout(time, waiting).await {
            Ok(done) => done,
            Err(_) => {
                let status = serde_json::to_string_pretty(&self.server.engine.status(None).await?)?;
                bail!("waited {time:?} in vain until {what}; the status is {status}")
            }
        }
    }

    async fn conclude(&mut self, requests: Requests, output: Output) -> Result<()> {
        let counted = requests.stop().await?;
        ensure!(counted.wrong.is_empty(), "requests were answered wrongly: {:?}", counted.wrong);
        match self.app {
            App::Site => ensure!(counted.unanswered.is_empty(), "requests failed: {:?}", counted.unanswered),
            App::Containers(_) => self.report.excuse = Some(compose::GAP),
        }
        self.report.requests = counted.total;
        self.report.failed_requests = counted.unanswered.len() as u64;
        match output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&self.report)?),
            Output::Text => println!("{}", self.report.summary()),
        }
        Ok(())
    }

    fn show_what_next(&self, dir: &std::path::Path) {
        let (listen, state, service) = (self.server.listen, self.state.display(), &self.service);
        let Front { address, host } = self.front("production");
        say(&format!(
            "\nIt keeps serving; Ctrl-C ends it. Look at it:\n  curl -H 'Host: {host}' http://{address}/\n  dhow status --state {state}\n  git --git-dir {} log",
            dir.join("fleet.git").display()
        ));
        say(&match self.app {
            App::Site => format!(
                "Deliver something of your own, a folder with a file `health` that says ok, from another terminal:\n  DHOW_TOKEN=$(cat {state}/admin.token) dhow publish ./my-folder --to {listen}/{service}/web:4.0.0"
            ),
            App::Containers(_) => format!(
                "Deliver an image of your own that listens on 8080 and says ok at /health, from another terminal:\n  docker login --username demo --password-stdin {listen} < {state}/admin.token\n  docker push {listen}/{service}/web:4.0.0"
            ),
        });
    }

    /// Where visitors of an environment come in.
    fn front(&self, environment: &str) -> Front {
        match &self.app {
            App::Site => {
                let host = format!("{}.{environment}.localhost", self.service);
                Front { address: self.server.sites, host }
            }
            App::Containers(containers) => containers.front(environment),
        }
    }

    /// Stops it. Of containers, nothing stays.
    async fn end(self) {
        self.server.stop().await;
        if let App::Containers(containers) = self.app {
            containers.remove().await;
        }
    }
}

fn deployment<'a>(
    status: &'a Status,
    environment: &EnvironmentName,
) -> Option<&'a dhow_core::report::DeploymentStatus> {
    status.deployments.iter().find(|d| d.environment == *environment)
}

/// Progress goes to stderr.
fn say(text: &str) {
    anstream::eprintln!("{text}");
}
