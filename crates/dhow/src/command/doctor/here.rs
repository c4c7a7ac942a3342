//! This machine.

use anyhow::Context as _;
use dhow_core::fleet::Fleet;
use dhow_core::noun::TargetType;
use dhow_docker::executor::LocalExecutor;
use dhow_docker::inspect::{self, Finding, Standing};

use super::{Args, registries};
use crate::command::findings::Report;

/// What is needed only where containers run.
const CONTAINERS: [&str; 4] = ["docker", "compose", "socket", "tools"];

pub(super) async fn report(args: &Args, fleet: Option<&Fleet>) -> anyhow::Result<Report> {
    // What is written for a try is written into a folder that goes again.
    let home = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let executor = LocalExecutor::new(home.path().to_owned())?;
    let (mut found, own, registries) = tokio::join!(
        inspect::local(&executor),
        inspect::control_plane(args.state.as_deref()),
        registries::findings(fleet)
    );
    if fleet.is_some_and(|fleet| !runs_here(fleet)) {
        found.iter_mut().filter(|finding| CONTAINERS.contains(&finding.check)).for_each(unneeded);
    }
    found.extend(own);
    found.extend(registries);
    Ok(Report::new("this machine".into(), found))
}

/// Containers of the fleet run on this machine.
fn runs_here(fleet: &Fleet) -> bool {
    fleet.deployments.iter().any(|(id, deployment)| {
        matches!(id.target, TargetType::Compose | TargetType::Swarm) && deployment.settings.servers.is_empty()
    })
}

fn unneeded(finding: &mut Finding) {
    if finding.standing == Standing::Failed {
        finding.standing = Standing::Warning;
        finding.message += " (no deployment of this fleet runs containers on this machine)";
    }
}

#[cfg(test)]
mod tests {
    use dhow_core::fleet::{MemoryTree, load};

    use super::*;

    #[test]
    fn docker_is_needed_here_only_where_containers_of_the_fleet_run_here() {
        let with = |more: &str| {
            let compose = "services/shop/compose/stage/compose.yaml";
            let own = "services/shop/compose/stage/dhow.yaml";
            let root = "servers:\n  web1: { ssh: a@web1.acme.dev }\n";
            let files =
                [("dhow.yaml", root), (compose, "services: { web: { image: a/b:1 } }\n"), (own, more)];
            load(&MemoryTree::new(files))
        };
        assert!(runs_here(&with("{}\n")));
        assert!(!runs_here(&with("servers: [web1]\n")));
    }
}
