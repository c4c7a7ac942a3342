//! Both executors keep the contract.

use dhow_testkit::executor::{commands, files, locks};

use crate::executor::support::{local, remote, scratch, server};

macro_rules! contract {
    ($($module:ident :: $name:ident ( $($argument:ident),* );)*) => {
        mod here {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let (_folder, scratch) = scratch("contract");
                let home = tempfile::tempdir().unwrap();
                let (one, other) = (local(home.path()), local(home.path()));
                let _ = (&other, &scratch);
                $module::$name($(contract!(@ $argument one other scratch)),*).await;
            })*
        }
        mod over_ssh {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(server) = server(0) else { return };
                let (_folder, scratch) = scratch("contract");
                let (one, other) = (remote(&server, "deploy"), remote(&server, "deploy"));
                let _ = (&other, &scratch);
                $module::$name($(contract!(@ $argument one other scratch)),*).await;
            })*
        }
    };
    (@ one $one:ident $other:ident $scratch:ident) => { &$one };
    (@ other $one:ident $other:ident $scratch:ident) => { &$other };
    (@ scratch $one:ident $other:ident $scratch:ident) => { &$scratch };
}

contract! {
    commands::everything_arrives_byte_for_byte(one);
    commands::the_environment_is_empty(one);
    commands::variables_are_not_arguments(one);
    commands::an_end_is_told_as_it_is(one);
    commands::lines_are_told_as_they_come(one, scratch);
    commands::a_limit_ends_all_that_was_started(one);
    commands::a_dropped_command_is_ended(one);
    commands::what_cannot_be_is_refused(one);
    locks::two_commands_never_overlap(one, other, scratch);
    locks::a_lower_epoch_is_refused(one, other, scratch);
    locks::a_newer_epoch_ends_the_older_command(one, other);
    locks::a_dropped_command_leaves_its_lock(one);
    files::a_folder_is_what_was_sent(one, scratch);
    files::files_are_read_written_listed_and_removed(one, scratch);
    files::a_folder_of_this_machine_is_what_was_sent(one, scratch);
    files::a_folder_that_was_given_up_is_not_there(one, scratch);
    files::odd_paths_are_refused(one, scratch);
}
