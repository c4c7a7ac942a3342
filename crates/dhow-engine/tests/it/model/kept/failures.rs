//! Versions that fail, one after another, and what stays of them in the fleet.

use super::super::action::Action::*;
use super::super::action::Env::*;
use super::super::action::Gates;
use super::super::action::Svc::*;
use super::super::action::Works::*;
use super::{Kept, case, on_servers};

/// From one failure to the next.
pub(super) fn failures_in_a_row() -> Vec<Kept> {
    vec![
        case(
            "a way back from what failed elsewhere went to what had failed elsewhere before",
            Gates::From,
            &[Publish(App, NotInOne), Pass(1), LoseDatabase, Publish(App, NotInOne)],
        ),
        case(
            "what ran on though it was held, as it could not go back, was not brought back",
            Gates::Nothing,
            &[
                Publish(App, NotInOne),
                Quarantine("alice", App, Production, 1),
                Pass(1),
                Stop(App, Production),
            ],
        ),
        case(
            "what ran in one of two left quarantine, and the fleet stood at what had failed there",
            Gates::From,
            &[
                Publish(App, Everywhere),
                Publish(App, NotInOne),
                Quarantine("alice", App, Production, 2),
                Pass(1),
                EndQuarantine("alice", App, Production, 2),
            ],
        ),
        case(
            "what ran left quarantine, and the fleet stood at what had failed after it",
            Gates::One,
            &[
                Publish(Shop, Everywhere),
                Pin("alice", Shop, Production, 1),
                Pass(20),
                Approve("alice", Shop, Production, 1),
                Pass(1),
                Quarantine("alice", Shop, Production, 2),
                FrontDoor(Shop, Production),
                Pass(1),
                Approve("alice", Shop, Production, 0),
                Pass(1),
                EndQuarantine("alice", Shop, Production, 2),
            ],
        ),
        case(
            "what was under way where its folder went was promoted",
            Gates::From,
            &[Slow(Shop, Stage), Publish(Shop, NotInOne), Pass(2), Remove("alice", Shop, Stage)],
        ),
    ]
}

/// What failed stays in the fleet for a while.
pub(super) fn left_out() -> Vec<Kept> {
    vec![
        case(
            "what failed with broken files, and was in the fleet still when they were mended, works",
            Gates::From,
            &[
                Slow(App, Production),
                Publish(App, Everywhere),
                Pass(10),
                OtherFile("alice", App, Production, true),
                Pass(10),
                LetGo,
                Quarantine("alice", App, Production, 2),
                Slow(App, Production),
                Publish(App, Everywhere),
                Pass(10),
                Quarantine("alice", App, Production, 0),
                Pass(10),
                LetGo,
                OtherFile("alice", App, Production, false),
            ],
        ),
        on_servers(
            "what failed elsewhere before it was tried stood in the fleet, and nothing said why",
            Gates::Nothing,
            &[
                Lose(0, false),
                Quarantine("alice", App, Production, 0),
                Slow(App, Stage),
                Publish(App, Everywhere),
                Pass(10),
                Quarantine("alice", App, Stage, 0),
                Pass(10),
                LetGo,
                Slow(App, Production),
                Publish(App, Everywhere),
                Pass(10),
                OtherFile("alice", App, Production, true),
                Pass(10),
                LetGo,
                Publish(App, Everywhere),
            ],
        ),
        case(
            "another file brought back what had been taken back, as the fleet still said it",
            Gates::From,
            &[
                Slow(App, Production),
                Publish(App, Everywhere),
                Pass(10),
                Quarantine("alice", App, Production, 0),
                Pass(10),
                LetGo,
                Publish(App, NotInOne),
                OtherFile("alice", Shop, Production, false),
                Pass(20),
                Approve("alice", Shop, Production, 0),
                OtherFile("alice", App, Production, false),
                Pass(20),
                Approve("alice", App, Production, 0),
            ],
        ),
        case(
            "the fleet stood at what had failed while the way back of it was in quarantine",
            Gates::Nothing,
            &[
                Publish(App, Everywhere),
                Publish(App, NotInOne),
                Pass(1),
                Pin("alice", App, Production, 3),
                Slow(App, Production),
                Publish(App, Everywhere),
                Pass(10),
                OtherFile("alice", App, Production, true),
                Pass(10),
                LetGo,
            ],
        ),
    ]
}

/// A version fails once, as its front door does, and works later.
pub(super) fn failed_once() -> Vec<Kept> {
    vec![case(
        "what failed at the front door, and ran healthy with the next files, was said to have failed there",
        Gates::From,
        &[
            Slow(Shop, Production),
            Publish(Shop, Everywhere),
            Pass(10),
            Quarantine("bob", Shop, Production, 0),
            Pass(10),
            LetGo,
            OtherFile("dave", Shop, Production, false),
            Publish(App, Nowhere),
            Pin("alice", App, Stage, 2),
            Slow(Shop, Production),
            Pin("bob", App, Stage, 1),
            Remote(true),
            FrontDoor(Shop, Production),
            Publish(Shop, Everywhere),
            Resume("bob", App, Production),
            Approve("carol", App, Stage, 0),
            Publish(Shop, Everywhere),
            Publish(Shop, NotInProduction),
            Return("dave", Shop, Production),
            Approve("bob", Shop, Production, 1),
            Quarantine("dave", App, Stage, 1),
            Publish(App, Nowhere),
            Slow(App, Stage),
            Publish(App, Everywhere),
            Pass(10),
            OtherFile("bob", App, Stage, true),
            Pass(10),
            LetGo,
            OtherFile("carol", Shop, Production, false),
            Approve("carol", Shop, Production, 1),
            Approve("alice", Shop, Production, 0),
        ],
    )]
}
