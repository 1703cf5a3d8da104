//! How a key of the file is read: as the text that its flag would take.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

/// A value of the file as it is written; what it should have been is for its type to say.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
}

impl Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}

pub fn parsed<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    value(&Scalar::deserialize(deserializer)?).map(Some)
}

pub fn parsed_list<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    Vec::<Scalar>::deserialize(deserializer)?.iter().map(value).collect()
}

fn value<T: FromStr<Err: Display>, E: de::Error>(scalar: &Scalar) -> Result<T, E> {
    let text = scalar.to_string();
    text.parse().map_err(|error| E::custom(format!("{text}: {error}")))
}
