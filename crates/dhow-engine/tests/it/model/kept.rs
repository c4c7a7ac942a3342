//! Sequences that once broke a promise, made short.

mod failures;

use super::action::Action::*;
use super::action::Env::*;
use super::action::Svc::*;
use super::action::Works::*;
use super::action::{Action, Case, Gates, Shape};

/// What went wrong, and what led there.
pub type Kept = (&'static str, Case);

/// All of them.
pub fn cases() -> Vec<Kept> {
    [
        votes(),
        rejections(),
        taken_up_again(),
        ways_back(),
        failures::failures_in_a_row(),
        failures::left_out(),
        failures::failed_once(),
        removals(),
        lost(),
    ]
    .concat()
}

fn case(what: &'static str, gates: Gates, actions: &[Action]) -> Kept {
    let shape = Shape { gates, after: false, servers: false };
    (what, Case { shape, actions: actions.to_vec() })
}

fn on_servers(what: &'static str, gates: Gates, actions: &[Action]) -> Kept {
    let shape = Shape { gates, after: false, servers: true };
    (what, Case { shape, actions: actions.to_vec() })
}

fn votes() -> Vec<Kept> {
    vec![
        case(
            "whoever had just changed a file said yes to a promotion that takes it along",
            Gates::FromAndOne,
            &[
                Publish(Shop, Everywhere),
                Pin("dave", Shop, Production, 0),
                Reject("bob", Shop, Production, 0),
                OtherFile("alice", Shop, Production, false),
                Pass(20),
                Approve("alice", Shop, Production, 0),
                Pass(60),
            ],
        ),
        case(
            "who pushed while a question was being asked, of which nothing of theirs is part, has a vote in it",
            Gates::One,
            &[
                Publish(Shop, Everywhere),
                PinNightly("alice", Shop, Production),
                Publish(Shop, Everywhere),
                Pass(1),
                Approve("alice", Shop, Production, 0),
            ],
        ),
        case(
            "what stage went back to was proposed and withdrawn without end",
            Gates::FromAndOne,
            &[Publish(Shop, Nowhere), Publish(Shop, Everywhere), Pass(1), Pin("alice", Shop, Stage, 1)],
        ),
        on_servers(
            "what was put into quarantine while it was being selected was proposed",
            Gates::FromAndOne,
            &[
                Publish(Shop, Everywhere),
                Lose(0, true),
                LoseDatabase,
                Pin("alice", Shop, Stage, 0),
                Slow(App, Production),
                Publish(App, Everywhere),
                Pass(10),
                Quarantine("alice", App, Production, 0),
                Pass(10),
                LetGo,
            ],
        ),
    ]
}

fn ways_back() -> Vec<Kept> {
    vec![
        on_servers(
            "two deployments that fail with each other's version went to and fro without end",
            Gates::Nothing,
            &[Publish(App, Everywhere), Lose(0, false), Pass(1), FrontDoor(App, Production), Find, Pass(1)],
        ),
        on_servers(
            "a second failure took the place of an edit back that was not made yet",
            Gates::From,
            &[
                Remove("alice", App, Stage),
                PinNightly("alice", App, Production),
                Publish(App, NotInProduction),
                Slow(App, Production),
                Pass(1),
                Publish(App, Everywhere),
                Pass(10),
                OtherFile("alice", App, Production, true),
                Pass(10),
                LetGo,
            ],
        ),
        case(
            "what was taken back because its version failed elsewhere did not say so, where the fleet is left as it is",
            Gates::Nothing,
            &[
                Quarantine("alice", App, Production, 0),
                Publish(App, NotInProduction),
                Pass(1),
                Stop(App, Production),
            ],
        ),
        case(
            "who resumed while a way back was under way got neither the one nor the other",
            Gates::From,
            &[
                Publish(Shop, Everywhere),
                Pass(1),
                RollBack("alice", Shop, Production, None),
                Resume("alice", Shop, Production),
            ],
        ),
        case(
            "a person's way back waited behind a mending, and the edit that belongs to it took its place",
            Gates::From,
            &[
                Slow(App, Stage),
                Publish(App, Everywhere),
                Pass(10),
                OtherFile("alice", App, Stage, true),
                Pass(10),
                LetGo,
                OtherFile("alice", Shop, Production, false),
                Pass(20),
                Approve("alice", Shop, Production, 0),
                Stop(App, Stage),
                Slow(App, Stage),
                Publish(App, Everywhere),
                Pass(10),
                RollBack("alice", App, Stage, None),
                Pass(10),
                LetGo,
            ],
        ),
    ]
}

fn taken_up_again() -> Vec<Kept> {
    vec![
        on_servers(
            "the end of what was cancelled held again what a person had resumed",
            Gates::Nothing,
            &[
                Publish(Shop, Everywhere),
                Publish(App, Everywhere),
                Lose(1, true),
                Slow(App, Production),
                Publish(App, Everywhere),
                Pass(10),
                RollBack("alice", App, Production, None),
                Pass(10),
                LetGo,
                Resume("carol", App, Production),
                Quarantine("alice", Shop, Production, 2),
                Reject("bob", App, Stage, 1),
                OtherFile("dave", Shop, Production, false),
                DieSoon(15, true),
                Quarantine("bob", Shop, Stage, 0),
            ],
        ),
        case(
            "a person went back to what a failure took out of the fleet, and the fleet was to say the other",
            Gates::Nothing,
            &[
                Slow(Shop, Production),
                Publish(Shop, Everywhere),
                Pass(10),
                OtherFile("alice", Shop, Production, true),
                Pass(10),
                LetGo,
                Pass(1),
                FrontDoor(Shop, Production),
                Pin("alice", Shop, Production, 1),
                Pass(20),
                Approve("alice", Shop, Production, 1),
                RollBack("alice", Shop, Production, Some(1)),
                OtherFile("alice", App, Production, false),
                Pass(20),
                Approve("alice", App, Production, 0),
            ],
        ),
    ]
}

fn rejections() -> Vec<Kept> {
    vec![
        case(
            "who removed something and put it back as it was, before anybody saw it, has a vote about what comes next",
            Gates::FromAndOne,
            &[
                Remove("alice", App, Production),
                Publish(App, Everywhere),
                Return("alice", App, Production),
                Pin("alice", App, Production, 1),
                Pass(20),
                Approve("alice", App, Production, 1),
            ],
        ),
        case(
            "who stayed with what ran, and it had stopped, did not read any more why the fleet says another",
            Gates::One,
            &[
                Approve("alice", Shop, Production, 0),
                OtherFile("alice", Shop, Production, false),
                Pass(1),
                RollBack("alice", Shop, Production, Some(0)),
                Stop(Shop, Production),
            ],
        ),
        case(
            "what was rejected, and had stopped, did not say any more why it does not run what the fleet says",
            Gates::FromAndOne,
            &[
                Approve("alice", App, Production, 0),
                Publish(Shop, Everywhere),
                OtherFile("alice", App, Production, false),
                OtherFile("alice", Shop, Production, false),
                Pass(20),
                Approve("alice", Shop, Production, 0),
                Stop(App, Production),
                Reject("alice", App, Production, 0),
            ],
        ),
        case(
            "who changed a file of one type has a vote about the other",
            Gates::FromAndOne,
            &[
                Reject("alice", App, Production, 0),
                OtherFile("alice", App, Production, false),
                Pass(20),
                Approve("alice", App, Production, 0),
                Publish(App, Everywhere),
                Approve("bob", App, Production, 0),
                Pass(1),
                Approve("alice", App, Production, 0),
            ],
        ),
    ]
}

fn removals() -> Vec<Kept> {
    vec![
        case(
            "what was removed while it was held, and came back, is held no more",
            Gates::Nothing,
            &[
                Publish(Shop, Everywhere),
                Pass(29),
                RollBack("alice", Shop, Production, None),
                Remove("carol", Shop, Production),
                Sync("dave", Shop, Production),
                Return("alice", Shop, Production),
            ],
        ),
        case(
            "what a person pinned waited for a vote, and the way back of what failed elsewhere took its place for good",
            Gates::From,
            &[
                Registry(true),
                Lose(1, true),
                Pass(32),
                PinNightly("carol", App, Production),
                Mended,
                Quarantine("dave", Shop, Production, 0),
                Sync("dave", App, Production),
                Pin("dave", App, Stage, 2),
                DieSoon(15, true),
                Return("alice", Shop, Production),
                Slow(App, Production),
                Slow(App, Production),
                Promote("bob", App),
                Publish(App, NotInOne),
                DieSoon(19, true),
                Registry(true),
                RollBack("alice", Shop, Stage, None),
                Approve("carol", Shop, Production, 1),
                Slow(Shop, Production),
                Publish(Shop, Everywhere),
                Pass(10),
                Quarantine("bob", Shop, Production, 0),
                Pass(10),
                LetGo,
                Publish(App, Nowhere),
                Pin("dave", App, Production, 3),
                Approve("carol", App, Production, 0),
                Publish(Shop, Everywhere),
                RollBack("alice", App, Production, Some(1)),
                DieSoon(11, false),
                Lose(1, true),
            ],
        ),
        case(
            "what left the fleet was rolled out, because people had been asked before",
            Gates::One,
            &[Remove("alice", App, Production), Pass(1), Approve("bob", App, Production, 0)],
        ),
        on_servers(
            "what was being mended when it left the fleet was brought back to life after its removal",
            Gates::From,
            &[Stop(App, Production), Lose(1, false), Pass(69), Remove("carol", App, Production), Pass(59)],
        ),
    ]
}

/// By a crash, or with the database.
fn lost() -> Vec<Kept> {
    vec![
        case(
            "with an empty database every place refused the epoch as an old one",
            Gates::Nothing,
            &[Restart, Restart, LoseDatabase, Publish(Shop, Everywhere)],
        ),
        case(
            "Dhow died in a resume, and only one of two deployments went on",
            Gates::FromAndTwo,
            &[
                DieSoon(3, false),
                Reject("alice", App, Production, 0),
                Resume("alice", App, Production),
                Publish(Shop, Everywhere),
            ],
        ),
    ]
}
