//! Sequences that once broke a promise, made short.

use super::action::Action::*;
use super::action::Env::*;
use super::action::Svc::*;
use super::action::{Action, Case, Gates, Shape};

/// Each with what went wrong.
pub fn cases() -> Vec<(&'static str, Case)> {
    let case = |gates, actions: &[Action]| {
        let shape = Shape { gates, after: false, servers: false };
        Case { shape, actions: actions.to_vec() }
    };
    vec![
        (
            "whoever had just changed a file said yes to a promotion that takes it along",
            case(
                Gates::FromAndOne,
                &[
                    Publish(Shop, super::action::Works::Everywhere),
                    Pin("dave", Shop, Production, 0),
                    Reject("bob", Shop, Production, 0),
                    OtherFile("alice", Shop, Production, false),
                    Pass(20),
                    Approve("alice", Shop, Production, 0),
                    Pass(60),
                ],
            ),
        ),
        (
            "what left the fleet was rolled out, because people had been asked before",
            case(
                Gates::One,
                &[Remove("alice", App, Production), Pass(1), Approve("bob", App, Production, 0)],
            ),
        ),
        (
            "what stage went back to was proposed and withdrawn without end",
            case(
                Gates::FromAndOne,
                &[
                    Publish(Shop, super::action::Works::Nowhere),
                    Publish(Shop, super::action::Works::Everywhere),
                    Pass(1),
                    Pin("alice", Shop, Stage, 1),
                ],
            ),
        ),
        (
            "with an empty database every place refused the epoch as an old one",
            case(
                Gates::Nothing,
                &[Restart, Restart, LoseDatabase, Publish(Shop, super::action::Works::Everywhere)],
            ),
        ),
        (
            "who pushed while a question was being asked, of which nothing of theirs is part, has a vote in it",
            case(
                Gates::One,
                &[
                    Publish(Shop, super::action::Works::Everywhere),
                    PinNightly("alice", Shop, Production),
                    Publish(Shop, super::action::Works::Everywhere),
                    Pass(1),
                    Approve("alice", Shop, Production, 0),
                ],
            ),
        ),
        (
            "Dhow died in a resume, and only one of two deployments went on",
            case(
                Gates::FromAndTwo,
                &[
                    DieSoon(3, false),
                    Reject("alice", App, Production, 0),
                    Resume("alice", App, Production),
                    Publish(Shop, super::action::Works::Everywhere),
                ],
            ),
        ),
        (
            "two deployments that fail with each other's version went to and fro without end",
            Case {
                shape: Shape { gates: Gates::Nothing, after: false, servers: true },
                actions: vec![
                    Publish(App, super::action::Works::Everywhere),
                    Lose(0, false),
                    Pass(1),
                    FrontDoor(App, Production),
                    Find,
                    Pass(1),
                ],
            },
        ),
        (
            "what was taken back because its version failed elsewhere did not say so, where the fleet is left as it is",
            case(
                Gates::Nothing,
                &[
                    Quarantine("alice", App, Production, 0),
                    Publish(App, super::action::Works::NotInProduction),
                    Pass(1),
                    Stop(App, Production),
                ],
            ),
        ),
        (
            "who resumed while a way back was under way got neither the one nor the other",
            case(
                Gates::From,
                &[
                    Publish(Shop, super::action::Works::Everywhere),
                    Pass(1),
                    RollBack("alice", Shop, Production, None),
                    Resume("alice", Shop, Production),
                ],
            ),
        ),
        (
            "a person's way back waited behind a rollout, and the edit that belongs to it took its place",
            case(
                Gates::From,
                &[
                    Slow(App, Stage),
                    Publish(App, super::action::Works::Everywhere),
                    Pass(10),
                    OtherFile("alice", App, Stage, true),
                    Pass(10),
                    LetGo,
                    OtherFile("alice", Shop, Production, false),
                    Pass(20),
                    Approve("alice", Shop, Production, 0),
                    Stop(App, Stage),
                    Slow(App, Stage),
                    Publish(App, super::action::Works::Everywhere),
                    Pass(10),
                    RollBack("alice", App, Stage, None),
                    Pass(10),
                    LetGo,
                ],
            ),
        ),
        (
            "what was being mended when it left the fleet was brought back to life after its removal",
            Case {
                shape: Shape { gates: Gates::From, after: false, servers: true },
                actions: vec![
                    Stop(App, Production),
                    Lose(1, false),
                    Pass(69),
                    Remove("carol", App, Production),
                    Pass(59),
                ],
            },
        ),
    ]
}
