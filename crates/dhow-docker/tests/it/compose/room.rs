//! What runs, what it writes and commands in it, on a real engine.

use std::time::Duration;

use dhow_core::port::{
    Heard, Hearing, Inside, LogLine, LogLines, Place, Stream, Tail, Target as _, TargetError,
};
use dhow_testkit::engines::Image;
use futures::StreamExt as _;

use crate::compose::support::{Lab, Release, get};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A deployment with `web` and with `ticker`, which counts.
async fn ticking() -> Option<(Lab, Release)> {
    let lab = Lab::new().await?;
    let web = lab.push("web", "1", Image::server(&lab.parts, "1").busybox(&lab.parts)).await;
    let count =
        "i=0; echo complaint >&2; while :; do i=$$((i+1)); echo tick $$i; /bin/busybox sleep 0.1; done";
    let ticker = format!(
        "  ticker:\n    image: {}:1\n    restart: always\n    stop_grace_period: 0s\n    mem_limit: 64m\n    \
         entrypoint: [/bin/busybox, sh, -c, '{count}']\n",
        lab.repository("web")
    );
    let release = lab.release(&[("compose.yaml", &lab.compose(&ticker))], &web).await;
    lab.roll_out(&release).await.unwrap();
    Some((lab, release))
}

async fn follow(lab: &Lab, release: &Release, lines: usize, follow: bool, name: Option<&str>) -> LogLines {
    let tail = Tail { lines, follow, container: name.map(|name| name.parse().unwrap()) };
    lab.target().follow(&release.0.rendered.deployment, &Place::Local, &tail).await.unwrap()
}

