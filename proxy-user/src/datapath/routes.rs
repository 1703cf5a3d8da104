//! Where the connections of one listener lead.

use std::sync::Arc;

use super::{
    preface::{Refused, ServerName, SniTable},
    reach::Reach,
    tally::Failure,
};
use crate::config::{SniPattern, VpceId};

pub struct Route {
    pub reach: Reach,
    /// VPC endpoints whose connections are let through; all where empty.
    pub vpces: Vec<VpceId>,
}

pub enum Routes {
    /// Whatever a client says.
    All(Arc<Route>),
    ByName(SniTable<Arc<Route>>),
}

impl Routes {
    /// # Errors
    /// A name that leads to more than one.
    pub fn by_name(
        routes: impl IntoIterator<Item = (Vec<SniPattern>, Arc<Route>)>,
    ) -> Result<Self, SniPattern> {
        let named = routes
            .into_iter()
            .flat_map(|(names, route)| names.into_iter().map(move |name| (name, route.clone())));
        SniTable::new(named).map(Self::ByName)
    }

    /// A ClientHello must be read to choose one.
    pub fn need_a_name(&self) -> bool {
        matches!(self, Self::ByName(_))
    }

    pub fn pick(&self, name: Option<&ServerName>) -> Result<&Route, Failure> {
        match (self, name) {
            (Self::All(route), _) => Ok(route),
            (Self::ByName(_), None) => Err(Refused::ServerNameMissing.into()),
            (Self::ByName(table), Some(name)) => {
                table.find(name).map(Arc::as_ref).ok_or(Refused::ServerNameUnknown.into())
            }
        }
    }
}
