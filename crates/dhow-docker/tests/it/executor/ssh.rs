//! What only a server can do: be unknown, be cut off, lack things, be behind another one.

use std::path::Path;

use dhow_core::port::{Executor, ExecutorError, PlaceLock, SentFile};
use dhow_docker::executor::{SshExecutor, SshSettings, Trust};
use dhow_testkit::executor::{Told, commands, files, good, locks, sh};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::executor::support::{ALONE, back, inside, login, refusal, remote, scratch, server, settings};

#[tokio::test]
async fn an_unknown_host_key_is_refused_with_its_fingerprint_until_it_is_remembered() {
    let Some(server) = server(1) else { return };
    let (folder, _) = scratch("known");
    let known_hosts = folder.path().join("known_hosts");
    let mut settings = SshSettings { known_hosts: known_hosts.clone(), ..settings(&server, "deploy") };
    settings.login.fingerprint = None;
    let executor = SshExecutor::new(&settings).unwrap();
    let message = refusal(executor.run(&sh("true", &[]), &()).await);
    assert!(message.contains(&server.fingerprint) && message.contains("dhow server add s2"), "{message}");
    let Trust::Unknown(key) = executor.trust().await.unwrap() else { panic!("it is known") };
    assert_eq!(key.fingerprint, server.fingerprint);
    key.remember(&known_hosts).unwrap();
    assert_eq!(executor.trust().await.unwrap(), Trust::Known(vec![key.clone()]));
    good(&executor, &sh("true", &[])).await;
    // Another key than the known one.
    let other = std::fs::read_to_string(&server.known_hosts).unwrap();
    let other = other.lines().find(|line| line.contains(&key.kind) && !line.contains(&key.key)).unwrap();
    let other = other.split_whitespace().nth(2).unwrap();
    std::fs::write(&known_hosts, format!("{} {} {other}\n", key.host, key.kind)).unwrap();
    let message = refusal(SshExecutor::new(&settings).unwrap().run(&sh("true", &[]), &()).await);
    assert!(message.contains("changed") && message.contains(&server.fingerprint), "{message}");
}

