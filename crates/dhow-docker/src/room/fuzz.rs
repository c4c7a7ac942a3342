//! What containers write, as the engine passes it on.

use bollard::container::LogOutput;

use super::{Seen, line};

pub(crate) fn answer(data: &[u8]) {
    let seen = Seen { id: "1".into(), name: "n".into(), component: "web".into(), running: true };
    let lines = line::lines(&seen, &LogOutput::StdOut { message: data.to_vec().into() });
    let longest = String::from_utf8_lossy(data).len();
    for line in lines {
        assert!(line.text.len() <= longest && !line.text.contains('\n'));
        assert!(line.at.is_none_or(|at| at.ends_with('Z')));
    }
}
