//! What a guest says, one line of JSON each. `cargo xtask vm-tests` includes this file, so that both
//! ends speak of the same things.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The first line: the kernel's release.
    Up {
        kernel: String,
    },
    /// What the kernel gives the agent, for people.
    Offers {
        what: String,
        answer: String,
    },
    /// The verifier's log of a program that does not load.
    Verifier {
        log: String,
    },
    /// How many scenarios follow.
    Planned {
        scenarios: usize,
    },
    Started {
        scenario: String,
    },
    Ended {
        scenario: String,
        seconds: f64,
        outcome: Outcome,
        output: String,
    },
    /// Nothing new, but it lives.
    Alive,
    /// The last line: nothing is missing.
    Done,
    /// The guest cannot do its work.
    Broken {
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Passed,
    /// With the reason that the scenario gave.
    Skipped(String),
    Failed,
    /// It did not end by itself.
    Hung,
}
