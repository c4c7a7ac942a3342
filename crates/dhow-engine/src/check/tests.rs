use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};

use super::twin::{Leaping, OPEN, Server, answer, http};
use super::*;
use dhow_core::rollout::CheckFailure;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

const SECOND: Duration = Duration::from_secs(1);

fn command(script: &str) -> CheckSpec {
    CheckSpec::new(Probe::Command { argv: ["sh", "-c", script].map(String::from).to_vec() })
}

fn nowhere() -> CheckAddress {
    CheckAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
}

fn with_commands(address: &CheckAddress) -> CheckContext<'_> {
    CheckContext { address, host: "h", allow_commands: true }
}

async fn run_on(spec: &CheckSpec, server: &Server, clock: &Leaping) -> Result<(), Failed> {
    run(spec, &server.context(), clock, &Notify::new(), false).await
}

fn check_failure(result: Result<(), Failed>) -> CheckFailure {
    match result {
        Err(Failed::Check(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_url_gives_host_and_path_and_the_address_gives_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let ok = answer("200 OK", "");
    let unix = Server::unix(folder.path().join("s"), &[&ok]).await;
    let tcp = Server::tcp(&[&ok]).await;
    for server in [unix, tcp] {
        try_once(&http(None), &server.context()).await.unwrap();
        let request = server.heard().remove(0);
        assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("host: site.stage.localhost\r\n"), "{request}");
        assert!(request.contains("x-probe: yes\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_port_in_the_url_is_sent_and_a_host_header_replaces_the_urls() {
    let server = Server::tcp(&[&answer("200 OK", "")]).await;
    let mut spec = CheckSpec::new(Probe::Http {
        url: "http://example.test:8443".into(),
        status: 200,
        contains: None,
        headers: [].into(),
    });
    try_once(&spec, &server.context()).await.unwrap();
    let Probe::Http { headers, .. } = &mut spec.probe else { unreachable!() };
    headers.insert("Host".into(), "other.test".into());
    try_once(&spec, &server.context()).await.unwrap();
    let heard = server.heard();
    assert!(heard[0].starts_with("GET / ") && heard[0].contains("host: example.test:8443\r\n"), "{heard:?}");
    assert!(heard[1].contains("host: other.test\r\n") && !heard[1].contains("example"), "{heard:?}");
}

#[tokio::test]
async fn another_status_is_told_with_its_body() {
    let server = Server::tcp(&[&answer("500 Internal Server Error", "no \"db\"\x1b[2J")]).await;
    let said = try_once(&http(None), &server.context()).await.unwrap_err();
    assert_eq!(said, r#"status 500 Internal Server Error, expected 200; body: "no \"db\"\u{1b}[2J""#);
}

#[tokio::test]
async fn a_wrong_status_is_told_even_when_its_body_never_ends() {
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nsoon<open>";
    let server = Server::tcp(&[head]).await;
    let spec = CheckSpec { timeout: SECOND, ..http(None) };
    let said = try_once(&spec, &server.context()).await.unwrap_err();
    assert_eq!(said, r#"status 503 Service Unavailable, expected 200; body: "soon""#);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server =
        Server::tcp(&["HTTP/1.1 301 Moved Permanently\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"]).await;
    let said = try_once(&http(None), &server.context()).await.unwrap_err();
    assert!(said.contains("expected 200; it redirects to \"/x\""), "{said}");
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn the_body_must_contain_the_text() {
    let server = Server::tcp(&[&answer("200 OK", "all ok"), &answer("200 OK", "bad")]).await;
    try_once(&http(Some("ok")), &server.context()).await.unwrap();
    let said = try_once(&http(Some("ok")), &server.context()).await.unwrap_err();
    assert_eq!(said, r#"no "ok" in the body of 3 bytes: "bad""#);
}

#[tokio::test]
async fn a_text_across_two_chunks_is_found() {
    let body = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n-he\r\n4\r\nllo-\r\n0\r\n\r\n";
    let server = Server::tcp(&[body]).await;
    try_once(&http(Some("hello")), &server.context()).await.unwrap();
}

#[tokio::test]
async fn a_text_is_found_in_a_body_that_never_ends() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nhello<open>";
    let server = Server::tcp(&[head]).await;
    try_once(&http(Some("hello")), &server.context()).await.unwrap();
    let spec = CheckSpec { timeout: SECOND, ..http(Some("bye")) };
    let said = try_once(&spec, &server.context()).await.unwrap_err();
    assert_eq!(said, r#"no "bye" in the 5 bytes of the body that came within 1 s: "hello""#);
}

#[tokio::test]
async fn only_the_first_mebibyte_of_a_body_is_searched() {
    let mut body = "x".repeat(1024 * 1024);
    body += "hello";
    let server = Server::tcp(&[&answer("200 OK", &body)]).await;
    let said = try_once(&http(Some("hello")), &server.context()).await.unwrap_err();
    assert!(said.starts_with(r#"no "hello" in the first 1048576 bytes of the body: "xxx"#), "{said}");
    assert!(said.chars().count() <= 500);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_proof() {
    let server = Server::tcp(&["HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf"]).await;
    let said = try_once(&http(Some("hello")), &server.context()).await.unwrap_err();
    assert!(said.starts_with("the body broke off after 4 bytes, without \"hello\""), "{said}");
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_at_the_timeout() {
    let server = Server::tcp(&[OPEN]).await;
    let spec = CheckSpec { timeout: Duration::from_millis(20), ..http(None) };
    let said = try_once(&spec, &server.context()).await.unwrap_err();
    assert_eq!(said, "no answer within 20 ms");
}

#[tokio::test]
async fn an_answer_is_never_above_500_characters() {
    let server = Server::tcp(&[&answer("500 Oh", &"\x1b".repeat(5000))]).await;
    let said = try_once(&http(None), &server.context()).await.unwrap_err();
    assert_eq!(said.chars().count(), 500);
}

#[tokio::test]
async fn a_url_that_cannot_be_asked_is_an_answer() {
    let address = nowhere();
    for (url, word) in [
        ("ftp://h/", "must begin with http:// or https://"),
        ("nonsense", "is not one"),
        ("http://me:hidden@h/", "user name or a password"),
    ] {
        let probe = Probe::Http { url: url.into(), status: 200, contains: None, headers: [].into() };
        let said = try_once(&CheckSpec::new(probe), &with_commands(&address)).await.unwrap_err();
        assert!(said.contains(word) && !said.contains("hidden"), "{said}");
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_named_without_its_value() {
    let address = nowhere();
    let headers = [("token".to_owned(), "hidden\n".to_owned())].into();
    let probe = Probe::Http { url: "http://h/".into(), status: 200, contains: None, headers };
    let said = try_once(&CheckSpec::new(probe), &with_commands(&address)).await.unwrap_err();
    assert_eq!(said, r#"the check's header "token" cannot be sent"#);
}

#[tokio::test]
async fn tcp_succeeds_once_connected_and_a_port_replaces_the_addresses_own() {
    let server = Server::tcp(&[OPEN]).await;
    let CheckAddress::Tcp(own) = server.address else { unreachable!() };
    try_once(&CheckSpec::new(Probe::Tcp { port: None }), &server.context()).await.unwrap();
    let elsewhere = nowhere();
    let context = with_commands(&elsewhere);
    try_once(&CheckSpec::new(Probe::Tcp { port: Some(own.port()) }), &context).await.unwrap();
    let said = try_once(&CheckSpec::new(Probe::Tcp { port: None }), &context).await.unwrap_err();
    assert_eq!(said, "connection refused: 127.0.0.1:1");
}

#[tokio::test]
async fn a_front_door_that_speaks_no_tls_is_told() {
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = CheckAddress::Tls(door.local_addr().unwrap());
    let plain = async {
        let (mut visitor, _) = door.accept().await.unwrap();
        visitor.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let (spec, context) = (http(None), with_commands(&address));
    let (said, ()) = tokio::join!(try_once(&spec, &context), plain);
    let said = said.unwrap_err();
    assert!(said.starts_with("no TLS there for h: "), "{said}");
    try_once(&CheckSpec::new(Probe::Tcp { port: None }), &with_commands(&address)).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_is_missing_is_told_without_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let address = CheckAddress::Unix(folder.path().join("none"));
    let said = try_once(&http(None), &with_commands(&address)).await.unwrap_err();
    assert_eq!(said, "nothing listens: its socket");
    let server = Server::unix(folder.path().join("some"), &[OPEN]).await;
    try_once(&CheckSpec::new(Probe::Tcp { port: Some(9) }), &server.context()).await.unwrap();
}

#[tokio::test]
async fn a_command_is_not_run_where_commands_are_not_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ran");
    let address = nowhere();
    let spec = command(&format!(": > {}", file.display()));
    let refused = CheckContext { allow_commands: false, ..with_commands(&address) };
    let said = try_once(&spec, &refused).await.unwrap_err();
    assert!(said.contains("not allowed"), "{said}");
    assert!(!file.exists());
    try_once(&spec, &with_commands(&address)).await.unwrap();
    assert!(file.exists());
}

#[tokio::test]
async fn a_command_has_no_environment_and_no_input_and_its_output_is_told_in_order() {
    let address = nowhere();
    let script = "echo \"home=$HOME\"; echo two >&2; cat; pwd; exit 3";
    let said = try_once(&command(script), &with_commands(&address)).await.unwrap_err();
    assert_eq!(said, r#"exit status 3, expected 0; output: "home=\ntwo\n/""#);
    let env = CheckSpec::new(Probe::Command { argv: vec!["sh".into(), "-c".into(), "env; exit 1".into()] });
    let said = try_once(&env, &with_commands(&address)).await.unwrap_err();
    assert!(!said.contains("CARGO") && !said.contains("HOME"), "{said}");
}

#[tokio::test]
async fn the_end_of_a_long_output_is_told() {
    let address = nowhere();
    let script = "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo last; exit 1";
    let said = try_once(&command(script), &with_commands(&address)).await.unwrap_err();
    assert!(said.ends_with("line 4999\\nlast\"") && said.chars().count() <= 500, "{said}");
}

#[tokio::test]
async fn a_command_that_cannot_start_is_an_answer() {
    let address = nowhere();
    for argv in [vec![], vec!["/no/such/program".to_owned()]] {
        let spec = CheckSpec::new(Probe::Command { argv });
        let said = try_once(&spec, &with_commands(&address)).await.unwrap_err();
        assert!(said.contains("is empty") || said.contains("could not be started"), "{said}");
    }
}

#[tokio::test]
async fn a_command_is_killed_at_the_timeout() {
    let address = nowhere();
    let spec = CheckSpec { timeout: Duration::from_millis(20), ..command("sleep 60") };
    let said = try_once(&spec, &with_commands(&address)).await.unwrap_err();
    assert!(said.starts_with("not done within 20 ms, so it was killed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_a_command_ends_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let address = nowhere();
    try_once(&command(&format!("mkfifo {}", fifo.display())), &with_commands(&address)).await.unwrap();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let script = format!("(echo started; exec sleep 60) > {} & wait", fifo.display());
    let reader = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(std::fs::File::open(fifo).unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        started.send(std::time::Instant::now()).unwrap();
        // Comes to an end when the last process that can write is gone.
        reader.read_to_string(&mut line).unwrap();
        std::time::Instant::now()
    });
    let spec = CheckSpec { timeout: 50 * SECOND, ..command(&script) };
    let context = with_commands(&address);
    let begun = tokio::select! {
        begun = has_started => begun.unwrap(),
        result = try_once(&spec, &context) => panic!("{result:?}"),
    };
    assert!(reader.await.unwrap().duration_since(begun) < 30 * SECOND);
}

#[tokio::test]
async fn successes_must_come_in_a_row() {
    let (ok, bad) = (answer("200 OK", ""), answer("500 Oh", ""));
    let server = Server::tcp(&[&ok, &bad, &ok, &ok, &bad]).await;
    let (spec, clock) = (http(None), Leaping::default());
    run_on(&spec, &server, &clock).await.unwrap();
    assert_eq!(server.heard().len(), 4);
    assert_eq!(*clock.slept.lock().unwrap(), [spec.interval, spec.retry, spec.interval]);
}

#[tokio::test]
async fn a_failing_check_is_asked_until_the_limit_and_its_last_five_answers_are_kept() {
    let script: Vec<_> = (0..6).map(|n| answer(&format!("50{n} X"), "")).collect();
    let script: Vec<_> = script.iter().map(String::as_str).collect();
    let server = Server::tcp(&script).await;
    let spec = CheckSpec { retry: 10 * SECOND, ..http(None) };
    let failure = check_failure(run_on(&spec, &server, &Leaping::default()).await);
    assert_eq!(server.heard().len(), 6);
    assert_eq!(failure.check, "http https://site.stage.localhost/health?deep=1");
    assert_eq!(failure.answers.len(), 5);
    assert!(failure.answers[0].starts_with("status 501 "), "{failure:?}");
    assert!(failure.answers[4].starts_with("status 505 "), "{failure:?}");
}

#[tokio::test]
async fn successes_that_come_too_slowly_are_a_failure_that_says_so() {
    let server = Server::tcp(&[&answer("200 OK", "")]).await;
    let spec = CheckSpec { successes: 3, interval: 40 * SECOND, ..http(None) };
    let failure = check_failure(run_on(&spec, &server, &Leaping::default()).await);
    assert_eq!(failure.answers, ["only 2 of 3 successes in a row came within 60 s"]);
}

#[tokio::test]
async fn a_try_does_not_outlast_the_limit() {
    let server = Server::tcp(&[OPEN]).await;
    let spec = CheckSpec { limit: Duration::from_millis(20), timeout: 600 * SECOND, ..http(None) };
    let failure = check_failure(run_on(&spec, &server, &Leaping::default()).await);
    assert_eq!(failure.answers, ["no answer within 20 ms"]);
}

#[tokio::test]
async fn a_try_that_the_limit_cuts_short_does_not_hide_the_answer_before_it() {
    let server = Server::tcp(&[&answer("503 Soon", ""), OPEN]).await;
    let (limit, retry) = (Duration::from_millis(300), Duration::from_millis(150));
    let spec = CheckSpec { limit, timeout: 600 * SECOND, retry, ..http(None) };
    let failure = check_failure(run_on(&spec, &server, &Leaping::default()).await);
    assert_eq!(failure.answers.len(), 1, "{failure:?}");
    assert!(failure.answers[0].starts_with("status 503 "), "{failure:?}");
}

#[tokio::test]
async fn an_interrupt_ends_a_try_at_once() {
    let server = Server::tcp(&[OPEN]).await;
    let spec = CheckSpec { timeout: 600 * SECOND, limit: 600 * SECOND, ..http(None) };
    let specs = [spec.clone(), spec];
    let (clock, interrupt, context) = (Leaping::default(), Notify::new(), server.context());
    let (result, ()) = tokio::join!(biased; run_all(&specs, &context, &clock, &interrupt, false), async {
        interrupt.notify_one();
    });
    assert_eq!(result, Err(Failed::Interrupted));
}

#[tokio::test]
async fn the_first_failure_of_a_phase_ends_the_other_checks() {
    let server = Server::tcp(&[OPEN]).await;
    let slow = CheckSpec { timeout: 600 * SECOND, limit: 600 * SECOND, ..http(None) };
    let failing = CheckSpec { limit: Duration::ZERO, ..CheckSpec::new(Probe::Tcp { port: Some(1) }) };
    let (clock, interrupt, context) = (Leaping::default(), Notify::new(), server.context());
    let failure = check_failure(run_all(&[slow, failing], &context, &clock, &interrupt, false).await);
    assert_eq!(failure.check, "tcp port 1");
    assert_eq!(run_all(&[], &context, &clock, &interrupt, false).await, Ok(()));
}

#[tokio::test]
async fn where_there_is_nothing_to_connect_to_the_check_says_why() {
    let address = CheckAddress::Nowhere("no container runs".into());
    let spec = CheckSpec::new(Probe::Tcp { port: None });
    assert_eq!(try_once(&spec, &with_commands(&address)).await, Err("no container runs".to_owned()));
}
