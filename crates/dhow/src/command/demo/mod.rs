//! `dhow demo`: the whole voyage in one process, on embedded defaults.

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
use requests::Requests;
use timeline::Report;

/// See the whole voyage: a site is published, reaches stage, is approved for production, and a bad version goes back.
///
/// Everything runs in this process, on a registry, a Git repository and a web server of its own.
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
}

/// Longest time that any part of the voyage may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demo.
pub async fn run(args: Args) -> Result<ExitCode> {
    let temporary = tempfile::Builder::new().prefix("dhow-demo-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    let mut demo = Demo::start(&dir, args.yes).await?;
    let requests = demo.voyage(&dir).await;
    let outcome = match requests {
        Ok(requests) => demo.conclude(requests, args.output).await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        demo.server.stop().await;
        return Err(error);
    }
    if args.once {
        demo.server.stop().await;
        return Ok(ExitCode::SUCCESS);
    }
    demo.show_what_next(&dir);
    super::serve::stopped().await;
    demo.server.stop().await;
    Ok(ExitCode::SUCCESS)
}

impl Demo {
    async fn start(dir: &std::path::Path, yes: bool) -> Result<Self> {
        let state = dir.join("state");
        let fleet = dir.join("fleet.git");
        ensure!(
            !fleet.exists(),
            "{} has a demo in it already; give an empty folder with --dir",
            dir.display()
        );
        let listen = requests::free_address()?;
        site::create_fleet(&fleet, listen).await?;
        say(&format!("fleet     {} (a bare Git repository)", fleet.display()));
        let server = Server::start(Config {
            fleet: fleet.to_string_lossy().into_owned(),
            branch: None,
            state: state.clone(),
            listen,
            sites: ([127, 0, 0, 1], 0).into(),
            file: FileConfig::default(),
        })
        .await?;
        say(&format!(
            "dhow      http://{} (API and registry), sites on http://{}",
            server.listen, server.sites
        ));
        Ok(Self {
            report: Report::default(),
            server,
            service: ServiceName::new("site")?,
            stage: EnvironmentName::new("stage")?,
            production: EnvironmentName::new("production")?,
            approver: Actor { person: PersonName::new("bob")? },
            yes,
            state,
        })
    }

    async fn voyage(&mut self, dir: &std::path::Path) -> Result<Requests> {
        self.deliver(dir, "1.0.0").await?;
        let requests = Requests::start(self.server.sites, &self.service, &["stage", "production"]);
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
        let folder = dir.join("app").join(version);
        site::write_site(&folder, version, good)?;
        let published = site::publish(&self.server, &folder, version).await?;
        self.report.published(version, published.digest);
        say(&format!("\n{version}     published, digest {}", published.digest.short()));
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
        let seen = requests::body(self.server.sites, &self.service, environment.as_str()).await?;
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
        let before = requests::body(self.server.sites, &self.service, "production").await.unwrap_or_default();
        ensure!(!before.contains(version), "{version} is in production before anybody approved it");
        if self.yes {
            let outcome =
                self.server.engine.approve(&self.approver, &self.service, &self.production, None).await?;
            say(&format!("          production: bob says yes; {}", outcome.message));
            return Ok(());
        }
        say(&format!(
            "          production waits for approval. Press Enter to approve as bob, or, from another terminal:\n          dhow approve --state {} site production",
            self.state.display()
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
        site::pinned_in_git(&dir.join("fleet.git"), "2.0.0", version).await
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
        ensure!(counted.failed.is_empty(), "requests failed: {:?}", counted.failed);
        self.report.requests = counted.total;
        self.report.failed_requests = counted.failed.len() as u64;
        match output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&self.report)?),
            Output::Text => println!("{}", self.report.summary()),
        }
        Ok(())
    }

    fn show_what_next(&self, dir: &std::path::Path) {
        let (listen, state, sites) = (self.server.listen, self.state.display(), self.server.sites);
        say(&format!(
            "\nIt keeps serving; Ctrl-C ends it. Look at it:\n  curl -H 'Host: site.production.localhost' http://{sites}/\n  dhow status --state {state}\n  git --git-dir {} log\nDeliver something of your own, a folder with a file `health` that says ok, from another terminal:\n  DHOW_TOKEN=$(cat {state}/admin.token) dhow publish ./my-folder --to {listen}/site/web:4.0.0",
            dir.join("fleet.git").display()
        ));
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