async fn next(lines: &mut LogLines) -> LogLine {
    tokio::time::timeout(PATIENCE, lines.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_shown_with_its_digest_and_what_it_uses() {
    let Some((lab, release)) = ticking().await else { return };
    let id = &release.0.rendered.deployment;
    let found = lab.target().processes(id, &Place::Local).await.unwrap();
    let components: Vec<&str> = found.iter().map(|one| one.component.as_str()).collect();
    assert_eq!(components, ["ticker", "web"]);
    let digest = release.0.rendered.pins.values().next().unwrap().digest;
    for one in &found {
        assert_eq!((one.state.as_str(), one.digest), ("running", Some(digest)), "{one:?}");
        assert!(one.memory.is_some_and(|bytes| bytes > 0) && one.cpu.is_some(), "{one:?}");
        assert!(one.since.as_deref().is_some_and(|at| at.starts_with("20")), "{one:?}");
    }
    assert_eq!(found[0].memory_limit, Some(64 << 20));
    lab.docker(&["kill", &found[1].name]).await;
    let found = lab.target().processes(id, &Place::Local).await.unwrap();
    assert_eq!((found[1].state.as_str(), found[1].exit_code, found[1].memory), ("exited", Some(137), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_followed_over_a_restart_and_none_comes_twice() {
    let Some((lab, release)) = ticking().await else { return };
    let mut lines = follow(&lab, &release, 0, true, Some("ticker")).await;
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < 3 {
        seen.push(next(&mut lines).await.text);
    }
    assert!(seen.iter().all(|line| line.starts_with("tick ")), "{seen:?}");
    lab.docker(&["restart", "--time", "0", &lab.ids("ticker").await[0]]).await;
    loop {
        let line = next(&mut lines).await;
        seen.push(line.text);
        if seen.iter().any(|line| line == "complaint") && seen.last().is_some_and(|line| line == "tick 3") {
            break;
        }
    }
    // What comes on the two streams may overtake each other; on one, nothing does.
    let ticks: Vec<u64> = seen.iter().filter_map(|line| line.strip_prefix("tick ")?.parse().ok()).collect();
    let again = ticks.iter().rposition(|tick| *tick == 1).unwrap();
    for part in [&ticks[..again], &ticks[again..]] {
        assert!(part.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
    }
    drop(lines);
    // All containers together, by time, and each of them with no more than was asked for.
    let all: Vec<LogLine> = follow(&lab, &release, 5, false, None).await.map(Result::unwrap).collect().await;
    assert!(all.iter().filter(|line| line.component == "ticker").count() == 5, "{all:?}");
    assert!(all.iter().any(|line| line.component == "web"), "{all:?}");
    assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at), "{all:?}");
    let tail = Tail { lines: 1, follow: false, container: Some("wbe".parse().unwrap()) };
    let target = lab.target();
    let told = target.follow(&release.0.rendered.deployment, &Place::Local, &tail).await.err().unwrap();
    assert!(told.to_string().contains("there are ticker, web"), "{told}");
}

struct Ran {
    out: String,
    err: String,
    code: Option<i64>,
    problem: String,
}

async fn run(lab: &Lab, release: &Release, name: Option<&str>, argv: &[&str], stdin: Option<&str>) -> Ran {
    let inside = Inside {
        container: name.map(|name| name.parse().unwrap()),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        stdin: stdin.map(|text| text.to_owned().into()),
        limit: Duration::from_secs(2),
    };
    let mut ran = Ran { out: String::new(), err: String::new(), code: None, problem: String::new() };
    let id = &release.0.rendered.deployment;
    let mut hearing: Hearing = match lab.target().exec(id, &Place::Local, &inside).await {
        Ok(hearing) => hearing,
        Err(error) => return Ran { problem: error.to_string(), ..ran },
    };
    while let Some(heard) = tokio::time::timeout(PATIENCE, hearing.next()).await.unwrap() {
        match heard {
            Ok(Heard::Began { container }) => assert!(container.contains(&lab.service), "{container}"),
            Ok(Heard::Wrote { stream: Stream::Out, bytes }) => ran.out += &String::from_utf8_lossy(&bytes),
            Ok(Heard::Wrote { stream: Stream::Err, bytes }) => ran.err += &String::from_utf8_lossy(&bytes),
            Ok(Heard::Ended { code }) => ran.code = Some(code),
            Err(error) => ran.problem = error.to_string(),
        }
    }
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_inside_gets_its_input_and_gives_its_code() {
    let Some((lab, release)) = ticking().await else { return };
    let shell = |script: &'static str| ["/bin/busybox", "sh", "-c", script];
    let both = run(&lab, &release, Some("web"), &shell("echo out; echo err >&2; exit 3"), None).await;
    assert_eq!((both.out.as_str(), both.err.as_str(), both.code), ("out\n", "err\n", Some(3)));
    let read = run(&lab, &release, Some("web"), &shell("/bin/busybox wc -c"), Some("hello")).await;
    assert_eq!((read.out.trim(), read.code), ("5", Some(0)), "{}", read.problem);
    // An argument is an argument.
    let odd = run(&lab, &release, Some("web"), &["/bin/busybox", "echo", "$(id) 'a b'\n;"], None).await;
    assert_eq!(odd.out, "$(id) 'a b'\n;\n");
    let unclear = run(&lab, &release, None, &shell("true"), None).await;
    assert!(
        unclear.problem.contains("--container") && unclear.problem.contains("ticker, web"),
        "{}",
        unclear.problem
    );
    let missing = run(&lab, &release, Some("web"), &["/nowhere"], None).await;
    assert!(
        missing.problem.contains("/nowhere") || missing.out.contains("/nowhere") && missing.code == Some(126),
        "{} {} {:?}",
        missing.problem,
        missing.out,
        missing.code
    );
    let long = run(&lab, &release, Some("web"), &["/bin/busybox", "sleep", "8"], None).await;
    assert!(long.problem.contains("2 s"), "{}", long.problem);
    // Nothing of a neighbour can be named.
    let Some(neighbour) = Lab::new().await else { return };
    let one = neighbour.version("1").await;
    let other = neighbour.release(&[("compose.yaml", &neighbour.compose(""))], &one).await;
    neighbour.roll_out(&other).await.unwrap();
    let id = neighbour.ids("web").await.remove(0);
    let name = format!("{}-web-1", neighbour.project());
    for theirs in [id.as_str(), name.as_str()] {
        let ran = run(&lab, &release, Some(theirs), &shell("true"), None).await;
        assert!(ran.problem.contains("is no container here"), "{}", ran.problem);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_disk_stops_a_pull_before_it_fills_it_and_what_runs_goes_on() {
    let Some(mut lab) = Lab::new().await else { return };
    let (one, two) = (lab.version("1").await, lab.version("2").await);
    let file = lab.compose("");
    let release = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&release).await.unwrap();
    lab.forget(&two).await;
    lab.options.disk.pull = u64::MAX;
    let next = lab.release(&[("compose.yaml", &file)], &two).await;
    let plan = format!("{:?}", lab.plan(&next).await.unwrap());
    assert!(plan.contains("too full for a pull"), "{plan}");
    let Err(TargetError::Blocked(told)) = lab.roll_out(&next).await else { panic!("it was pulled") };
    assert!(told.contains("free at") && told.contains("Make room there"), "{told}");
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
    // What is there needs no room.
    lab.roll_out(&release).await.unwrap();
    lab.options.disk.pull = 0;
    lab.roll_out(&next).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_nearly_full_disk_only_the_release_before_is_kept_and_the_plan_says_so() {
    let Some(mut lab) = Lab::new().await else { return };
    let file = lab.compose("");
    let mut kept = Vec::new();
    for tag in ["1", "2", "3"] {
        let pin = lab.version(tag).await;
        let mut release = lab.release(&[("compose.yaml", &file)], &pin).await;
        let hash = release.0.hash;
        release.0.keep = kept.iter().rev().copied().chain([hash]).collect();
        if tag == "3" {
            lab.options.disk.used_percent = 0;
            let plan = format!("{:?}", lab.plan(&release).await.unwrap());
            assert!(plan.contains("all but the one before: the disk is nearly full"), "{plan}");
        }
        lab.roll_out(&release).await.unwrap();
        kept.push(hash);
        let there = lab.target().releases(&release.0.rendered.deployment, &Place::Local).await.unwrap();
        let there: std::collections::BTreeSet<_> = there.into_iter().map(|release| release.hash).collect();
        let wanted = if tag == "3" { &kept[1..] } else { &kept[..] };
        assert_eq!(there, wanted.iter().copied().collect(), "after {tag}");
    }
}
