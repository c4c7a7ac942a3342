//! What a server lacks is told in one go, by the real thing.

use dhow_docker::inspect::{self, Finding, Standing};

use crate::executor::support::{ALONE, inside, local, remote, server};

fn failed(found: &[Finding]) -> Vec<&str> {
    found.iter().filter(|finding| finding.standing == Standing::Failed).map(|finding| finding.check).collect()
}

#[tokio::test]
async fn a_server_that_has_all_passes_and_a_user_without_docker_does_not() {
    let Some(server) = server(0) else { return };
    let found = inspect::server(&remote(&server, "deploy")).await;
    assert_eq!(failed(&found), Vec::<&str>::new(), "{found:#?}");
    for check in ["ssh", "tools", "home", "socket", "docker", "compose", "disk", "memory", "load", "clock"] {
        assert!(found.iter().any(|finding| finding.check == check), "{check}: {found:#?}");
    }
    let found = inspect::server(&remote(&server, "guest")).await;
    assert!(failed(&found).contains(&"socket"), "{found:#?}");
    let found = inspect::server(&remote(&server, "nobody-here")).await;
    assert_eq!(failed(&found), ["ssh"], "{found:#?}");
}

#[tokio::test]
async fn all_that_is_missing_is_told_at_once() {
    let Some(server) = server(2) else { return };
    let _alone = ALONE.lock().await;
    let executor = remote(&server, "guest");
    for tool in ["/usr/bin/flock", "/usr/bin/setsid"] {
        inside(&server, &["mount", "--bind", "/dev/null", tool]);
    }
    let found = inspect::server(&executor).await;
    for tool in ["/usr/bin/flock", "/usr/bin/setsid"] {
        inside(&server, &["umount", tool]);
    }
    assert!(failed(&found).contains(&"tools") && failed(&found).contains(&"socket"), "{found:#?}");
    let tools = found.iter().find(|finding| finding.check == "tools").unwrap();
    assert!(tools.message.contains("lacks flock, setsid"), "{}", tools.message);
}

#[tokio::test]
async fn this_machine_is_looked_at_in_the_same_way() {
    let home = tempfile::tempdir().unwrap();
    let found = inspect::local(&local(home.path())).await;
    assert!(!failed(&found).contains(&"tools"), "{found:#?}");
}