#[tokio::test]
async fn another_fingerprint_than_the_fleets_is_refused() {
    let Some(server) = server(0) else { return };
    let mut settings = settings(&server, "deploy");
    settings.login.fingerprint = Some("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into());
    let message = refusal(SshExecutor::new(&settings).unwrap().run(&sh("true", &[]), &()).await);
    assert!(
        message.contains(&server.fingerprint) && message.contains("the fleet expects SHA256:AAAA"),
        "{message}"
    );
}

#[tokio::test]
async fn a_wrong_user_and_a_missing_key_are_told() {
    let Some(server) = server(0) else { return };
    let message = refusal(remote(&server, "nobody-here").run(&sh("true", &[]), &()).await);
    assert!(message.contains("nobody-here@") && message.contains("authorized_keys"), "{message}");
    let mut settings = settings(&server, "deploy");
    settings.login.identity = Some("/no/such/key".into());
    let message = SshExecutor::new(&settings).err().unwrap().to_string();
    assert!(message.contains("/no/such/key") && message.contains("--config"), "{message}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_asked_again_later() {
    let Some(server) = server(0) else { return };
    let mut settings = settings(&server, "deploy");
    settings.login.port = 9;
    let executor = SshExecutor::new(&settings).unwrap();
    for _ in 0..2 {
        let error = executor.run(&sh("true", &[]), &()).await.unwrap_err();
        assert!(matches!(&error, ExecutorError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("Connection refused"), "{error}");
    }
}

#[tokio::test]
async fn a_jump_host_is_held_to_the_same_rules() {
    let Some(server) = server(0) else { return };
    let mut settings = settings(&server, "deploy");
    // From the server to itself.
    settings.jump = Some(login(&server, "guest"));
    settings.login.host = "127.0.0.1".into();
    let executor = SshExecutor::new(&settings).unwrap();
    let output = good(&executor, &sh("id -un", &[])).await;
    assert_eq!(output.stdout, b"deploy\n");
    settings.jump = Some(dhow_docker::executor::Login { fingerprint: None, ..login(&server, "guest") });
    let message = refusal(SshExecutor::new(&settings).unwrap().run(&sh("true", &[]), &()).await);
    assert!(message.contains("the jump host guest@") && message.contains(&server.fingerprint), "{message}");
}

#[tokio::test]
async fn a_cut_connection_is_told_and_the_lock_is_had_again_only_when_the_command_has_ended() {
    let Some(server) = server(2) else { return };
    let _alone = ALONE.lock().await;
    let (executor, (_folder, scratch)) = (remote(&server, "deploy"), scratch("cut"));
    let (told, mut heard) = Told::new();
    let lock = PlaceLock { name: "test/cut".into(), rollout: 1, epoch: 1 };
    let command =
        sh(r#"mkdir -p "$1"; echo $$; while :; do echo x >>"$1/log"; sleep 0.1; done"#, &[&scratch]);
    let cut = async {
        let pid = heard.recv().await.unwrap();
        (server.cut(), pid)
    };
    let (ended, (cut, pid)) = tokio::join!(executor.run_locked(&lock, &command, &told), cut);
    assert!(matches!(ended, Err(ExecutorError::Broken { .. })), "{ended:?}");
    let away = executor.run(&sh("true", &[]), &()).await;
    assert!(matches!(away, Err(ExecutorError::Unreachable { .. })), "{away:?}");
    let log = server.files.join(scratch.trim_start_matches('/')).join("log");
    assert!(Path::new(&log).exists(), "the command still runs there");
    drop(cut);
    back(&executor).await;
    let text = r#"! grep -qs "^State:.[^Z]" "/proc/$1/status""#;
    let output = executor.run_locked(&lock, &sh(text, &[&pid]), &()).await.unwrap();
    assert!(output.ok(), "the command of the cut connection overlapped the next one");
}

#[tokio::test]
async fn what_a_server_lacks_is_told_by_name() {
    let Some(server) = server(2) else { return };
    let _alone = ALONE.lock().await;
    let executor = remote(&server, "guest");
    let lock = PlaceLock { name: "test/lacks".into(), rollout: 1, epoch: 1 };
    let tool = String::from_utf8(good(&executor, &sh("command -v flock", &[])).await.stdout).unwrap();
    inside(&server, &["mount", "--bind", "/dev/null", tool.trim()]);
    let result = executor.run_locked(&lock, &sh("true", &[]), &()).await;
    inside(&server, &["umount", tool.trim()]);
    let message = refusal(result);
    assert!(message.contains("s3 (guest@") && message.contains("lacks flock"), "{message}");
}

#[tokio::test]
async fn any_posix_shell_will_do() {
    let Some(server) = server(2) else { return };
    let _alone = ALONE.lock().await;
    for shell in ["/usr/bin/bash", "/usr/bin/busybox"] {
        let (_folder, scratch) = scratch("shells");
        // What `sh` is there, for dash's place.
        inside(&server, &["mount", "--bind", shell, "/usr/bin/dash"]);
        let server = server.clone();
        let tried = tokio::spawn(async move {
            let (one, other) = (remote(&server, "deploy"), remote(&server, "deploy"));
            commands::everything_arrives_byte_for_byte(&one).await;
            commands::an_end_is_told_as_it_is(&one).await;
            commands::a_dropped_command_is_ended(&one).await;
            locks::a_dropped_command_leaves_its_lock(&one).await;
            commands::what_cannot_be_is_refused(&one).await;
            locks::two_commands_never_overlap(&one, &other, &scratch).await;
            locks::a_lower_epoch_is_refused(&one, &other, &scratch).await;
            locks::a_newer_epoch_ends_the_older_command(&one, &other).await;
            files::a_folder_is_what_was_sent(&one, &scratch).await;
            files::files_are_read_written_listed_and_removed(&one, &scratch).await;
        });
        let tried = tried.await;
        inside(&crate::executor::support::server(2).unwrap(), &["umount", "--lazy", "/usr/bin/dash"]);
        tried.unwrap_or_else(|error| panic!("{shell}: {error}"));
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_what_was_there() {
    let Some(server) = server(1) else { return };
    let executor = remote(&server, "root");
    inside(&server, &["mkdir", "-p", "/srv/full"]);
    inside(&server, &["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", "/srv/full"]);
    executor.write("/srv/full/kept", b"old", 0o644).await.unwrap();
    let big = vec![b'x'; 1 << 20];
    let files = [SentFile { path: "big".into(), content: big.clone().into(), mode: 0o644 }];
    let sent = executor.send("/srv/full/release", &files).await;
    let written = executor.write("/srv/full/kept", &big, 0o644).await;
    let left = executor.list("/srv/full").await.unwrap();
    let kept = executor.read("/srv/full/kept").await.unwrap();
    inside(&server, &["umount", "/srv/full"]);
    for message in [refusal(sent), refusal(written)] {
        assert!(message.contains("s2 (root@") && message.contains("the disk is full"), "{message}");
    }
    assert_eq!((left, kept.as_deref()), (vec!["kept".to_owned()], Some(&b"old"[..])));
}

#[tokio::test]
async fn the_engines_socket_and_a_port_are_reached_also_after_the_connection_broke() {
    let Some(server) = server(1) else { return };
    let executor = remote(&server, "deploy");
    let socket = executor.forward_socket("/run/docker.sock").await.unwrap();
    assert_eq!(executor.forward_socket("/run/docker.sock").await.unwrap(), socket);
    let port = executor.forward_tcp(([127, 0, 0, 1], server.port).into()).await.unwrap();
    for round in 0..2 {
        let mut engine = UnixStream::connect(&socket).await.unwrap();
        engine.write_all(b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        engine.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("200 OK"), "round {round}: {answer}");
        let mut greeting = [0; 8];
        TcpStream::connect(port).await.unwrap().read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-2.0-");
        // sshd's process of this connection goes.
        let _ = executor.run(&sh("kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $PPID))", &[]), &()).await;
        back(&executor).await;
    }
}

#[tokio::test]
async fn a_socket_that_may_not_be_used_or_is_not_there_is_told() {
    let Some(server) = server(0) else { return };
    let message = refusal(remote(&server, "guest").forward_socket("/run/docker.sock").await);
    assert!(message.contains("usermod -aG docker"), "{message}");
    let message = refusal(remote(&server, "deploy").forward_socket("/run/no.sock").await);
    assert!(message.contains("no socket /run/no.sock on s1"), "{message}");
}
