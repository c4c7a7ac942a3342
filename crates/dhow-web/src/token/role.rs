use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Reader,
    /// Looks, deploys, goes back, quarantines, and pushes to the embedded registry.
    Deployer,
    /// Looks, approves and rejects.
    Approver,
    /// Everything.
    Admin,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// To look: status, history, plans, what runs, what it writes, pulls from the embedded registry.
    Read,
    /// To promote, sync, roll back, resume and quarantine.
    Deploy,
    /// To push to the embedded registry.
    Push,
    /// To run commands inside of what runs: they go past every gate, and read every secret there.
    Exec,
    /// To approve and reject.
    Approve,
    /// To see and change tokens.
    Tokens,
    /// To write off what servers owe.
    Debts,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Deploy, Self::Push, Self::Exec, Self::Approve, Self::Tokens, Self::Debts];

    /// The roles that have it, for messages: `deployer or admin`. The admin has every permission.
    pub fn roles(self) -> String {
        let others = Role::ALL.into_iter().filter(|r| *r != Role::Admin && r.allows(self));
        let others: Vec<_> = others.map(Role::as_str).collect();
        if others.is_empty() { "admin".into() } else { format!("{} or admin", others.join(", ")) }
    }
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Deployer, Self::Approver, Self::Admin];

    /// Whether the role has the permission.
    pub fn allows(self, permission: Permission) -> bool {
        use Permission::{Approve, Deploy, Push, Read};
        match self {
            Self::Reader => permission == Read,
            Self::Deployer => matches!(permission, Read | Deploy | Push),
            Self::Approver => matches!(permission, Read | Approve),
            Self::Admin => true,
        }
    }

    /// Its name in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Deployer => "deployer",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no role; expected reader, deployer, approver or admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|r| r.as_str() == text);
        role.ok_or_else(|| UnknownRole(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_own_work_and_no_other() {
        use Permission::{Approve, Debts, Deploy, Exec, Push, Read, Tokens};
        let expected: [(Role, &[Permission]); 4] = [
            (Role::Reader, &[Read]),
            (Role::Deployer, &[Read, Deploy, Push]),
            (Role::Approver, &[Read, Approve]),
            (Role::Admin, &[Read, Deploy, Push, Exec, Approve, Tokens, Debts]),
        ];
        for (role, allowed) in expected {
            for permission in Permission::ALL {
                assert_eq!(role.allows(permission), allowed.contains(&permission), "{role} {permission:?}");
            }
        }
    }

    #[test]
    fn a_message_names_every_role_that_would_do() {
        assert_eq!(Permission::Deploy.roles(), "deployer or admin");
        assert_eq!(Permission::Tokens.roles(), "admin");
        assert_eq!(Permission::Read.roles(), "reader, deployer, approver or admin");
    }
}
